"""The panel of points: every image once, under its own index, in the look of its class."""

import json

import numpy as np
import pandas as pd
import pytest

from dashboard.figures import style
from dashboard.figures.embedding import AT_MOST, COLOURS, SIDES, looks, panel

CLASSES = [f"thing {k}" for k in range(10)]


def points(n: int = 60, classes=CLASSES, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    label = np.arange(n) % len(classes)
    guess = np.where(rng.random(n) < 0.3, (label + 1) % len(classes), label)
    return pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "y": 100 + 3 * rng.normal(size=n),
            "index": 1_000_000 + rng.permutation(10 * n)[:n],
            "class": [classes[k] for k in label],
            "predicted": [classes[k] for k in guess],
            "split": np.where(rng.random(n) < 0.5, "train", "test"),
            "probe": np.where(label == guess, "right", "wrong"),
        }
    )


def images(figure):
    """The traces of images, without the empty one by which the page owns the selection."""
    return [trace for trace in figure.data if trace.meta]


@pytest.mark.parametrize("by", ["class", "predicted", "split", "probe"])
@pytest.mark.parametrize("highlight", [(), ("thing 3", "thing 7")])
def test_every_image_is_drawn_once_at_its_place_whatever_the_colours(by, highlight):
    frame = points()
    figure = panel(frame, by, classes=CLASSES, highlight=highlight, seen={"dataset": "photos", "of": "1a"})
    drawn = {int(i): (float(x), float(y)) for trace in images(figure) for i, x, y in zip(trace.customdata, trace.x, trace.y)}
    assert sum(len(trace.x) for trace in images(figure)) == len(frame) == len(drawn)
    assert drawn == {
        i: (pytest.approx(x, abs=1e-4), pytest.approx(y, abs=1e-4)) for i, x, y in zip(frame["index"], frame["x"], frame["y"])
    }
    assert all(trace.meta == {"dataset": "photos", "of": "1a"} for trace in images(figure))


@pytest.mark.parametrize("by", ["class", "predicted", "split", "probe"])
def test_a_trace_holds_the_images_of_its_name_and_no_others(by):
    frame = points().set_index("index")
    for trace in images(panel(points(), by, classes=CLASSES)):
        assert set(frame.loc[np.array(trace.customdata), by]) == {trace.name}


def test_tooltips_say_the_class_and_a_wrong_guess():
    frame = points().set_index("index")
    for by, highlight in (("class", ()), ("class", CLASSES[:2]), ("split", ()), ("probe", ())):
        for trace in images(panel(points(), by, classes=CLASSES, highlight=highlight)):
            for index, text in zip(trace.customdata, trace.text):
                said = trace.hovertemplate.replace("%{text}", text)
                row = frame.loc[index]
                assert row["class"] in said and ("taken for" in said) == (row["class"] != row["predicted"])
                assert row["class"] == row["predicted"] or f"taken for {row['predicted']}" in said


def test_a_class_looks_the_same_in_every_panel_and_no_two_alike():
    every = looks(CLASSES)
    assert len(set(every.values())) == len(CLASSES)
    few = points()[lambda frame: frame["class"].isin(CLASSES[4:6])]
    for trace in images(panel(few, classes=CLASSES)):
        assert (trace.marker.color, trace.marker.symbol) == every[trace.name]
    method_colours = {style.colour(method) for method in ("moco", "simclr", "byol")}
    assert not method_colours & set(COLOURS)


@pytest.mark.parametrize("n", [1, 6, 7, AT_MOST, AT_MOST + 1, 100, 1000])
def test_no_more_classes_stand_out_than_can_be_told_apart(n):
    told = looks([str(k) for k in range(n)])
    assert len(set(told.values())) == len(told) == (n if n <= AT_MOST else len(told)) <= AT_MOST
    assert n <= AT_MOST or 1 < len(told) <= len(COLOURS)
    assert len({colour for colour, _ in told.values()}) == min(len(told), len(COLOURS)), "by colour first"
    assert n <= AT_MOST or max(map(int, told)) >= n / 2, "from all over the list"


def test_highlighted_classes_have_colours_and_the_rest_is_grey():
    figure = panel(points(), classes=CLASSES, highlight=["thing 7", "thing 3"])
    assert [trace.name for trace in images(figure)] == ["others", "thing 3", "thing 7"]
    assert [chip.text for chip in figure.layout.annotations] == ["thing 3", "thing 7"]


def test_a_reader_keeps_the_zoom_whatever_is_coloured_and_selected():
    before, after = panel(points(), classes=CLASSES, title="t"), panel(points(), "split", selected=[3], title="t")
    assert before.layout.uirevision == after.layout.uirevision


def test_points_are_as_large_in_every_group_of_a_panel():
    figure = panel(points(600), classes=CLASSES, highlight=["thing 3"])
    assert len({trace.marker.size for trace in images(figure)}) == 1


@pytest.mark.parametrize("by", ["class", "predicted", "split", "probe"])
def test_what_a_colour_means_is_told_by_the_names_of_classes_or_by_a_legend(by):
    figure = panel(points(), by, classes=CLASSES)
    assert figure.layout.showlegend == (by in ("split", "probe"))
    if by in ("split", "probe"):
        assert not {chip.arrowcolor for chip in figure.layout.annotations} & {trace.marker.color for trace in images(figure)}
    else:
        said = {chip.text: chip.arrowcolor for chip in figure.layout.annotations}
        assert said == {trace.name: trace.marker.color for trace in images(figure)}


def test_names_do_not_lie_over_each_other():
    frame = points(300)
    frame["x"], frame["y"] = frame["x"] / 1000, frame["y"] / 1000  # all classes in one place
    frame.loc[0, ["x", "y"]] = 1.0
    chips = panel(frame, classes=CLASSES).layout.annotations
    assert len(chips) == len(CLASSES)
    for k, one in enumerate(chips):
        for other in chips[:k]:
            assert abs(one.ay - other.ay) >= 15 or abs(one.ax - other.ax) >= 40, (one.text, other.text)


def places(layout, side: int) -> list[tuple[str, float, float]]:
    """Each name's text, and its middle in pixels of a panel of that side, from the left and from below."""
    (x0, x1), (y0, y1) = layout.xaxis.range, layout.yaxis.range
    return [
        (chip.text, (chip.x - x0) / (x1 - x0) * side + chip.ax, (chip.y - y0) / (y1 - y0) * side - chip.ay)
        for chip in layout.annotations
    ]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("radius", [0.05, 0.3, 1.0])
def test_names_stay_within_the_panel_and_off_each_other_wherever_the_classes_lie(radius, side):
    """Heaps on a ring, small or as large as the panel, within a few far points that say how large that is."""
    frame = points(200)
    angle = frame["class"].map(CLASSES.index) * 2 * np.pi / len(CLASSES)
    frame["x"], frame["y"] = radius * np.cos(angle), radius * np.sin(angle)
    frame.loc[:3, ["x", "y"]] = [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    said = places(panel(frame, classes=CLASSES).layout, side)
    for k, (text, x, y) in enumerate(said):
        assert 3 * len(text) <= x <= side - 3 * len(text) and 8 <= y <= side - 8, text
        for other, other_x, other_y in said[:k]:
            assert abs(y - other_y) >= 15 or abs(x - other_x) >= 3 * (len(text) + len(other)), (text, other)


def test_long_names_stay_within_the_panel():
    long = [f"{name} of a class whose name goes on for longer than the panel is wide" for name in CLASSES]
    layout = panel(points(classes=long), classes=long).layout
    low, high = layout.xaxis.range
    for chip in layout.annotations:
        half = 3 * len(chip.text)  # pixels, of letters of size 10
        for side in SIDES:
            assert half <= (chip.x - low) / (high - low) * side + chip.ax <= side - half, chip.text


def test_names_stand_among_the_points_of_their_class():
    """At the larger heap where a class falls apart; not between, where there are others or nobody."""
    heaps = np.random.default_rng(0).normal(size=(6000, 2)) * 0.3 + np.repeat([[10.0, 0.0], [0.0, 0.0]], [2000, 4000], axis=0)
    frame = points(6000).assign(x=heaps[:, 0], y=heaps[:, 1])
    chips = panel(frame, classes=CLASSES).layout.annotations
    assert {chip.text for chip in chips} == set(CLASSES)
    for chip in chips:
        own = frame.loc[frame["class"] == chip.text, ["x", "y"]].to_numpy()
        assert (own == (chip.x, chip.y)).all(1).any() and np.hypot(chip.x, chip.y) < 0.5


@pytest.mark.parametrize("by", ["class", "probe"])
def test_selected_are_these_indices_in_any_grouping(by):
    frame = points()
    wanted = set(frame["index"].tolist()[5:17])
    figure = panel(frame, by, classes=CLASSES, selected=[*wanted, 10**8])
    assert {int(trace.customdata[k]) for trace in images(figure) for k in trace.selectedpoints} == wanted
    assert all(trace.selectedpoints is not None for trace in images(figure))  # one without any would not fade
    # Plotly.js ignores arrays there.
    assert all(isinstance(trace["selectedpoints"], list) for trace in json.loads(figure.to_json(validate=False))["data"])


def test_nothing_fades_when_nothing_is_selected_yet_the_page_owns_the_selection():
    figure = panel(points(), classes=CLASSES, selected=[])
    assert all(trace.selectedpoints is None for trace in images(figure))
    assert any(trace.selectedpoints == () for trace in figure.data)
    assert not [trace for trace in panel(points(), classes=CLASSES).data if not trace.meta]


def test_panels_are_square_and_hold_all_points():
    frame = points()
    layout = panel(frame, classes=CLASSES).layout
    (x0, x1), (y0, y1) = layout.xaxis.range, layout.yaxis.range
    assert x1 - x0 == pytest.approx(y1 - y0) and layout.yaxis.scaleanchor == "x"
    assert x0 < frame["x"].min() and frame["x"].max() < x1 and y0 < frame["y"].min() and frame["y"].max() < y1


def test_points_in_one_place_are_drawn_there():
    layout = panel(points().assign(x=1.0, y=2.0), classes=CLASSES).layout
    assert layout.xaxis.range[0] < 1 < layout.xaxis.range[1] and layout.yaxis.range[0] < 2 < layout.yaxis.range[1]
    assert len(layout.annotations) == len(CLASSES)


def test_text_from_a_folder_is_never_markup():
    evil = ["<img src=x>", "%{x}"]
    figure = panel(points(classes=evil), classes=evil, title="<b>t</b>")
    assert figure.layout.title.text == "&lt;b&gt;t&lt;/b&gt;"
    said = figure.to_json(validate=False)
    assert "<img" not in said and "\\u003cimg" not in said and "%{x}" not in said


def test_10000_points_are_sent_as_arrays():
    assert len(panel(points(10_000), classes=CLASSES, seen={"dataset": "photos", "of": "1a"}).to_json(validate=False)) < 500_000


def test_without_labels_all_points_are_still_there():
    frame = points().assign(**{"class": "", "predicted": "", "probe": ""})
    figure = panel(frame, "split")
    assert sum(len(trace.x) for trace in images(figure)) == len(frame) and not figure.layout.annotations
    assert {text for trace in images(figure) for text in trace.text} == {"no label"}
    assert sum(len(trace.x) for trace in images(panel(frame, "class"))) == len(frame)


@pytest.mark.parametrize("column", ["class", "predicted"])
def test_nothing_was_taken_for_what_is_not_known(column):
    figure = panel(points().assign(**{column: ""}), "split", classes=CLASSES)
    assert not [text for trace in images(figure) for text in trace.text if "taken for" in text]
