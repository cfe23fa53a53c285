"""The process around the loop: stopped, killed, left alone, and resumed."""

import os
import pty
import signal
import socket
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from sslcore import compact, datasets, worker
from sslcore.__main__ import main
from sslcore.cores import cores
from sslcore.evaluate.final import FinalEvaluation
from sslcore.files import write_json
from sslcore.status import NOT_AGAIN
from sslcore.worker import Pulse
from tests.training.small import make_run, start, train, untimed, wait_for
from tests.waiting import until


def test_a_run_is_stopped_and_resumed_and_leaves_its_whole_folder(shapes, handlers):
    settings = {"method": "moco", "epochs": 12, "evaluate.knn_every": 4}
    run, undisturbed = make_run("whole-life", shapes, **settings), make_run("undisturbed", shapes, **settings)

    process = start(run)
    wait_for(lambda: len(run.metrics()) > 3, process)
    assert run.status().state == "running" and run.status().pid == process.pid
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == worker.STOPPED
    assert run.status().state == "stopped" and run.checkpoint_file.exists()

    process = start(run)
    assert process.wait(240) == worker.FINISHED, process.stderr.read()
    status = run.status()
    assert status.state == "finished" and status.attempt == 2 and status.progress == 1
    expected = train(undisturbed).method.encoder.state_dict()
    assert untimed(run) == untimed(undisturbed)
    kept = load_file(run.encoder_file)
    assert kept.keys() == expected.keys() and all(torch.equal(kept[name], expected[name]) for name in expected)

    results = run.results()
    assert 0 <= results["linear"]["accuracy"] <= 1 and results["cost"]["images_per_second"] > 0
    assert {"knn", "linear"} <= results["baselines"]["random_encoder"].keys() and "knn" in results["baselines"]["pixels"]
    assert {"alignment", "uniformity", "effective_rank", "std", "protocol"} == results["geometry"].keys()
    with np.load(run.predictions_file, allow_pickle=False) as said:
        assert {name: said[name].dtype for name in said} == dict.fromkeys(("index", "label", "linear", "knn"), np.int64)
        assert (said["linear"] == said["label"]).mean() == results["linear"]["accuracy"]
    with np.load(run.embeddings_file, allow_pickle=False) as kept:
        assert len(kept["h"]) == len(kept["index"]) == len(kept["prediction"]) == 48
        layout = pd.read_parquet(run.umap_file)
        assert list(layout.columns) == ["x", "y", "index", "label", "epoch"] and (layout["index"] == kept["index"]).all()
    environment = run.environment()
    assert "python -m sslcore train" in environment["command"] and "measured_again" not in environment
    assert run.views_file.exists() and run.experiment.sample_sheet(shapes).exists() and "finished" in run.log_tail()

    # a run of an older version gets what it lacks by being evaluated again
    assert results["cost"]["flops_per_image"] > 1e5 and "energy_joules" in results["cost"]
    run.predictions_file.unlink()
    write_json(run.results_file, results | {"cost": {name: results["cost"][name] for name in ("seconds", "device")}})
    assert main(["evaluate", run.id]) == worker.FINISHED
    assert run.predictions_file.exists() and run.results()["linear"] == results["linear"]
    assert (
        run.environment().pop("measured_again")["device"] == environment["device"]
        and environment.items() <= run.environment().items()
    )
    assert run.results()["cost"] == {
        name: results["cost"][name] for name in ("seconds", "device", "flops_per_image", "flops_protocol")
    }


def test_a_stop_while_a_run_is_measured_ends_it_at_once_and_keeps_what_it_has(shapes, monkeypatch, handlers):
    run = make_run("r", shapes, epochs=1)

    def asked(*_):
        signal.raise_signal(signal.SIGTERM)  # in the midst of the probe
        raise AssertionError("the probe went on")

    monkeypatch.setattr(FinalEvaluation, "probed", asked)
    assert worker.main(run) == worker.STOPPED
    status = run.status()
    assert (status.state, status.stage) == ("stopped", "probe") and run.checkpoint_file.exists() and not run.results_file.exists()
    assert run.log_tail().endswith("stopped; resume goes on from the checkpoint\n")
    run.update_status(state="finished")
    assert worker.main(run, evaluate_only=True) == worker.STOPPED
    assert run.log_tail().endswith("stopped; what was measured before is kept\n"), "it is finished, and not to be resumed"


def test_a_stop_between_the_last_step_and_the_probe_does_not_wait_for_the_probe(shapes, monkeypatch, handlers):
    run = make_run("r", shapes, epochs=1)
    monkeypatch.setattr(compact, "write", lambda run: signal.raise_signal(signal.SIGTERM))
    monkeypatch.setattr(FinalEvaluation, "results", lambda *_: pytest.fail("it is measured"))
    assert worker.main(run) == worker.STOPPED
    assert run.status().state == "stopped" and run.encoder_file.exists()


def test_a_run_that_is_stopped_before_its_first_checkpoint_promises_none(shapes, monkeypatch, handlers):
    run, load = make_run("r", shapes), datasets.load

    def asked(dataset, size, report):
        signal.raise_signal(signal.SIGTERM)
        report("decoding images", 0.5)
        return load(dataset, size)

    monkeypatch.setattr(datasets, "load", asked)
    assert worker.main(run) == worker.STOPPED
    assert run.status().state == "stopped" and not run.has_checkpoint()
    assert run.log_tail().endswith("stopped; there was no checkpoint yet, so resume begins anew\n")


@pytest.mark.parametrize("how", ["hangup", "pipe", "terminal"])
def test_whoever_leaves_the_terminal_loses_nothing(shapes, how):
    run = make_run("r", shapes, epochs=40 if how == "hangup" else 1)
    ours, theirs = pty.openpty() if how == "terminal" else os.pipe()
    process = subprocess.Popen([sys.executable, "-m", "sslcore", "train", run.id], stdout=theirs)
    os.close(theirs)
    os.read(ours, 1)
    if how == "hangup":
        until(lambda: len(run.metrics()) > 3)
        process.send_signal(signal.SIGHUP)
    os.close(ours)
    assert process.wait(240) == (worker.STOPPED if how == "hangup" else worker.FINISHED)
    assert run.status().state == ("stopped" if how == "hangup" else "finished") and run.checkpoint_file.exists()
    assert ("stopped" if how == "hangup" else "finished") in run.log_tail()


def test_a_run_computes_with_as_many_threads_as_it_is_told(shapes):
    run, before = make_run("two", shapes, epochs=1, threads=2), torch.get_num_threads()
    try:
        train(run)
    finally:
        torch.set_num_threads(before)
    assert run.environment()["threads"] == 2 != before


def test_a_run_needs_no_call_that_linux_alone_has(shapes, monkeypatch, handlers):
    for name in ("sched_getaffinity", "sched_setaffinity", "posix_fallocate"):
        monkeypatch.delattr(os, name)
    monkeypatch.setattr("sslcore.waiting.Waiting.read", lambda _: {})
    run = make_run("elsewhere", shapes, epochs=1)
    assert main(["train", run.id]) == worker.FINISHED, run.log_tail()
    assert run.results()["cost"]["threads_waiting"] is None and run.results()["cost"]["peak_memory_bytes"] > 1e8
    assert run.environment()["device"].endswith(f"{cores()} cores")


def test_where_standard_output_is_the_log_a_line_stands_there_once(shapes, monkeypatch, capsys):
    run = make_run("said", shapes)
    Pulse(run).say("in a terminal")
    assert "in a terminal" in capsys.readouterr().out and run.log_tail().count("in a terminal") == 1
    with run.log_file.open("a") as log:  # as the agent has it
        monkeypatch.setattr(sys, "stdout", log)
        Pulse(run).say("in the background")
    assert run.log_tail().count("in the background") == 1


def test_a_run_that_begins_anew_has_nothing_to_warn_of_and_one_that_goes_on_keeps_what_is_still_true(shapes):
    run = make_run("warned", shapes)
    said = ["the images have changed", f"{NOT_AGAIN}it was stopped"]
    for goes_on, left in ((True, said[:1]), (False, [])):
        run.update_status(state="stopped", warnings=said)
        if goes_on:
            run.checkpoint_file.touch()
        else:
            run.checkpoint_file.unlink()
        with run.hold() as claim:
            pulse = Pulse(run, claim)
            pulse.start()
            pulse.end("stopped")
        assert run.recorded_status().warnings == left


def test_a_run_that_is_measured_elsewhere_is_still_told_as_of_the_machine_that_trained_it(shapes):
    run = make_run("elsewhere", shapes)
    run.update_status(state="finished", host="node7")
    with run.hold() as claim:
        pulse = Pulse(run, claim, evaluate_only=True)
        pulse.start()
        here = run.recorded_status()
        pulse.end("finished")
    assert here.state == "running" and here.measured_again and here.host == socket.gethostname()
    assert run.recorded_status().state == "finished" and run.recorded_status().host == "node7"
