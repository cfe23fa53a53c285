"""What things are called."""

import calendar
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as hst

from dashboard import words
from sslcore import wording
from sslcore.naming import told_apart


@pytest.mark.parametrize(
    "seconds, said",
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (91, "1 min 31 s"),
        (149, "2 min 29 s"),
        (599.6, "10 min"),
        (725, "12 min"),
        (5400, "1 h 30 min"),
        (7200, "2 h"),
        (86_390, "1 day"),
        (36 * 3600, "1 day 12 h"),
        (59 * 3600, "2 days 11 h"),
        (None, "–"),
    ],
)
def test_durations_in_words(seconds, said):
    assert words.duration(seconds) == said


def test_runs_that_train_at_a_time_take_a_part_of_their_time():
    assert words.training(600.0, 1) == "About 10 min of training, one run after another"
    assert words.training(600.0, 4) == "About 2 min 30 s of training, 4 runs at a time"


def test_a_mean_is_said_with_a_spread_that_its_digits_tell():
    said = {(105, 4.6): "1 min 45 s ± 5 s", (3780, 233): "1 h 3 min ± 4 min", (3780, 20): "1 h 3 min", (105, None): "1 min 45 s"}
    assert {times: words.duration(*times) for times in said} == said
    assert [words.speed(*of) for of in ((1234, 6.9), (3.14, 0.26), (874, 0.4))] == ["1,234 ± 7", "3.1 ± 0.3", "874"]
    assert [words.size(1.9e9, std) for std in (25e6, 0.0, None)] == ["1.9 GB ± 25 MB", "1.9 GB", "1.9 GB"]
    assert words.size(841e6, 9e6) == "841 ± 9 MB" and words.duration(24, 1.2) == "24 ± 1 s"
    assert words.duration(24, 62) == "24 s ± 1 min 2 s" and words.speed(874, 7) == "874 ± 7"
    assert [words.energy(13_100, std) for std in (537, 1e-9)] == ["13.1 kJ ± 537 J", "13.1 kJ"]
    assert words.duration(None, None) == words.speed(None, None) == words.size(None, None) == words.energy(None, None) == "–"


def test_paths_have_as_many_folders_as_tell_them_apart():
    paths = ["digits", "/data/cats/images.npz", "/data/cars/images.npz", "/a/x/y", "/b/x/y"]
    assert list(told_apart(paths).values()) == ["digits", "cats/images.npz", "cars/images.npz", "a/x/y", "b/x/y"]
    assert told_apart(["digits", "/data/digits"]) == {"digits": "digits", "/data/digits": "data/digits"}
    assert told_apart(["/data/cats", "/data/cats"]) == {"/data/cats": "cats"}


def test_numbers_in_words():
    assert words.percent(0.4137) == "41.4\N{NO-BREAK SPACE}%"
    said = {3.14: "3.1", 12.34: "12", 874.4: "874", 1049: "1,050", 1051: "1,050", 12_345.6: "12,300", 123_456: "123,000"}
    assert {speed: words.rate(speed) for speed in said} == {speed: f"{number} images/s" for speed, number in said.items()}
    assert [words.size(n) for n in (1.5e9, 2e6, 5e5, None)] == ["1.5 GB", "2 MB", "500 kB", "–"]
    assert [words.size(n) for n in (999.94e9, 999.96e9, 5e17)] == ["999.9 GB", "1.0 TB", "500,000.0 TB"]
    assert [words.setting(value) for value in (0.1 + 0.2, 64, "sgd", None)] == ["0.3", "64", "sgd", "–"]
    longest = (300, 301, 3 * 3600, 3 * 3600 + 1)
    assert [words.time_unit(seconds)[0] for seconds in longest] == ["seconds", "minutes", "minutes", "hours"]
    assert [words.time_unit(seconds)[1] for seconds in longest] == [1, 60, 60, 3600]
    assert [words.operations(flops) for flops in (7, 999.6, 34e6, 2.6e15)] == ["7 FLOP", "1 kFLOP", "34 MFLOP", "2.6 PFLOP"]
    assert [words.energy(joules) for joules in (640, 999.7, 12_345, 1.25e6, 1.25e9)] == [
        "640 J",
        "1 kJ",
        "12.3 kJ",
        "1.25 MJ",
        "1.25 GJ",
    ]
    assert words.duration(None) == words.duration(float("inf")) == words.duration(float("nan")) == "–"
    assert words.operations(1e21) == "1e+03 EFLOP" and words.duration(-3) == "0 s"
    assert words.operations(None) == words.energy(None) == words.energy(float("inf")) == "–"
    assert (words.count(1, "class"), words.count(2, "class"), words.count(1200, "run")) == ("1 class", "2 classes", "1,200 runs")
    assert (words.count(0, "run"), words.count(2, "study")) == ("0 runs", "2 studies")
    assert [words.fewer(n, 2) for n in (0, 1, 2)] == ["", " (N = 1)", ""]
    assert [words.vote(*one) for one in ((5, None), (5, 0.1), (None, None))] == [
        ", kNN at k 5",
        ", kNN at k 5, temperature 0.1",
        "",
    ]


def test_a_moment_is_told_as_far_as_it_is_not_today(monkeypatch):
    now = calendar.timegm((2026, 11, 28, 15, 0, 0))
    clock = SimpleNamespace(localtime=lambda seconds=now: time.gmtime(seconds), strftime=time.strftime)
    monkeypatch.setattr(words, "time", clock)
    said = {(2026, 11, 28): "today 09:07", (2026, 3, 5): "5 March 09:07", (2025, 11, 28): "28 November 2025"}
    assert {day: words.date(calendar.timegm((*day, 9, 7, 0))) for day in said} == said


def test_of_what_has_no_result_it_is_said_what_becomes_of_it():
    told = words.lacking(["queued", "failed", "running", "interrupted", "interrupted", "finished"])
    assert told[0] == "2 still to finish" and set(told[1:]) == {
        "1 failed: Watch says why, and can resume it",
        "2 interrupted: Watch says why, and can resume them",
    }


def test_text_of_several_lines_stays_on_one():
    assert words.plain("a\n\n    b") == "a b"


@given(hst.text(alphabet="1.) -+#>*_=`~a\n", min_size=1))
@example("1. of two")
@example("2024.")
def test_plain_text_is_one_paragraph_that_reads_as_it_was_written(text):
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").parse(words.plain(text))
    assert [token.type for token in tokens] == (["paragraph_open", "inline", "paragraph_close"] if text.split() else [])
    assert "".join(child.content for token in tokens for child in token.children or ()) == " ".join(text.split())


@given(hst.text(alphabet="![]()<>\\`a:/\n&#!"))
def test_notes_hold_no_pictures(text):
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark", {"html": False}).parse(words.notes(text + "![a](http://example.org/b.png)"))
    assert "image" not in {child.type for token in tokens for child in token.children or ()}


@pytest.mark.parametrize("text", ["https://a.org", "HTTP://a.org", "www.a.org", "me@a.org", ":material/skull:", ":smile:"])
def test_what_markdown_would_make_a_link_or_a_picture_of_is_broken_up_unseen(text):
    """Escapes do not prevent it."""
    told = words.plain(text).replace("\\", "")
    assert text not in told and text == told.replace("\N{WORD JOINER}", "")


def test_a_wording_stands_once_and_names_its_runs_where_it_is_not_that_of_all():
    parts = {name: {"protocol": "kNN", "k": k} for name, k in zip("abcdef", (5, 20, 5, 5, 5, 5))}
    assert words.protocol({"protocol": "all", "n_train": 4000, "n_test": 500}) == "all; n_train 4,000, n_test 500"
    assert [words.some(list(names)) for names in ("abc", "abcd")] == ["a, b, c", "a, b, c and 1 other"]
    assert words.protocols(parts.items()) == ["kNN; k 5 (a, c, d and 2 others)", "kNN; k 20 (b)"]
    assert words.protocols([*list(parts.items())[2:], ("g", None), ("h", {})]) == ["kNN; k 5"]
    assert words.once([("a", "to digits"), ("a", "to photos"), ("b", "to digits"), ("b", "to photos")]) == [
        "to digits",
        "to photos",
    ]


def test_accuracies_as_text():
    assert words.share(0.8741, 0.0062) == "87.4 ± 0.6 %"
    assert words.share(0.8741) == "87.4 %"
    assert words.share(None, None) == "–"


def test_halves_of_a_tenth_are_rounded_away_from_zero():
    assert [wording.tenths(n) for n in (56.25, -0.25, 56.35, 0.15, 100, np.float32(1.75))] == [
        "56.3",
        "-0.3",
        "56.4",
        "0.1",  # the nearest float lies below the half
        "100.0",
        "1.8",
    ]
    assert wording.tenths(-9.9e31) == "-9.9e+31", "of a folder from elsewhere"
    assert [wording.tenths(n, "+z") for n in (2.25, -0.04, -2.25)] == ["+2.3", "+0.0", "-2.3"]
