"""Curves at the size of a word."""

import xml.etree.ElementTree as ET

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dashboard.figures import spark, style

CURVE = st.integers(0, 200).flatmap(lambda n: arrays(float, n, elements=st.floats(0, 1)))


def test_a_run_that_is_half_way_has_a_line_half_across():
    whole, half = np.arange(1.0, 21.0), np.arange(1.0, 11.0)
    drawn = ET.fromstring(spark.lines([("moco", whole, whole / 20), ("byol", half, half / 40)], end=20.0)).findall("{*}polyline")
    ends = [float(line.get("points").split()[-1].split(",")[0]) for line in drawn]
    assert ends == [spark.WIDTH - 2, spark.WIDTH / 2]


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
