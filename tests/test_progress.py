"""Runs on a terminal: what is told while they train, and the table of results."""

import io
import re
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from sslcore import progress
from sslcore.config import resolve
from sslcore.experiment import Spec, Store
from sslcore.files import write_json
from tests import synthetic


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.mark.parametrize("terminal", [True, False])
def test_on_a_terminal_each_run_has_a_bar_and_elsewhere_lines(terminal, store):
    experiment = synthetic.store(store.root, ("moco", "byol"), (0,))
    out = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    assert progress.wait(experiment, out)
    said = out.file.getvalue()
    for run in experiment.runs():
        assert re.search(rf"{run.name}.* 100 % finished" if terminal else rf"(?m)^{run.name}: finished$", said)


@pytest.mark.parametrize("width", [80, 160])
def test_a_terminal_of_the_usual_width_shows_whose_run_it_is_how_far_and_what_is_said_of_it(width, store, monkeypatch):
    said = "pretrain, epoch 5.0/900, 1,063 images/s, kNN 81.2 %, 28:32 left"
    monkeypatch.setattr(progress, "in_words", lambda run, status, latest: said)
    terminal = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    bars = progress.Bars(terminal)
    for run in store.create("e", Spec(), dict.fromkeys(["simclr-bs256-temperature0.5-s0", "moco"], resolve({}))).runs():
        bars(run, run.status().model_copy(update={"state": "running", "progress": 0.42}))
    terminal.print(bars.live.get_renderable())
    shown = " ".join(terminal.file.getvalue().split())
    assert f"42 % {said.partition(' kNN')[0]}" in shown and "28:32 left" in shown and ("━" in shown) == (width == 160)
    assert "moco " in shown and "simclr-bs256-temperature0.5-s0 " in shown


def test_of_what_a_run_logs_only_what_was_appended_is_read_again(store):
    (run,) = store.create("e", Spec(), {"r": resolve({})}).runs()
    latest = progress.Latest(run)
    assert latest() == {}
    run.append_metrics({"step": 1, "epoch": 0.5, "images_per_second": 100.0})
    run.append_metrics({"step": 2, "epoch": 1.0, "knn": 0.5})
    assert latest() == {"step": 2, "epoch": 1.0, "images_per_second": 100.0, "knn": 0.5}
    whole = run.metrics_file.read_bytes()
    with run.metrics_file.open("r+b") as file:
        file.write(b" " * len(whole))  # what was read already is not looked at
    with run.metrics_file.open("ab") as file:
        file.write(b'{"step": 3, "knn": 0.6}\n{"step": 4, "kn')
    assert latest()["knn"] == 0.6 and latest()["step"] == 3, "a line that is not whole yet waits"
    run.metrics_file.write_bytes(whole)
    run.keep_metrics_until(1)
    assert latest() == {"step": 1, "epoch": 0.5, "images_per_second": 100.0}, "it went on from its checkpoint"


def test_what_pixels_give_has_no_spread_over_seeds(store):
    out = Console(file=io.StringIO(), width=200)
    out.print(progress.results(synthetic.store(store.root, ("byol",), (0, 1)).runs()))
    (line,) = (line for line in out.file.getvalue().splitlines() if line.startswith("byol"))
    assert line.count("±") == 5, "linear probe and kNN, trained and untrained, and the time"
    assert line.rstrip().endswith("1:42 ± 0:04")
    assert line.count("[") == 1, "of the linear probe's mean"


def test_a_terminal_of_the_usual_width_shows_every_number_of_the_results(store):
    spec = Spec(base={"dataset": "digits"}, axes={"method": ["moco"], "batch_size": [64, 256], "seed": [0, 1]})
    wide, usual = (Console(file=io.StringIO(), width=width) for width in (200, 80))
    table = progress.results(synthetic.finished(store.root, spec, steps=2).runs())
    for terminal in (wide, usual):
        terminal.print(table)
    numbers = [sorted(re.findall(r"[\d.:]+", terminal.file.getvalue())) for terminal in (wide, usual)]
    assert numbers[0] == numbers[1] and "…" not in usual.file.getvalue()
    rows = [line.split()[:2] for line in wide.file.getvalue().splitlines() if "moco" in line]
    assert rows == [["moco", "64"], ["moco", "256"]], "by size, as pages have them"


def test_waiting_ends_well_only_where_all_runs_have_finished(store):
    experiment = synthetic.store(store.root, ("moco", "byol"), (0,), steps=20)
    out = Console(file=io.StringIO(), width=100)
    assert progress.wait(experiment, out)
    synthetic.failed(experiment.run("moco-bs256-s0"), error="the loss became NaN")
    assert not progress.wait(experiment, out)
    assert "moco-bs256-s0: failed: the loss became NaN\n" in out.file.getvalue()


def test_whoever_waits_sees_to_it_that_an_agent_works(store, monkeypatch):
    (run,) = synthetic.store(store.root, ("moco",), (0,), steps=20).runs()
    run.update_status(state="queued")
    monkeypatch.setattr(progress, "AGENT_CHECK_SECONDS", -1.0)
    looks = iter(range(3))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: next(looks)))
    monkeypatch.setattr(progress.launch, "start", lambda _: run.update_status(state="finished"))
    assert progress.wait(run.experiment, Console(file=io.StringIO()))


def test_a_log_has_a_line_a_change_and_one_a_minute_while_a_run_trains(store, monkeypatch):
    (run,) = synthetic.store(store.root, ("moco",), (0,), steps=20).runs()
    out = Console(file=io.StringIO(), width=100)
    lines = progress.Lines(out)
    training = synthetic.status(run, "running", stage="pretrain", progress=0.1, eta_seconds=3725.0)
    for status in (training, training, training.model_copy(update={"stage": "probe"})):
        lines(run, status)
    monkeypatch.setattr(progress, "LINE_SECONDS", -1.0)
    lines(run, training.model_copy(update={"stage": "probe"}))
    queued = synthetic.status(run, "queued")
    lines(run, queued)
    lines(run, queued)
    told = [line.removeprefix(f"{run.name}: ") for line in out.file.getvalue().splitlines()]
    assert [line.partition(",")[0] for line in told] == ["pretrain", "probe", "probe", "queued"]
    assert told[0].endswith(" %, 1:02:05 left") and "epoch 1.0/20, " in told[0] and " images/s, kNN " in told[0]
    assert "images/s" not in told[1]


def test_the_table_has_seeds_where_there_are_several_and_says_of_how_many_a_number_is(store):
    experiment = synthetic.store(store.root, ("moco", "byol"), (0, 1), steps=20, axes={"moco.queue_size": [512, 1024]})
    run = next(run for run in experiment.runs() if run.config.method == "byol")
    write_json(run.results_file, run.results() | {"knn": None})

    def table() -> dict[str, list[str]]:
        return {str(column.header): list(column.cells) for column in progress.results(experiment.runs()).columns}

    told = table()
    assert sorted(zip(told["method"], told["moco.queue_size"])) == [("byol", "–"), ("moco", "1024"), ("moco", "512")]
    assert told["seeds"] == ["2", "2", "2"] and "state" not in told
    of_byol = told["method"].index("byol")
    assert [cell.endswith(" (n=1)") for cell in told["kNN"]] == [k == of_byol for k in range(3)]
    synthetic.failed(run)
    assert table()["state"][of_byol] == "failed, finished"
    (alone,) = synthetic.store(store.root, ("moco",), (0,), steps=20, name="alone").runs()
    assert "seeds" not in [column.header for column in progress.results([alone]).columns]
