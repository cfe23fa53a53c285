"""A finished run that is measured again: either all of it, or it stays as it was."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sslcore import launch, worker
from sslcore.__main__ import main
from sslcore.endings import Stopped
from sslcore.experiment import Run
from sslcore.files import write_json
from sslcore.stages import work
from sslcore.worker import Pulse
from tests.training.small import keep_untrained_encoder, make_run
from tests.waiting import until


@pytest.fixture
def measured(shapes):
    """A run that is finished elsewhere: all that it measured is here, and no checkpoint."""
    run = make_run("measured", shapes)
    keep_untrained_encoder(run)
    write_json(run.results_file, {"linear": {"accuracy": 0.5}})
    run.update_status(state="finished", stage="embed", progress=1.0, warnings=["it was warm"])
    return run


class DiesIn(Pulse):
    """Dies when a stage begins."""

    def __init__(self, run: Run, stage: str):
        super().__init__(run)
        self.last = stage

    def stage(self, stage: str, progress: float) -> None:
        if stage == self.last:
            raise Stopped


def test_until_all_is_measured_again_all_stays_as_it_was(shapes):
    run = make_run("r", shapes, epochs=1)
    with pytest.raises(Stopped):
        work(run, DiesIn(run, "embed"))
    assert "umap" not in run.results(), "at first, the probes' numbers are there at once"
    work(run, Pulse(run))
    environment, taken = run.environment(), run.results()["cost"]
    assert "measured_again" in environment, "its training was over"
    write_json(run.results_file, run.results() | {"transfer": {"/nowhere": {"linear": {"accuracy": 0.5}}}})

    files = [run.results_file, run.predictions_file, run.embeddings_file, run.umap_file]
    before = [file.stat().st_mtime_ns for file in files]
    for evaluate_only in (True, False):
        with pytest.raises(Stopped):
            work(run, DiesIn(run, "embed"), evaluate_only)
        assert [file.stat().st_mtime_ns for file in files] == before
    work(run, pulse := Pulse(run))  # as `train` does with a run that is finished
    assert run.results()["transfer"] == {"/nowhere": {"linear": {"accuracy": 0.5}}} and run.results()["cost"] == taken
    assert run.environment() == environment and "transfer is kept as it was" in pulse.status.warnings[-1]

    run.results_file.unlink()
    weights = run.encoder_file.stat().st_mtime_ns
    work(run, Pulse(run), evaluate_only=True)
    assert run.results()["cost"] == taken, "the checkpoint knows"
    assert run.encoder_file.stat().st_mtime_ns == weights, "what is measured is not written anew"


def test_a_run_that_cannot_be_measured_again_stays_as_it_was(measured, handlers, capsys):
    for _ in range(2):
        measured.encoder_file.write_bytes(measured.encoder_file.read_bytes()[:1000])
        assert main(["evaluate", measured.id]) == worker.FAILED
        status = measured.status()
        assert (status.state, status.stage, status.progress, status.error) == ("finished", "embed", 1.0, None)
        assert status.warnings[0] == "it was warm" and len(status.warnings) == 2
        assert status.warnings[1].startswith(f"it could not be measured again: {measured.encoder_file} cannot be read")
        assert measured.results() == {"linear": {"accuracy": 0.5}}
    Path(measured.config.dataset).rename(away := Path(measured.config.dataset).with_suffix(".away"))
    try:
        command = [sys.executable, "-m", "sslcore", "evaluate", measured.id]  # this process has the images at hand
        told = subprocess.run(command, capture_output=True, text=True)
    finally:
        away.rename(measured.config.dataset)
    assert told.returncode == worker.BAD_INPUT and "shapes.npz" in told.stderr and told.stderr.count("\n") == 1
    capsys.readouterr()
    measured.encoder_file.unlink()
    assert main(["evaluate", measured.id]) == worker.BAD_INPUT
    assert "--checkpoints" in capsys.readouterr().err and measured.status() == status


def test_a_killed_measurement_leaves_a_finished_run(measured):
    measuring = subprocess.Popen([sys.executable, "-m", "sslcore", "evaluate", measured.id], stdout=subprocess.DEVNULL)
    until(lambda: measured.recorded_status().state == "running")
    measuring.kill()
    measuring.wait()
    status = measured.status()
    assert (status.state, status.stage, status.progress, status.error) == ("finished", "embed", 1.0, None)
    assert status.warnings == ["it was warm", "it could not be measured again: its process is gone"]
    assert not worker.Pulse(measured, evaluate_only=True).status.measured_again
    assert measured.results() == {"linear": {"accuracy": 0.5}}


@pytest.mark.parametrize("what", ["images", "checkpoint", "seconds"])
def test_to_train_a_finished_run_measures_it_again_and_whatever_is_wrong_it_stays_finished(shapes, handlers, monkeypatch, what):
    run = make_run("r", shapes, epochs=1)
    assert worker.main(run) == worker.FINISHED
    before, results = run.recorded_status(), run.results()
    if what == "images":
        monkeypatch.setattr("sslcore.datasets.info", lambda dataset: (_ for _ in ()).throw(ValueError("no such file")))
    elif what == "checkpoint":
        for file in run.path.glob("checkpoint*.pt"):
            file.write_bytes(b"torn")
    else:
        monkeypatch.setenv("TRIPTYCH_CHECKPOINT_SECONDS", "abc")
    assert worker.main(run) == (worker.FAILED if what == "checkpoint" else worker.BAD_INPUT)
    after = run.status()
    assert (after.state, after.stage, after.progress, after.error) == ("finished", "embed", 1.0, None)
    assert after == before or "could not be measured again" in after.warnings[-1]
    assert run.results() == results


def test_without_its_head_h_against_z_stays_as_it_was_measured(measured):
    heads = {"linear": {"h": {"accuracy": 0.6}, "z": {"accuracy": 0.5}}}
    write_json(measured.results_file, measured.results() | {"heads": heads})
    work(measured, Pulse(measured), evaluate_only=True)
    assert measured.results()["heads"] == heads and measured.results()["linear"]["accuracy"] != 0.5
    assert any("h and z" in warning for warning in measured.status().warnings)


def test_a_stop_while_several_are_measured_again_ends_all_of_it(measured, shapes):
    other = make_run("other", shapes)
    for file in measured.path.iterdir():
        (other.path / file.name).write_bytes(file.read_bytes())
    measuring = subprocess.Popen(
        [sys.executable, "-m", "sslcore", "evaluate", measured.id, other.id], stdout=subprocess.PIPE, text=True
    )
    while "run 1 of 2" not in measuring.stdout.readline():
        pass
    until(lambda: measured.recorded_status().state == "running")
    measuring.send_signal(signal.SIGTERM)
    said = measuring.communicate(timeout=120)[0]
    assert measuring.returncode == worker.STOPPED and "run 2 of 2" not in said
    assert measured.status().state == "finished" and "it was stopped" in measured.status().warnings[-1]


def test_what_was_measured_is_not_replaced_by_a_training_from_the_start(measured, capsys):
    for state in ("finished", "interrupted"):
        measured.update_status(state=state)
        assert main(["train", str(measured.path)]) == worker.BAD_INPUT
        assert "would begin anew and replace its results" in capsys.readouterr().err
    assert main(["resume", measured.id]) == worker.BAD_INPUT
    assert "would begin anew" in capsys.readouterr().err
    assert measured.recorded_status().state == "interrupted" and measured.results() == {"linear": {"accuracy": 0.5}}
    assert launch.complete(measured.experiment, ["run"]) == [], "neither when a grid is completed"


def test_snapshots_of_images_that_have_changed_are_not_laid_out_beside_others(shapes, tmp_path):
    path = tmp_path / "mine.npz"
    with np.load(shapes) as arrays:
        kept = dict(arrays)
    np.savez(path, **kept)
    run = make_run("r", str(path), epochs=2, **{"evaluate.snapshots": 1})
    work(run, Pulse(run))
    assert len(pd.read_parquet(run.umap_file)["epoch"].unique()) == 3
    np.savez(path, **kept | {"x_test": kept["x_test"][:40], "y_test": kept["y_test"][:40]})
    work(run, Pulse(run), evaluate_only=True)
    layout = pd.read_parquet(run.umap_file)
    assert set(layout["epoch"]) == {2} and run.results()["linear"]["n_test"] == 40
