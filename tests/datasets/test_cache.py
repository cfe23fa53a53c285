"""Images are decoded once, whoever asks and whoever dies meanwhile."""

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sslcore import datasets, locks
from sslcore.datasets import cache
from tests.datasets.pictures import class_folders, one_line, save

ROOT = Path(__file__).parents[2]


def test_images_are_decoded_once_and_mapped_from_then_on(tmp_path, home):
    root = class_folders(tmp_path / "set", {"a": 5, "b": 5})
    told = []
    first = datasets.load(str(root), 16, lambda what, share: told.append((what, share)))
    assert told and all(0 <= share <= 1 for _, share in told)
    decoding = [share for what, share in told if what == "decoding images"]
    assert decoding == sorted(decoding) and decoding[-1] == 1
    told.clear()
    again = datasets.load(str(root), 16, lambda what, share: told.append((what, share)))
    assert told == []
    assert isinstance(again.x_train, np.memmap) and not again.x_train.flags.writeable
    assert np.array_equal(first.x_train, again.x_train)
    assert len(datasets.load(str(root), 24).x_train) == len(first.x_train)
    assert len(list(home.glob("decoded/set-*"))) == 2


def test_a_changed_folder_is_decoded_anew_and_the_old_arrays_go(tmp_path, home):
    root = class_folders(tmp_path / "set", {"a": 5, "b": 5})
    first = datasets.load(str(root), 16)
    before = first.x_train.copy()
    save(root / "b" / "new.png", "blue")
    second = datasets.load(str(root), 16)
    assert len(second.x_train) + len(second.x_test) == 11
    assert np.array_equal(first.x_train, before)  # who has it open keeps it
    os.utime(save(root / "b" / "new.png", "green", (41, 30)))
    third = datasets.load(str(root), 16)
    assert not np.array_equal(second.images(range(11)), third.images(range(11)))
    seen = []
    for changed, colour in enumerate(("green", "blue")):  # not packed, so that the file stays as long as it was
        os.utime(save(root / "b" / "new.bmp", colour), (changed, changed))
        seen.append(datasets.load(str(root), 16).images(range(12)).copy())
    assert not np.array_equal(*seen)
    assert len(list(home.glob("decoded/set-*"))) == 1


def test_what_another_process_is_decoding_stays(tmp_path, home):
    """Of the same folder as it was before, or on another machine."""
    root = class_folders(tmp_path / "set", {"a": 5, "b": 5})
    datasets.load(str(root), 16)
    (decoded,) = home.glob("decoded/set-*")
    part, held = (decoded.with_name(f".{decoded.name.rpartition('-')[0]}-before.{kind}") for kind in ("part", "held"))
    part.mkdir()
    held.mkdir()
    with locks.holding(held):
        save(root / "b" / "new.png", "blue")
        datasets.load(str(root), 16)
        assert part.exists()
    save(root / "b" / "newer.png", "blue")
    datasets.load(str(root), 16)
    assert not part.exists()


def test_where_there_is_no_room_for_decoded_images_it_is_said_where(tmp_path, home, small_files):
    root = class_folders(tmp_path / "set", {"a": 5, "b": 5})
    with pytest.raises(ValueError) as error:
        datasets.load(str(root), 16)
    one_line(error, str(root), "images.npy in", str(home / "decoded"), "takes more than", "are free")


def test_sets_of_one_name_and_versions_of_decoding_have_places_of_their_own(tmp_path, home, monkeypatch):
    for where in "ab":
        datasets.load(str(class_folders(tmp_path / where / "set", {"a": 5, "b": 5})), 16)
    assert len(list(home.glob("decoded/set-*"))) == 2
    before = cache.folder("set", 1, 16)
    monkeypatch.setattr(cache, "VERSION", cache.VERSION + 1)
    assert cache.folder("set", 1, 16) != before


BUILD = """
import os, sys
from sslcore import datasets, locks
from sslcore.datasets import cache
cache.BLOCK = 8
def report(what, share):
    if what == "decoding images" and share > 0.5:
        os.kill(os.getpid(), 9)
datasets.load(sys.argv[1], 16, report)
"""


def test_what_a_killed_builder_decoded_is_kept_and_what_it_tore_is_not(tmp_path, home, monkeypatch):
    root = class_folders(tmp_path / "set", {"a": 20, "b": 20})
    (root / "a" / "broken.png").write_bytes(b"no image")
    monkeypatch.setattr(datasets.cache, "BLOCK", 8)
    whole = datasets.load(str(root), 16)
    expected = np.array(whole.x_train), whole.skipped
    (decoded,) = home.glob("decoded/set-*")
    for torn in (False, True):
        shutil.rmtree(decoded)
        assert subprocess.run([sys.executable, "-c", BUILD, str(root)], cwd=ROOT).returncode == -signal.SIGKILL
        (part,) = home.glob("decoded/.set-*.part")
        assert len(datasets.cache.journal(part)) == 3
        if torn:  # as after a power cut: the journal has a block whose pixels are not there, and half a line
            os.truncate(part / "images.npy", (part / "images.npy").stat().st_size - 5)
            with (part / "images.npy").open("ab") as file:
                file.write(bytes(41 * 16 * 16 * 3))
            with (part / "journal.jsonl").open("a") as lines:
                lines.write('{"upto": 3')
        told = []
        again = datasets.load(str(root), 16, lambda *words, told=told: told.append(words))
        assert next(share for what, share in told if what == "decoding images") == (16 if torn else 24) / 41, (
            "it goes on behind the last whole block"
        )
        assert np.array_equal(again.x_train, expected[0]) and again.skipped == expected[1] and len(again.skipped) == 1
        assert not part.exists() and cache.sound(decoded)


def test_a_damaged_cache_is_noticed_and_decoded_again(tmp_path, home, monkeypatch):
    root = class_folders(tmp_path / "set", {"a": 5, "b": 5})
    expected = np.array(datasets.load(str(root), 16).x_train)
    (decoded,) = home.glob("decoded/set-*")
    pixels, labels, about = decoded / "images.npy", decoded / "labels.npy", decoded / "about.json"

    def flip(path: Path, place: int) -> None:
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)

    def flip_unseen() -> None:
        flip(pixels, -2)
        os.utime(pixels, ns=(0, json.loads(about.read_text())["written"]))

    harms = {
        "cut": lambda: os.truncate(pixels, pixels.stat().st_size - 1),
        "longer": lambda: pixels.write_bytes(pixels.read_bytes() + b"0"),
        "a bit of a pixel": lambda: flip(pixels, -1),
        "a bit of a pixel, and no other time": flip_unseen,
        "the header": lambda: flip(pixels, 3),
        "a label": lambda: flip(labels, -8),
        "half a file": lambda: about.write_text(about.read_text()[:40]),
        "a file gone": pixels.unlink,
    }
    for name, harm in harms.items():
        harm()
        told = []
        again = datasets.load(str(root), 16, lambda what, share, told=told: told.append(what))
        assert np.array_equal(again.x_train, expected), name
        assert any("damaged" in what for what in told), name

    monkeypatch.setattr(datasets.cache, "READ_THROUGH", 0)  # a large file is read through when its time is another one
    told = []
    os.utime(pixels)
    datasets.load(str(root), 16, lambda what, share: told.append(what))
    assert told == [] and pixels.stat().st_mtime_ns == json.loads(about.read_text())["written"]
    flip(pixels, -1)
    assert np.array_equal(datasets.load(str(root), 16).x_train, expected)


def test_a_builder_that_cannot_leaves_nothing(tmp_path, home):
    root = class_folders(tmp_path / "set", {"a": 0, "b": 0})
    for name in ("a/1.png", "b/1.png", "a/2.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"no image")
    with pytest.raises(ValueError, match="can be read"):
        datasets.load(str(root), 16)
    assert [path.suffix for path in home.glob("decoded/.*")] == [".held"]


@pytest.mark.parametrize("place", ["file/cache", "/proc/cache"])
def test_where_nothing_can_be_kept_it_is_said_what_names_another_place(tmp_path, monkeypatch, place):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRIPTYCH_DATA", str(tmp_path / place))
    with pytest.raises(
        ValueError, match=r"digits: .* in .*/cache, where nothing can be written \(.*\); TRIPTYCH_DATA names another"
    ):
        datasets.load("digits", 8)


def test_who_waits_for_another_process_says_so_and_can_be_stopped(tmp_path, home):
    root = class_folders(tmp_path / "set", {"a": 5, "b": 5})
    decoded = datasets.cache.folder(str(root), datasets.folder.fingerprint(str(root)), 16)

    def told(what: str, share: float) -> None:
        assert what == "waiting for another process that decodes these images" and share == 0
        raise KeyboardInterrupt

    with datasets.cache.locked(decoded.with_name(f".{decoded.name}.held")), pytest.raises(KeyboardInterrupt):
        datasets.load(str(root), 16, told)
    assert len(datasets.load(str(root), 16).x_train) == 8


def test_without_flock_one_process_decodes_and_the_others_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "No locks available")))
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.01)
    waited = []

    def wait() -> None:
        waited.append((tmp_path / "x" / ".held").stat().st_mtime_ns)
        if len(set(waited)) > 2:  # its claim is touched meanwhile, so that other machines see that it lives
            raise KeyboardInterrupt

    with datasets.cache.locked(tmp_path / "x"), pytest.raises(KeyboardInterrupt), datasets.cache.locked(tmp_path / "x", wait):
        pass
    with datasets.cache.locked(tmp_path / "x", wait):
        pass


def test_of_several_processes_one_decodes_and_the_others_wait(tmp_path):
    root = class_folders(tmp_path / "set", {"a": 150, "b": 150})
    code = """
import sys, json, hashlib
from sslcore import datasets, locks
told = []
data = datasets.load(sys.argv[1], 32, lambda what, share: told.append(what))
print(json.dumps([hashlib.sha256(data.x_train.tobytes()).hexdigest(), len(data.x_train), "decoding images" in told]))
"""
    command = [sys.executable, "-c", code, str(root)]
    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [json.loads(process.communicate(timeout=300)[0]) for process in started]
    assert len({digest for digest, _, _ in answers}) == 1
    assert {count for _, count, _ in answers} == {240}
    assert sum(decoded for _, _, decoded in answers) == 1
