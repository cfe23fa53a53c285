"""What is asked of the command line: states, results, the manual, profiles."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys

import pytest

from sslcore import plan
from sslcore.__main__ import EXAMPLES, main
from sslcore.config import OPTIONS
from sslcore.wording import in_bytes
from tests import synthetic
from tests.cli.shell import shell

# -- What is asked -----------------------------------------------------------------


def test_results_that_hold_something_else_than_numbers_are_shown_as_none(store, capsys):
    damaged, whole = synthetic.store(store.root, ("moco", "byol"), (0,), dataset="digits", batch_size=64).runs()
    damaged.results_file.write_text('{"linear": 3, "knn": {"accuracy": "x"}}')
    assert main(["status", "photos"]) == 0
    *rows, warned = capsys.readouterr().out.splitlines()
    lines = {run.name: line for line in rows for run in (damaged, whole) if run.name in line}
    assert f"{damaged.name}: results.json cannot be read" in warned
    assert lines[damaged.name].count("–") == 2 and f"{100 * whole.results()['knn']['accuracy']:.1f} %" in lines[whole.name]


def test_what_runs_warned_of_stands_below_the_table(store, capsys):
    for run in synthetic.store(store.root, ("moco", "byol"), (0,), dataset="digits", batch_size=64).runs():
        run.update_status(warnings=["it was [warm]"])
    assert main(["status", "photos"]) == 0
    assert capsys.readouterr().out.endswith("warning: byol-bs64-s0, moco-bs64-s0: it was [warm]\n")


def test_nothing_that_a_folder_says_steers_the_terminal(store, capsys):
    escapes = "\x1b]0;taken\x07\x1b[2J\x9b31mred"
    experiment = synthetic.store(store.root, ("moco",), (0,), dataset="digits", batch_size=64)
    with experiment.editing() as spec:
        spec.title = escapes
    (run,) = experiment.runs()
    run.update_status(state="failed", error=escapes, warnings=[escapes])
    for words in (["status"], ["status", "photos"], ["import", str(store.root)]):
        main(words)
        told = capsys.readouterr()
        assert not re.search(r"[^\n -\ud7ff]|[\x7f-\x9f]", told.out + told.err)
    main(["status"])
    assert "red" in capsys.readouterr().out


def test_what_is_given_in_place_of_an_experiment_or_a_value_is_told(store, capsys):
    (run,) = synthetic.store(store.root, ("moco",), (0,), dataset="digits", batch_size=64).runs()
    for words, says in {
        f"complete {run.id}": "completed as a whole",
        f"export {run.id} x.zip": "exported as a whole",
        "train photos": f"photos is an experiment; name one of its runs: {run.id}",
        "complete photos --add seed": "--add: expected key=value, not 'seed'",
    }.items():
        assert main(shlex.split(words)) == 2
        assert says in capsys.readouterr().err


@pytest.mark.parametrize("command", ["options", "status"])
def test_who_stops_reading_ends_a_command_quietly(store, command):
    process = shell(command)
    process.stdout.close()  # as `head` does
    assert process.wait(timeout=60) == 128 + signal.SIGPIPE and process.stderr.read() == ""


# -- The manual ------------------------------------------------------------------


def test_without_an_output_nothing_is_told_and_nothing_goes_wrong(store, nothing_starts):
    command = shlex.join([sys.executable, "-m", "sslcore", "presets"])
    process = subprocess.run(["sh", "-c", f"{command} >&-"], stderr=subprocess.PIPE, text=True)
    assert (process.returncode, process.stderr) == (0, "")


def test_the_manual_names_every_command_and_option(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    manual = capsys.readouterr().out
    for command in (
        "launch",
        "train",
        "status",
        "stop",
        "resume",
        "complete",
        "evaluate",
        "agent",
        "views",
        "profile",
        "memory",
        "presets",
        "options",
    ):
        assert f"\n    {command} " in manual
    assert main(["options"]) == 0
    told = capsys.readouterr().out
    for name, field in OPTIONS.items():
        assert f"{name}  (" in told and field.description in told
    assert "moco.momentum  (float >= 0 and <= 1; default 0.99)" in told
    assert "simclr.negatives  (int >= 1 or empty; default empty)" in told


def test_memory_is_told_of_every_run_and_nothing_is_made(store, capsys):
    grid = ["memory", "quick", "--set", "device=cpu", "--vary", "batch_size=32,64"]
    assert main(grid) == 0
    lines = capsys.readouterr().out.splitlines()
    assert main([*grid, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [line.split()[-1] for line in lines] == list(told) and len(told) == 6
    assert all(in_bytes(told[name]) in line for name, line in zip(told, lines))
    assert 0 < told["simclr-bs32-s0"] < told["simclr-bs64-s0"]
    with pytest.raises(SystemExit):
        main(["memory", "--help"])
    assert plan.MEMORY in " ".join(capsys.readouterr().out.split()), "as the launch form says it"
    assert not store.root.exists()


def test_every_preset_can_be_planned(capsys):
    assert main(["presets"]) == 0
    told = capsys.readouterr().out
    for name in plan.presets():
        assert name in told
        planned = plan.plan(plan.read(name))
        assert planned.configs and not planned.problems


def test_the_examples_of_the_manual_are_valid(store, nothing_starts, monkeypatch, capsys):
    """Every example that launches a preset which comes with Triptych makes its runs."""
    lines = [line for line in EXAMPLES.splitlines() if "{p} launch photos --vary" in line]
    assert lines
    for line in lines:
        command = line.split("   ")[0].strip().removeprefix("{p} ")
        assert main(shlex.split(command)) == 0, command
    assert len(store.experiments()) == len(lines)


def test_a_profile_names_the_operators_and_keeps_a_trace_and_nothing_else(store, shapes, tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("KINETO_LOG_LEVEL", raising=False)
    trace = tmp_path / "trace.json"
    settings = f"dataset={shapes} image_size=16 batch_size=16 device=cpu"
    assert main(shlex.split(f"profile --steps 1 --trace {trace} --set {settings}")) == 0
    told, complaints = capfd.readouterr()
    assert "convolution_backward" in told and "images/s" in told
    assert "ERROR" not in complaints, "a processor has no GPU that the profiler could ask"
    assert json.loads(trace.read_text())["traceEvents"] and not store.root.exists()


def test_a_title_is_read_in_every_locale(store, nothing_starts):
    assert main(["launch", "photos", "--name", "e", "--title", "Größe – 大", "--vary", "method=byol"]) == 0
    ascii_only = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    for words in ("status", "export e e.zip"):
        process = shell(words, env=ascii_only, cwd=store.root)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0 and "Gr??e ? ?" in out, err
