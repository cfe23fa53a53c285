"""What a chart is sent when its figure changes."""

import base64
import gzip
import json
from collections import OrderedDict

import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.io.json import to_json_plotly

from dashboard import difference


def applied(before: list[float], splice: dict) -> np.ndarray:
    """As chart.js does it."""
    put = np.frombuffer(base64.b64decode(splice["put"]["bdata"]), splice["put"]["dtype"])
    return np.concatenate([before[: splice["at"]], put, before[splice["at"] + splice["drop"] :]])


numbers = st.lists(st.sampled_from([0.0, 1.0, 2.0, np.nan]), max_size=12)


@given(numbers, numbers)
def test_a_change_turns_one_array_into_the_other(before, after):
    before, after = np.array(before, np.float32), np.array(after, np.float32)
    change = difference.between({"data": [{"y": before}], "layout": {}}, {"data": [{"y": after}], "layout": {}})
    if np.array_equal(before, after, equal_nan=True):
        assert change == {}
    else:
        np.testing.assert_array_equal(applied(before, change["data"][0]["y"]), after)


def line(y, **layout) -> go.Figure:
    return go.Figure(go.Scatter(x=np.arange(len(y), dtype=np.float32), y=np.array(y, np.float32), name="a"), layout)


def test_a_curve_that_grows_sends_its_end_and_the_words_that_changed():
    drawn = {}
    first, change = difference.since_last(line(range(5000), title={"text": "1"}), drawn, "chart")
    assert change is None
    assert json.loads(gzip.decompress(difference.kept(first)))["data"][0]["name"] == "a"
    again, change = difference.since_last(line(range(5010), title={"text": "2"}), drawn, "chart")
    assert again == first and len(change) < 500
    told = json.loads(change)
    assert told["layout"] == {"title": {"text": "2"}} and told["data"]["0"]["y"]["at"] == 5000
    assert difference.since_last(line(range(5000), title={"text": "1"}), drawn, "chart") == (first, None)


@pytest.mark.parametrize("other", [line(np.arange(5000) + 0.5), go.Figure([*line(range(5000)).data, *line(range(3)).data])])
def test_another_figure_is_fetched_whole(other):
    drawn = {}
    first, _ = difference.since_last(line(range(5000)), drawn, "chart")
    whole, change = difference.since_last(other, drawn, "chart")
    assert whole != first and change is None and difference.kept(whole)


def test_of_a_figure_that_was_told_nothing_is_made_again(monkeypatch):
    drawn, grown = {}, line(range(5010))
    difference.since_last(line(range(5000)), drawn, "chart")
    told = difference.since_last(grown, drawn, "chart")
    monkeypatch.setattr(difference, "between", None)
    assert told[1] and difference.since_last(grown, drawn, "chart") == told


def test_arrays_are_told_in_the_types_in_which_they_were_fetched():
    rows = {
        "customdata": np.array([[1, 2], [3, 4]]),
        "text": np.array(["a", "b"]),
        "x": np.array([2**40, 1]),
        "y": np.array([1.5, np.nan]),
        "ids": np.array([7, 8], np.uint8),
        "meta": np.array([-200, 5]),
    }
    figure = go.Figure([{"type": "scatter", **rows}], _validate=False)
    fetched = json.loads(figure.to_json())["data"][0]
    for name, value in difference.plainly(figure)["data"][0].items():
        if isinstance(fetched[name], dict) and "bdata" in fetched[name]:
            assert fetched[name] == difference.encoded(value)
        else:
            assert fetched[name] == json.loads(to_json_plotly(value))
    assert difference.encoded(np.asfortranarray(rows["customdata"])) == difference.encoded(rows["customdata"]), "row by row"


def test_what_is_fetched_is_the_figure_as_plotly_writes_it():
    rows = {
        "x": np.arange(3),
        "y": np.array([0.5, np.nan, 2]),
        "customdata": np.arange(6).reshape(3, 2),
        "text": np.array(["a", "b", "é<"]),
        "meta": {"series": ["s 0"]},
    }
    marker = {"color": np.array([1.5, 2, 3], np.float32), "size": np.array([2**40, 1, 2]), "symbol": ["circle", "square", "x"]}
    figure = go.Figure(
        [
            {"type": "scatter", **rows, "marker": marker, "error_y": {"array": np.array([True, False, True])}},
            {"type": "heatmap", "z": np.eye(3)},
        ],
        {
            "annotations": [{"text": "a", "x": np.float64(0.5)}],
            "yaxis": {"range": np.array([0, 1]), "tickvals": (1, 2)},
            "template": "plotly",
        },
    )
    name, _ = difference.since_last(figure, {}, "chart")
    assert json.loads(gzip.decompress(difference.kept(name))) == json.loads(figure.to_json(validate=False))


def test_of_a_long_curve_whose_first_point_moves_that_is_sent():
    before = line(range(5000))
    drawn = {}
    difference.since_last(before, drawn, "chart")
    _, change = difference.since_last(line([9, *range(1, 5000)]), drawn, "chart")
    assert len(change) < 500


@pytest.mark.parametrize("after", [np.zeros((4, 3)), np.zeros((4, 2, 2)), np.zeros(4), np.zeros((4, 2), np.int8)])
def test_an_array_of_another_kind_is_sent_whole(after):
    before = {"data": [{"customdata": np.ones((4, 2)), "z": np.ones((4, 2, 2))}], "layout": {}}
    change = difference.between(before, {"data": [{"customdata": after, "z": np.zeros((4, 2, 2))}], "layout": {}})
    assert change["data"][0]["customdata"] is after and change["data"][0]["z"].shape == (4, 2, 2)


def test_figures_are_kept_up_to_a_limit_and_what_was_told_last_can_be_fetched(monkeypatch):
    monkeypatch.setattr(difference, "_kept", OrderedDict())
    monkeypatch.setattr(difference, "KEPT_BYTES", 1)
    figures = [line([k, k + 1]) for k in range(difference.LATEST + 5)]
    a, b, c = map(difference.known, figures[:3])
    for one in (a, b):
        assert difference.kept(difference.keep(one)), "however large it is"
    assert difference.kept(a.packed[0]) is None
    monkeypatch.setattr(difference, "KEPT_BYTES", int(2.5 * len(a.packed[1])))
    for one in (a, b, c):  # b is there still, and a is older once b is told again
        difference.keep(one)
    assert [difference.kept(one.packed[0]) is not None for one in (a, b, c)] == [False, True, True]
    for figure in figures:
        difference.known(figure)
    assert len(difference._latest) == difference.LATEST and difference.known(figures[-1]) is difference.known(figures[-1])


def test_the_same_figure_has_one_address_for_all_readers():
    assert difference.since_last(line(range(9)), {}, "a")[0] == difference.since_last(line(range(9)), {}, "b")[0]


def test_a_property_that_is_gone_is_taken_away():
    before, after = ({"data": [{"type": "scatter", **more}], "layout": {}} for more in ({"selectedpoints": [1]}, {}))
    assert difference.between(before, after) == {"data": {0: {"selectedpoints": None}}}
