"""The page Compare: what its choices do to the curves, and what is said of those that are drawn, or are not."""

import pytest

from dashboard import tables
from dashboard.figures import curves
from sslcore.experiment import Store
from sslcore.files import write_json
from tests import synthetic
from tests.pages.driving import open_page, printed, texts


@pytest.fixture
def drawn(monkeypatch) -> dict[str, list]:
    """What the page has drawn: (runs, choices) of each call for a loss, and for a metric."""
    calls = {"loss": [], "metric": []}

    def watch(kind: str) -> None:
        draw = getattr(curves, kind)

        def drawing(shown, *choices, **more):
            calls[kind].append(([curve.run for curve in shown], *choices))
            return draw(shown, *choices, **more)

        monkeypatch.setattr(curves, kind, drawing)

    for kind in calls:
        watch(kind)
    return calls


def test_what_the_reader_chooses_is_what_is_drawn(drawn):
    synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0, 1), steps=40)
    moco, byol = ([f"{method}-bs256-s{seed}" for seed in (0, 1)] for method in ("moco", "byol"))
    open_page("compare", experiment="photos")
    assert drawn["loss"] == [(moco, "step", 0.0, True), (byol, "step", 0.0, True)]
    assert {call[1:] for call in drawn["metric"]} == {(name, "step", 0.0, True) for name in curves.METRICS}
    drawn["loss"].clear(), drawn["metric"].clear()
    chosen = {"compare_x": "Epoch", "compare_seeds": "each run", "compare_loss": "one axis", "compare_smoothing": "0.5"}
    open_page("compare", experiment="photos", compare_runs=[moco[0], *byol], **chosen)
    assert drawn["loss"] == [([moco[0], *byol], "epoch", 0.5, False)]
    assert {(tuple(call[0]), *call[2:]) for call in drawn["metric"]} == {((moco[0], *byol), "epoch", 0.5, False)}


def test_smoothing_is_said_to_hide_spread_where_there_is_a_band_of_it():
    synthetic.store(Store().root, methods=("moco",), seeds=(0, 1), steps=40)
    said = "Smoothed curves lie closer together than what was measured"
    smooth = {"experiment": "photos", "compare_smoothing": "0.5"}
    assert said in texts(open_page("compare", **smooth))
    assert said not in texts(open_page("compare", experiment="photos"))
    assert said not in texts(open_page("compare", **smooth, compare_seeds="each run"))


def test_runs_whose_operations_are_not_counted_are_told_where_operations_are_the_axis():
    run, _ = synthetic.store(Store().root, methods=("moco",), seeds=(0, 1), steps=40).runs()
    cost = {name: value for name, value in run.results()["cost"].items() if name != "flops_per_image"}
    write_json(run.results_file, run.results() | {"cost": cost})
    said = "1 run without a count of operations"
    assert said in texts(open_page("compare", experiment="photos", compare_x="Operations"))
    assert said not in texts(open_page("compare", experiment="photos"))


def test_it_is_said_how_many_runs_are_shown_and_still_move():
    going, bare, _ = synthetic.store(Store().root, methods=("moco",), seeds=(0, 1, 2), steps=40).runs()
    assert "3 runs\n" in (shown := texts(open_page("compare", experiment="photos"))) and "still to finish" not in shown
    synthetic.running(going)
    bare.metrics_file.unlink()
    shown = texts(open_page("compare", experiment="photos"))
    assert "3 runs · 1 without anything logged · 1 still to finish; this page follows" in shown


def test_a_crowd_behind_the_means_is_said_not_to_be_drawn(monkeypatch):
    synthetic.store(Store().root, methods=("moco",), seeds=(0, 1), steps=40)
    said = "The single runs behind the means are not drawn"
    assert said not in texts(open_page("compare", experiment="photos"))
    monkeypatch.setattr(curves, "CROWD", 1)
    assert said in texts(open_page("compare", experiment="photos"))
    assert said not in texts(open_page("compare", experiment="photos", compare_seeds="each run"))


def test_settings_that_differ_are_listed_and_where_none_does_it_is_said():
    synthetic.store(Store().root, methods=("moco",), seeds=(0, 1), axes={"epochs": [10, 20]}, steps=20)
    (table,) = printed(open_page("compare", experiment="photos"))
    assert list(table["epochs"]) == ["10", "20"] and list(table["seed"]) == ["0, 1", "0, 1"] and table.shape == (2, 2)
    (name, *_) = tables.named(Store().experiment("photos").runs())
    assert "One run: nothing to differ from." in texts(open_page("compare", experiment="photos", compare_runs=name))
    (frame,) = open_page("compare", experiment="photos", compare_all="true").dataframe
    assert "batch_size" in frame.value.index and list(frame.value.columns) == list(table.index)
