"""Commands that train, as real processes."""

import os
import re
import shlex
import signal
import subprocess
import sys

from sslcore.__main__ import main
from tests.cli.shell import TINY, shell
from tests.waiting import until


def test_launch_and_wait_trains_and_prints_the_table(store, capsys):
    process = shell(f"launch photos --name tiny --set {TINY} --vary method=simclr --wait")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    (run,) = store.experiment("tiny").runs()
    assert run.status().state == "finished"
    results = run.results()
    assert f"{run.name}: pretrain" in out and f"{run.name}: finished" in out
    assert f" {100 * results['linear']['accuracy']:.1f} [" in out
    assert f" {100 * results['baselines']['pixels']['knn']:.1f} " in out
    assert str(store.experiment("tiny").path) in out
    assert len(out.splitlines()) < 20, "a line a change, not a line a tick"
    assert main(["status", "tiny"]) == 0
    assert re.search(rf"{run.name}\b.*finished", capsys.readouterr().out)


def test_a_run_is_trained_and_told_of_where_standard_output_was_closed(store, nothing_starts):
    assert main(shlex.split(f"launch photos --name quiet --set {TINY} --vary method=simclr")) == 0
    (run,) = store.runs()
    for command in (f"train {shlex.quote(str(run.path))}", "status quiet"):
        words = f"exec {shlex.quote(sys.executable)} -m sslcore {command} >&-"
        ended = subprocess.run(["sh", "-c", words], stderr=subprocess.PIPE, text=True, timeout=300)
        assert ended.returncode == 0, ended.stderr
    assert run.status().state == "finished" and "finished" in run.log_file.read_text()


def test_stop_resume_and_leaving_the_wait_from_the_shell(store):
    waiting = shell(f"launch photos --name long --set {TINY.replace('epochs=1', 'epochs=10000')} --vary method=simclr --wait")
    run = until(lambda: next(iter(store.runs()), None))
    until(lambda: len(run.metrics()) > 2)
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=300)
    assert waiting.returncode == 130 and "The runs go on" in err
    assert run.status().state == "running"

    first = run.recorded_status().pid
    assert main(["stop", "long"]) == 0
    until(lambda: run.status().state == "stopped")
    assert run.checkpoint_file.exists()
    assert main(["stop", "long"]) == 2, "there is nothing left to stop"
    reached = run.metrics()[-1]["step"]

    assert main(["resume", "long/simclr-bs256-s0"]) == 0
    until(lambda: run.metrics() and run.metrics()[-1]["step"] > reached)
    status = run.status()
    assert status.state == "running" and status.attempt == 2 and status.pid != first
    steps = [row["step"] for row in run.metrics() if "loss" in row]
    assert steps == sorted(set(steps)), "no step dropped or doubled"
    os.kill(status.pid, signal.SIGKILL)
    until(lambda: run.recorded_status().state == "interrupted")
