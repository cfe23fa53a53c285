"""What is wrong is told in one line, and leaves nothing behind."""

import os
import re
import shlex
import shutil
import time
from pathlib import Path

import pytest

from sslcore import launch, plan
from sslcore.__main__ import main
from sslcore.config import resolve
from sslcore.experiment import Run, Spec
from sslcore.notation import seconds_of
from tests import synthetic
from tests.cli.shell import TINY, shell


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("launch", "PRESET"),
        ("lunch photos", "lunch"),
        ("launch nowhere.yaml", "nowhere.yaml"),
        ("launch photos --set epoch=3", "epoch: there is no such setting; did you mean epochs?"),
        ("launch photos --set queue_size=3", "did you mean moco.queue_size?"),
        ("launch photos --set compile=maybe", "compile: must be 'auto', 'on' or 'off', not 'maybe'"),
        ("launch photos --set seed=!!bool", "seed: "),
        ("launch photos --set epochs=0", "epochs: must be greater than or equal to 1, not 0"),
        ("launch photos --set epochs=many", "epochs: must be a whole number"),
        ("launch photos --set epochs=true", "epochs: must be a number, not True"),
        ("launch photos --set epochs", "expected key=value, not 'epochs'"),
        ("launch photos --set epochs=[", "epochs: "),
        ("launch photos --set epochs=3 epochs=4", "epochs: given twice"),
        ("launch photos --set seed=3 --vary seed=4,5", "seed: "),
        ("launch photos --vary seed=", "seed: no values"),
        ("launch photos --vary seed=1,1", "listed twice"),
        ("launch photos --vary method=simsiam", "method: must be one of moco, simclr"),
        ("launch photos --set batch_size=100000", "batch_size: 100000 is larger than the data set"),
        ("launch photos --set dataset=missing", "missing"),
        ("launch photos --set dataset={pictures}/empty", "empty"),
        ("launch photos --set dataset={pictures}/single batch_size=2 evaluate.knn_k=1", "single class"),
        ("launch photos --set dataset={pictures}/few batch_size=2", "evaluate.knn_k: 20 neighbours are more than"),
        ("launch photos --set dataset={pictures}/bare batch_size=2", "bare has a single test image"),
        ("launch photos --name ...", "--name: "),
        ("launch photos --title \udcff", "--title: it is not UTF-8"),
        ("launch photos --name 日本", "--name: nothing of '日本' can be in a folder's name, which here has ASCII letters"),
        ("launch photos --set device=cuda", "device: cuda was asked for"),
        ("launch photos --set devices=2", "devices: 2 GPUs were asked for"),
        ("launch photos --root {pictures}/file", "is to hold experiments, and is or lies in a file"),
        ("launch photos --name mine --root {pictures}/file/below", "is to hold experiments, and is or lies in a file"),
        ("launch photos --root /proc/x", "TRIPTYCH_EXPERIMENTS, names another"),
        ("agent --idle 0 --root /proc/x", "TRIPTYCH_EXPERIMENTS, names another"),
        ("slurm --set cpus=3 --root /proc/x", "TRIPTYCH_EXPERIMENTS, names another"),
        ("status --root {pictures}/file", "{pictures}/file is to hold experiments, and is or lies in a file"),
        ("status --root {pictures}/file/below", "is to hold experiments, and is or lies in a file"),
        ("train nowhere", "nowhere is not a run"),
        ("status nothing", "nothing: no such experiment or run"),
        ("stop nothing/here", "nothing/here: no such experiment or run"),
        ("resume ../etc", "no such experiment or run"),
        ("evaluate", "only finished runs can be evaluated"),
        ("complete nothing", "nothing: no such experiment"),
        ("views --out x.webp --set epochs=0", "epochs: "),
        ("memory nothing", "nothing: neither a preset"),
        ("memory photos --set batch_size=100000", "batch_size: 100000 is larger than the data set"),
        ("memory photos --set seed=3 --vary seed=4,5", "seed: given to --set and to --vary"),
        ("profile nothing", "nothing: no such experiment or run"),
        ("profile --steps 0", "--steps: at least 1"),
        ("profile --trace {pictures}", "this is a folder; name a file"),
        ("profile --trace {pictures}/nowhere/x.json", "there is no folder to put it into"),
        ("profile --trace ''", "--trace .: this is a folder"),
        ("profile --set dataset=digits batch_size=64 device=cpu devices=2", "devices: a profile is of a single process"),
        ("profile --set dataset=digits batch_size=8 simclr.negatives=999", "simclr.negatives: a batch of 8 has 14 negatives"),
        ("profile --set dataset={pictures}/bare batch_size=2", "dataset: {pictures}/bare has a single test image"),
        ("views --out {pictures}/v", "name a file that ends in .webp or .png"),
        ("views --out {pictures}", "--out {pictures}: this is a folder"),
        ("views --out ''", "--out .: this is a folder"),
        ("launch photos --set devices=3", "devices: must divide batch_size"),
        ("launch photos --set 'epochs=&a [*a]'", "epochs: "),
        (
            "launch augmentations --vary 'augment=[{{}}, {{flop: 0}}]'",
            "augment.flop: there is no such setting; did you mean augment.flip?",
        ),
        ("status ''", "'': no such experiment or run"),
        ("agent --idle nan", "--idle nan: give seconds"),
        ("agent --idle -1", "--idle -1.0: give seconds"),
        ("agent --idle 0 --root {pictures}/file", "{pictures}/file is to hold experiments, and is or lies in a file"),
        ("slurm --set cpus=3 --root {pictures}/file", "{pictures}/file is to hold experiments, and is or lies in a file"),
    ],
)
def test_bad_input_is_told_in_words_and_leaves_nothing_behind(arguments, says, store, pictures, capsys):
    try:
        code = main(shlex.split(arguments.format(pictures=pictures)))
    except SystemExit as ended:  # argparse ends by itself
        code = ended.code
    told = capsys.readouterr()
    assert code == 2 and not told.out
    assert says.format(pictures=pictures) in told.err
    (line,) = told.err.splitlines()
    assert line.startswith("python -m sslcore: error: ")
    assert not store.root.exists()


def test_a_variable_that_is_no_number_is_told_by_its_name(monkeypatch):
    for text in ("abc", "-1", "nan"):
        monkeypatch.setenv("TRIPTYCH_STOP_GRACE", text)
        with pytest.raises(ValueError, match=f"TRIPTYCH_STOP_GRACE={text}: expected a number of seconds"):
            seconds_of("TRIPTYCH_STOP_GRACE")
    monkeypatch.setenv("TRIPTYCH_STOP_GRACE", "2.5")
    assert seconds_of("TRIPTYCH_STOP_GRACE") == 2.5 and seconds_of("TRIPTYCH_NOT_SET") == 30
    with shell("--help", env=os.environ | {"TRIPTYCH_STOP_GRACE": "abc"}) as process:
        assert "Exit codes" in process.communicate()[0], "only the agent asks for it"
    monkeypatch.setenv("TRIPTYCH_STOP_GRACE", "abc")
    assert main(["agent"]) == 2
    monkeypatch.delenv("TRIPTYCH_STOP_GRACE")
    monkeypatch.setenv("TRIPTYCH_CHECKPOINT_SECONDS", "abc")
    assert main(["agent"]) == 2, "for the runs that it would start"


def test_a_run_that_is_named_twice_is_taken_once(store, capsys, monkeypatch):
    (run,) = synthetic.store(store.root, ("moco",), (0,), dataset="digits", batch_size=64).runs()
    monkeypatch.setattr("sslcore.weights.check", lambda run: None)
    monkeypatch.setattr("sslcore.worker.main", lambda run, evaluate_only: 0)
    assert main(["evaluate", "photos", run.id]) == 0
    assert capsys.readouterr().out == f"{run.id}: evaluating, run 1 of 1\n"


def test_a_run_that_somebody_else_has_resumed_meanwhile_is_left_as_it_stands(store, nothing_starts, monkeypatch):
    (run,) = synthetic.store(store.root, ("moco",), (0,), dataset="digits", batch_size=64).runs()
    run.update_status(state="stopped")
    monkeypatch.setattr(Run, "check_goes_on", lambda run: run.update_status(state="finished"))
    with pytest.raises(ValueError, match="is finished"):
        launch.resume(run)
    assert run.recorded_status().state == "finished"


def test_a_run_that_begins_anew_has_made_no_progress(store, nothing_starts):
    runs = synthetic.store(store.root, ("moco",), (0, 1), dataset="digits", batch_size=64).runs()
    runs[0].checkpoint_file.touch()
    for run in runs:
        run.results_file.unlink()
        run.update_status(state="stopped", progress=0.6)
        launch.resume(run)
    assert [run.status().progress for run in runs] == [0.6, 0.0]


def test_a_queued_run_is_not_taken_from_its_engine_by_a_resume(store, capsys, nothing_starts):
    (run,) = store.create("e", Spec(), {"a": resolve({})}).runs()
    assert main(["resume", run.id, "--engine", "slurm"]) == 2
    assert "e/a is queued for this machine: stop it, then resume it for Slurm" in capsys.readouterr().err
    assert main(["resume", run.id, "--engine", "local"]) == 0 == main(["resume", run.id])


@pytest.mark.parametrize(("command", "before"), [("stop", "running"), ("resume", "stopped")])
def test_a_colleagues_run_is_told_and_keeps_nobody_from_the_others(command, before, store, capsys, monkeypatch):
    runs = synthetic.store(store.root, ("moco",), (0, 1), dataset="digits", batch_size=64).runs()
    for run in runs:
        run.results_file.unlink()
        run.update_status(state=before, engine="slurm" if before == "running" else None, heartbeat=time.time())
    done = []

    def denied(run: Run, *_) -> None:
        if run.name == runs[0].name:
            raise PermissionError(13, "Permission denied", str(run.path))
        done.append(run.name)

    monkeypatch.setattr(launch, command, denied)
    assert main([command]) == 1
    said = capsys.readouterr()
    assert done == [runs[1].name] and f"{runs[1].id}: " in said.out
    assert said.err.startswith(f"{runs[0].id} cannot be ") and "Permission denied" in said.err and runs[1].id not in said.err


def test_of_an_experiment_without_runs_that_can_be_read_it_is_told_why(store, capsys, monkeypatch):
    lost, other = synthetic.store(store.root, ("moco",), (0, 1), dataset="digits", batch_size=64).runs()
    lost.config_file.unlink()
    closed = other.experiment.path / "closed"
    closed.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed)
    assert main(["status", "photos"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"{lost.name} has no config.json" in told
    assert f"{closed.name} is left out: this user may not look into the folder" in told
    other.config_file.unlink()
    assert main(["status", "photos"]) == 2
    assert f"no runs that can be read: {lost.name} has no config.json" in capsys.readouterr().err
    assert main(["export", "photos", str(store.root / "out.zip")]) == 0
    assert f"photos/{closed.name} may not be looked into by this user, and is left out" in "".join(capsys.readouterr())


def test_what_waits_for_another_machines_agent_is_not_told_to_wait_for_one(store, capsys):
    (run,) = synthetic.store(store.root, ("moco",), (0,), dataset="digits", batch_size=64).runs()
    run.update_status(state="queued", queued_on="tower7")
    assert main(["status"]) == 0 and "no agent is at work" in capsys.readouterr().out
    theirs = store.root / ".agent" / "tower7" / "agent.json"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    assert main(["status"]) == 0 and "no agent is at work" not in capsys.readouterr().out


def test_a_running_run_whose_config_is_torn_hides_no_other(store, capsys):
    runs = synthetic.store(store.root, ("moco", "byol"), (0,), dataset="digits", batch_size=64).runs()
    synthetic.running(runs[0])
    runs[0].config_file.write_text("{")
    assert main(["status", "photos"]) == 0
    runs[0].update_status(state="stopped", pid=None)  # it is this process, which the end of the store would kill
    told = capsys.readouterr().out
    assert "images/s" in told and runs[1].name in told and "finished" in told


@pytest.mark.parametrize("command", ["status e", "stop e", "resume e", "evaluate e", "profile e"])
def test_an_experiment_without_runs_is_called_so(command, store, capsys):
    store.create("e", Spec(), {})
    assert main(command.split()) == 2
    assert capsys.readouterr().err == "python -m sslcore: error: e: this experiment has no runs\n"


def test_runs_that_are_deleted_while_the_shell_waits_are_told(store, capsys, monkeypatch, nothing_starts):
    monkeypatch.setattr("sslcore.progress.wait", lambda experiment, out: shutil.rmtree(experiment.path))
    assert main(shlex.split(f"launch photos --name gone --set {TINY} --wait")) == 1
    assert "gone was deleted before its runs had finished" in capsys.readouterr().err


def test_a_store_that_may_not_be_written_is_told_with_what_to_do(store, capsys, monkeypatch):
    def denied(folder, *_, **__):
        raise PermissionError(13, "Permission denied", str(folder))

    store.root.mkdir()
    monkeypatch.setattr(Path, "mkdir", denied)
    assert main(shlex.split(f"launch photos --name denied --set {TINY}")) == 2
    told = capsys.readouterr().err
    assert f"{store.root}: Permission denied. Whoever runs this must be allowed to read and write there" in told
    assert "--root" in told and "Errno" not in told


def test_an_interrupt_is_no_traceback(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("sslcore.plan.presets", interrupted)
    assert main(["presets"]) == 130
    assert capsys.readouterr().err.strip() == "python -m sslcore: interrupted"


def test_an_import_into_a_store_that_is_a_file_is_told_in_words(store, tmp_path, capsys):
    assert main(["export", synthetic.store(store.root, ("moco",), (0,)).name, str(tmp_path / "e.zip")]) == 0
    (tmp_path / "file").touch()
    assert main(["import", str(tmp_path / "e.zip"), "--root", str(tmp_path / "file")]) == 2
    assert "file is to hold experiments, and is or lies in a file" in capsys.readouterr().err


def test_a_blank_title_is_none(store, nothing_starts):
    assert main(["launch", "photos", "--title", "  "]) == 0
    assert store.experiment("photos").spec().title == plan.read("photos").title


def test_what_could_not_be_stopped_is_told_as_an_error_and_what_had_ended_is_not(store, capsys, monkeypatch):
    run, other = synthetic.store(store.root, ("moco",), (0, 1)).runs()

    def refused(of: Run) -> None:
        if of.id == other.id:
            other.update_status(state="finished")
        raise ValueError(f"not {of.id}")

    monkeypatch.setattr("sslcore.launch.stop", refused)
    for left, code in ((run, 1), (other, 0)):
        left.update_status(state="queued")
        assert main(["stop", left.id]) == code
        told = capsys.readouterr()
        assert (told.err if code else told.out) == f"not {left.id}\n"


def test_where_no_agent_comes_up_the_runs_are_queued_and_the_shell_says_so(store, capsys, monkeypatch):
    def refused(store):
        raise RuntimeError("it is another user's")

    monkeypatch.setattr("sslcore.launch.start", refused)
    assert main(["launch", "photos"]) == 1
    told = capsys.readouterr().err
    assert "photos is there and its runs are queued" in told and f"agent --root {store.root})" in told
    assert len(store.experiments()) == 1 and {run.status().state for run in store.runs()} == {"queued"}


@pytest.mark.parametrize("command", ["stop", "resume"])
def test_where_no_agent_comes_up_all_runs_are_asked_all_the_same(store, capsys, monkeypatch, command):
    def refused(store):
        raise launch.NoAgent("it is another user's")

    monkeypatch.setattr("sslcore.launch.start", refused)
    runs = synthetic.store(store.root, ("moco",), (0, 1, 2)).runs()
    for run in runs:
        run.results_file.unlink()
        run.update_status(
            state="running" if command == "stop" else "stopped",
            engine="slurm" if command == "stop" else None,
            host="node",
            heartbeat=time.time(),
        )
    assert main([command, *(run.id for run in runs)]) == 1
    assert "it is another user's" in capsys.readouterr().err
    if command == "stop":
        assert all(run.stop_file.exists() for run in runs)
    else:
        assert {run.recorded_status().state for run in runs} == {"queued"}


def test_all_problems_are_told_at_once_in_one_line(store, capsys):
    assert main(shlex.split("launch photos --set epochs=0 seed=-1 head.dim=1")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.findall("([a-z.]+): must be", line) == ["epochs", "seed", "head.dim"]


def test_a_taken_name_is_refused_and_a_preset_name_is_numbered(store, nothing_starts, capsys):
    with_a_warning = "launch photos --name mine --set dataset=digits batch_size=1000"
    assert main(shlex.split(with_a_warning)) == 0
    assert "do not fill a batch" in capsys.readouterr().err
    assert main(shlex.split(with_a_warning)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "mine: an experiment of this name exists" in line
    assert main(["launch", "photos"]) == main(["launch", "photos"]) == 0
    assert {experiment.name for experiment in store.experiments()} == {"mine", "photos", "photos-2"}
