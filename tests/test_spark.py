"""Curves at the size of a word."""

import re
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dashboard.figures import spark, style

CURVE = st.integers(0, 200).flatmap(lambda n: arrays(float, n, elements=st.floats(0, 1)))


def test_a_run_that_is_half_way_has_a_line_half_across():
    whole, half = np.arange(1.0, 201.0), np.arange(1.0, 101.0)
    picture = ET.fromstring(spark.lines([("moco", whole, 0.5 + whole / 400), ("byol", half, half / 400)], end=200.0))
    ends = [line.get("points").split()[-1] for line in picture.findall("{*}polyline")]
    assert [float(end.split(",")[0]) for end in ends] == [spark.WIDTH - 2, spark.WIDTH / 2]


def test_a_run_that_was_measured_once_has_a_dot():
    x = np.arange(1.0, 3.0)
    picture = ET.fromstring(spark.lines([("moco", x[:1], x[:1] / 4), ("byol", x, x / 4)], end=2.0))
    (dot,) = picture.findall("{*}circle")
    assert dot.get("fill") == style.colour("moco") and float(dot.get("cx")) == spark.WIDTH / 2


def test_the_runs_share_the_height_between_them():
    """From the lowest accuracy of any of them to the highest: one scale, so that they can be compared."""
    x = np.arange(1.0, 201.0)
    picture = ET.fromstring(spark.lines([("moco", x, 0.5 + x / 400), ("byol", x, 0.25 + x / 400)], end=200.0))
    heights = [[float(p.split(",")[1]) for p in line.get("points").split()] for line in picture.findall("{*}polyline")]
    low, high = heights[1][0], heights[0][-1]
    assert low - high > 0.8 * spark.HEIGHT, "of what is there, nearly all is used"
    ends = [(heights[0][0], heights[0][-1]), (heights[1][0], heights[1][-1])]
    for (first, last), (began, ended) in zip(ends, ((0.5025, 1.0), (0.2525, 0.75))):
        shares = [(low - y) / (low - high) for y in (first, last)]
        np.testing.assert_allclose(shares, [(began - 0.2525) / 0.7475, (ended - 0.2525) / 0.7475], atol=0.01)


def test_each_method_that_has_a_curve_is_named_beside_a_piece_of_its_line():
    x = np.arange(1.0, 5.0)
    methods = ["moco", "simclr", "byol", "supervised"]
    picture = ET.fromstring(
        spark.lines([(method, x, x / 5) for method in [*methods, "moco"]] + [("none", x[:0], x[:0])], end=4.0)
    )
    names = picture.findall("{*}text")
    assert [name.text for name in names] == [style.title(method) for method in methods]
    pieces = [piece for piece in picture.findall("{*}path") if piece.get("stroke-dasharray")]
    lines = picture.findall("{*}polyline")
    for how in ("stroke", "stroke-dasharray"):
        assert [piece.get(how) for piece in pieces] == [line.get(how) for line in lines[:4]]
    assert len({line.get("stroke-dasharray") for line in lines[:3]}) == 3, "not by colour alone"
    ends = [(float(name.get("x")) + spark.LETTER * len(name.text), float(name.get("y"))) for name in names]
    assert all(x <= spark.WIDTH and spark.HEIGHT < y < float(picture.get("height")) for x, y in ends)
    starts = [(float(name.get("x")) - spark.SEGMENT, float(name.get("y"))) for name in names]
    for (end, row), (start, next_row) in zip(ends, starts[1:]):
        assert next_row > row or (next_row == row and start > end), "none lies over another"


def test_the_words_in_pictures_can_be_read_in_light_and_dark():
    """WCAG's 4.5 to 1, on the page and on boxes in a method's colour."""
    x = np.arange(1.0, 3.0)
    diagrams = [file.read_text(encoding="utf-8") for file in Path(spark.__file__).parents[1].glob("methods/*.svg")]
    theme = tomllib.loads((Path(spark.__file__).parents[2] / ".streamlit/config.toml").read_text(encoding="utf-8"))["theme"]

    def channels(colour: str) -> np.ndarray:
        return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255

    def luminance(rgb: np.ndarray) -> float:
        return float(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])

    for picture in (spark.lines([("moco", x, x / 4)], end=2.0), *diagrams):
        (rules,) = re.findall("<style>(.*)</style>", picture)
        fills = [re.findall("fill:(#.{6})", part)[0] for part in rules.split("@media(prefers-color-scheme:dark)")]
        assert len(fills) == 2
        for fill, ground in zip(fills, ("light", "dark")):
            for tint in (*style.PALETTE[:3], None):
                behind = channels(theme[ground]["backgroundColor"])
                if tint and picture in diagrams:
                    behind = 0.8 * behind + 0.2 * channels(tint)
                dark, light = sorted((luminance(channels(fill)), luminance(behind)))
                assert (light + 0.05) / (dark + 0.05) >= 4.5


@given(st.lists(CURVE, min_size=1, max_size=4).filter(lambda curves: any(map(len, curves))))
def test_every_curve_lies_within_the_picture_and_rises_where_accuracy_does(accuracies):
    methods = ["moco", "simclr", "byol", "supervised"]
    curves = [(method, np.arange(1.0, len(y) + 1), y) for method, y in zip(methods, accuracies)]
    lines = ET.fromstring(spark.lines(curves, end=200.0)).findall("{*}polyline")
    assert [line.get("stroke") for line in lines] == [style.colour(method) for method, _, _ in curves]
    for line, (_, x, y) in zip(lines, curves):
        places = np.array([place.split(",") for place in line.get("points").split()], float).reshape(-1, 2)
        assert (places >= 0).all() and (places <= [spark.WIDTH, spark.HEIGHT]).all()
        assert len(places) <= spark.POINTS and (len(places) > 0) == (len(x) > 0)
        if len(y) and y[-1] > y[0] + 0.05:
            assert places[-1, 1] < places[0, 1]
