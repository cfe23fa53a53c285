"""The command line: in this process where that is enough, as a real command where processes matter."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sslcore import launch, plan
from sslcore.__main__ import EXAMPLES, main, parser
from sslcore.commands import again
from sslcore.config import OPTIONS, resolve
from sslcore.experiment import Experiment, Run, Spec, Store
from sslcore.files import read_json, write_json
from sslcore.launch.slots import folder
from sslcore.locks import process_is
from sslcore.notation import axes_of, axes_words, seconds_of, settings_of, settings_words, value_of
from sslcore.wording import in_bytes
from tests import synthetic
from tests.waiting import until

ROOT = Path(__file__).parents[1]
TINY = (
    "dataset=digits image_size=8 epochs=1 batch_size=256 evaluate.sample=64 evaluate.knn_train=200 evaluate.knn_k=5 "
    "evaluate.labels=false evaluate.heads=false device=cpu"
)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store in a folder that does not exist yet; agents and runs that were started for it are ended afterwards."""
    monkeypatch.setenv("TRIPTYCH_EXPERIMENTS", str(tmp_path / "store"))
    monkeypatch.setenv("TRIPTYCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    store = Store()
    yield store
    who = read_json(folder(store) / "agent.json") or {}
    processes = [(who.get("pid"), who.get("pid_started"))]
    processes += [(status.pid, status.pid_started) for status in (run.recorded_status() for run in store.runs())]
    for pid, started in processes:
        if process_is(pid, started):
            psutil.Process(pid).kill()


@pytest.fixture
def nothing_starts(monkeypatch):
    monkeypatch.setattr("sslcore.launch.start", lambda store: None)


def shell(command: str, **kwargs) -> subprocess.Popen:
    words = [sys.executable, "-m", "sslcore", *shlex.split(command)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)


# -- Bad input -------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path):
    """Folders of images that cannot be used, each in a way of its own."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "bare").mkdir()
    for k in range(5):
        Image.fromarray(np.full((16, 16, 3), 20 * k, np.uint8)).save(tmp_path / "bare" / f"{k}.png")
    for name, classes in {"single": ["cat"], "few": ["cat", "dog"]}.items():
        for kind in classes:
            (tmp_path / name / kind).mkdir(parents=True)
            for k in range(6):
                Image.fromarray(np.full((16, 16, 3), 20 * k, np.uint8)).save(tmp_path / name / kind / f"{k}.png")
    return tmp_path


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
        raise PermissionError(13, "Permission denied", f"{folder}/new")

    store.root.mkdir()
    monkeypatch.setattr("tempfile.mkdtemp", lambda *_, **named: denied(named["dir"]))
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


# -- What is launched ------------------------------------------------------------


def test_of_several_runs_none_is_resumed_where_one_cannot_be(store, nothing_starts, capsys):
    assert main(["launch", "photos", "--name", "e"]) == 0
    first, *_, last = runs = store.experiment("e").runs()
    for run in runs:
        run.update_status(state="stopped")
    write_json(last.results_file, {"linear": {}})  # measured, and its checkpoint is elsewhere
    assert main(["resume", "e"]) == 2
    assert f"{last.id} has been measured" in capsys.readouterr().err
    assert {run.status().state for run in runs} == {"stopped"}
    assert main(["resume", first.id]) == 0 and first.status().state == "queued"
    assert capsys.readouterr().out == f"{first.id}: queued\n"


def test_what_has_no_checkpoint_is_said_to_begin_anew(store, nothing_starts, capsys):
    """As of an experiment that came without its checkpoints: what it had logged is lost with the first step."""
    experiment = synthetic.store(store.root, methods=("byol",), seeds=(0,))
    (run,) = experiment.runs()
    run.results_file.unlink()
    run.write_status(synthetic.status(run, "stopped", progress=0.5))
    assert main(["resume", run.id]) == 0
    assert capsys.readouterr().out == f"{run.id}: queued to begin anew: it has no checkpoint\n"


def test_whoever_names_no_runs_stops_and_resumes_all_of_the_store(store, nothing_starts, capsys):
    assert main(["stop"]) == main(["resume"]) == 2
    assert f"no runs in {store.root}" in capsys.readouterr().err
    assert main(["launch", "quick", "--name", "a"]) == main(["launch", "quick", "--name", "b"]) == 0
    ended = store.experiment("a").runs()[0]
    ended.update_status(state="finished")
    for command, state in (("stop", "stopped"), ("resume", "queued")):
        assert main([command]) == 0
        assert {run.status().state for run in store.runs() if run.id != ended.id} == {state}
        assert ended.status().state == "finished"


def test_set_and_vary_replace_what_the_preset_says(store, nothing_starts):
    command = (
        "launch photos --name g --set epochs=3 head.dim=32 --set moco.queue_size=99 --vary method=moco batch_size=64,128 --vary "
        "seed=0,1"
    )
    assert main(shlex.split(command)) == 0
    runs = store.experiment("g").runs()
    assert [run.name for run in runs] == ["moco-bs128-s0", "moco-bs128-s1", "moco-bs64-s0", "moco-bs64-s1"]
    assert {(run.config.epochs, run.config.head.dim, run.config.moco.queue_size) for run in runs} == {(3, 32, 99)}
    assert {run.status().state for run in runs} == {"queued"}
    queue = sorted(runs, key=lambda run: run.status().queued_at)
    assert [run.name for run in queue] == ["moco-bs64-s0", "moco-bs64-s1", "moco-bs128-s0", "moco-bs128-s1"], (
        "in the grid's order"
    )


@pytest.mark.parametrize("command", ["--root {root} launch photos --name r", "launch photos --name r --root {root}"])
def test_root_may_stand_before_or_after_the_command(command, store, tmp_path, nothing_starts):
    assert main(shlex.split(command.format(root=tmp_path / "elsewhere"))) == 0
    assert (tmp_path / "elsewhere" / "r").is_dir() and not store.root.exists()


@pytest.mark.parametrize("wait", ["", " --wait"])
def test_who_has_launched_is_sent_to_the_store_in_which_the_runs_are(wait, store, tmp_path, nothing_starts, capsys, monkeypatch):
    monkeypatch.setattr("sslcore.progress.wait", lambda experiment, out: True)
    monkeypatch.chdir(tmp_path)
    for root in (["--root", "else where"], ["--root=-x"]):
        assert main([*root, *shlex.split(f"launch photos{wait}")]) == 0
        _, _, command = capsys.readouterr().out.partition("in the browser: ")
        assert shlex.split(command) == ["python", "-m", "dashboard", *root]
    assert main(shlex.split(f"launch photos{wait}")) == 0
    assert capsys.readouterr().out.endswith("in the browser: make app\n"), "which opens the store of this environment"


def test_commands_that_status_tells_find_the_store(store, tmp_path, nothing_starts, capsys):
    root = f"--root {tmp_path / 'elsewhere'}"
    assert main(shlex.split(f"status {root}")) == 0
    assert f"launch photos --wait {root} makes the first" in capsys.readouterr().out
    assert main(shlex.split(f"launch photos {root}")) == main(shlex.split(f"status {root}")) == 0
    assert f"python -m sslcore agent {root}, or resume" in capsys.readouterr().out


def test_warnings_are_told_and_do_not_stop(store, nothing_starts, capsys):
    assert main(shlex.split("launch photos --vary method=moco --set moco.queue_size=1000000")) == 0
    assert "warning: moco.queue_size" in capsys.readouterr().err


def test_a_data_set_is_found_from_any_folder(store, pictures, nothing_starts, monkeypatch):
    monkeypatch.chdir(pictures)
    assert main(shlex.split("launch photos --name p --set dataset=few batch_size=2 evaluate.knn_k=2")) == 0
    assert {run.config.dataset for run in store.experiment("p").runs()} == {str(pictures / "few")}


def test_a_data_set_that_is_added_is_found_from_any_folder(store, pictures, nothing_starts, monkeypatch):
    monkeypatch.chdir(pictures)
    shutil.copytree("few", "other")
    small = "--set batch_size=2 evaluate.knn_k=2 moco.queue_size=4"
    assert main(shlex.split(f"launch photos --name p {small} --vary dataset=few method=moco")) == 0
    assert main(shlex.split("complete p --add dataset=other")) == 0
    assert {run.config.dataset for run in store.experiment("p").runs()} == {str(pictures / "few"), str(pictures / "other")}
    assert store.experiment("p").spec().command.splitlines()[1].endswith(f" --add dataset={pictures / 'other'}")


def test_the_kept_command_of_what_has_grown_is_of_one_experiment(store, nothing_starts):
    for _ in range(2):
        assert main(["launch", "photos"]) == 0
    assert main(["complete", "photos-2", "--add", "seed=1"]) == 0
    first, second = map(shlex.split, store.experiment("photos-2").spec().command.splitlines())
    assert parser().parse_args(first[3:]).name == parser().parse_args(second[3:]).name == "photos-2"
    assert parser().parse_args(first[3:]).title == store.experiment("photos-2").spec().title == plan.read("photos").title


def test_a_grid_grows_only_where_its_runs_can_be_queued_and_a_second_try_goes_on(store, nothing_starts, monkeypatch, capsys):
    experiment = synthetic.store(store.root, ("moco",), (0,), dataset="digits", batch_size=64)
    experiment.runs()[0].update_status(engine="slurm", job_id="5_0")
    before = experiment.spec()
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["complete", "photos", "--add", "seed=3"]) == 2
    assert experiment.spec() == before
    plan.grow(experiment, {"seed": [3]})  # as a try did that ended between the two
    assert main(["complete", "photos", "--add", "seed=3", "--engine", "local"]) == 0
    assert experiment.run("moco-bs64-s3").status().state == "queued"
    assert main(["complete", "photos", "--add", "seed=", "--engine", "local"]) == 2 and "no value" in capsys.readouterr().err


def test_nothing_is_queued_where_a_run_cannot_be_completed(store, nothing_starts, capsys):
    experiment = synthetic.store(store.root, ("moco",), (0,), dataset="digits", batch_size=64)
    torn = Run(shutil.copytree(experiment.runs()[0].path, experiment.path / "zz"))
    torn.config_file.write_text("{")
    torn.results_file.unlink()
    torn.update_status(state="stopped")
    assert main(["complete", "photos", "--add", "seed=1"]) == 2 and "zz/config.json" in capsys.readouterr().err
    assert not experiment.run("moco-bs64-s1").exists()


def test_what_was_queued_is_started_where_another_run_is_refused_at_the_last_moment(store, monkeypatch):
    started = []
    monkeypatch.setattr("sslcore.launch.start", started.append)
    experiment = synthetic.store(store.root, ("moco",), (0,), dataset="digits", batch_size=64)
    (run,) = experiment.runs()
    run.results_file.unlink()
    run.update_status(state="stopped")
    plan.grow(experiment, {"seed": [1]})
    monkeypatch.setattr(Experiment, "add", lambda experiment, new: run.update_status(state="finished") and [run])
    with pytest.raises(ValueError, match="is finished"):
        launch.complete(experiment)
    assert started


def do_again(experiment: Experiment, monkeypatch, tmp_path) -> Experiment:
    """What whoever has nothing but the kept command makes of it, in a store of their own."""
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    *file, command = experiment.spec().command.splitlines()
    subprocess.run(["sh"], input="".join(f"{line}\n" for line in file), text=True, check=True)
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "sslcore"]
    assert main([*words[3:], "--root", str(tmp_path / "again")]) == 0
    return Store(tmp_path / "again").experiment(experiment.name)


def test_the_kept_command_makes_the_same_experiment_again(store, pictures, nothing_starts, monkeypatch, tmp_path):
    monkeypatch.chdir(pictures)
    Path("my own.yaml").write_text("base: {dataset: photos, epochs: 2}\naxes: {method: [byol, simclr]}\n")
    given_ = "launch 'my own.yaml' --title 'What  now?' --set learning_rate=1e-3 simclr.negatives= head.kind=none --vary seed=1,2"
    assert main(shlex.split(given_)) == 0
    first = store.experiment("my-own")
    assert str(pictures) not in first.spec().command, "it says nothing of where the file lay"
    Path("my own.yaml").unlink()
    second = do_again(first, monkeypatch, tmp_path)
    for this in (first, second):
        assert len(this.runs()) == 4
    assert [run.config for run in first.runs()] == [run.config for run in second.runs()]
    assert first.spec().model_dump(exclude={"created"}) == second.spec().model_dump(exclude={"created"})


@pytest.mark.parametrize(
    "own",
    [
        "base: {dataset: mine.npz, method: byol}",
        "base: {method: byol, dataset: mine.npz}\naxes: {dataset: [mine.npz, digits], epochs: [1, 2]}",
        "base: {method: byol, dataset: digits}",
    ],
)
def test_the_kept_command_finds_a_files_own_images_from_any_folder(own, store, nothing_starts, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", x_train=np.zeros((8, 16, 16, 3), np.uint8))
    Path("own.yaml").write_text(own)
    assert main(["launch", "own.yaml", "--set", "batch_size=2"]) == 0
    first = store.experiment("own")
    assert ("mine" in own) == (str(tmp_path / "mine.npz") in first.spec().command)
    second = do_again(first, monkeypatch, tmp_path)
    assert [(run.name, run.config) for run in first.runs()] == [(run.name, run.config) for run in second.runs()]


values = st.one_of(
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.text("abc/., '[]{}:#\"-1e~\\", min_size=1, max_size=8),
).filter(lambda value: value_of(json.dumps(value)) == value or not isinstance(value, str))
names = st.sampled_from(sorted(set(OPTIONS) - {"dataset"}))


@given(st.dictionaries(names, values, max_size=4), st.dictionaries(names, st.lists(values, min_size=1, max_size=3), max_size=3))
def test_any_settings_survive_the_shell(settings, axes):
    args = parser().parse_args(["launch", "photos"])
    words = shlex.split(again(args, "photos", Spec(title="Photos"), settings, axes))
    parsed = parser().parse_args(words[3:])
    assert settings_of(parsed.set) == settings
    assert axes_of(parsed.vary) == axes


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        ("-2.5", -2.5),
        ("true", True),
        ("True to colour", "True to colour"),  # as of a preset's title
        ("off", "off"),  # as of compile
        ("", None),
        ("none", "none"),
        ("/a/b c", "/a/b c"),
        ("1.2.3", "1.2.3"),
        ("010", 10.0),  # not YAML's octal 8
        ("08", 8.0),
        ("1:30", "1:30"),  # nor ninety
        ("0x10", "0x10"),
        ("1_000", 1000),
    ],
)
def test_values_are_what_a_reader_would_take_them_for(text, value):
    assert value_of(text) == value and type(value_of(text)) is type(value)


@pytest.mark.parametrize("path", ["/tmp/a b #1", "/tmp/a: b", "/tmp/*", "/tmp/it's", "/tmp/010", "{x}", "/tmp/😀"])
def test_a_data_set_is_the_path_that_was_typed(path):
    assert settings_of([f"dataset={path}"]) == {"dataset": path} == settings_of(settings_words({"dataset": path}))
    assert axes_of([f"dataset={path},digits"]) == {"dataset": [path, "digits"]}
    for paths in ([path, "digits"], ["/a, b", path]):
        assert axes_of(axes_words({"dataset": paths})) == {"dataset": paths}


def test_a_title_may_begin_with_a_dash():
    args = parser().parse_args(["launch", "photos", "--title=-x"])
    assert parser().parse_args(shlex.split(again(args, "photos", Spec(title=args.title), {}, {}))[3:]).title == "-x"


@pytest.mark.parametrize(
    ("own", "flags", "title"),
    [
        ("title: Mine", "--name e", "Mine"),
        ("title: Mine", "--name e --title Other", "Other"),
        ("question: What?", "--name e", "e"),
        ("question: What?", "", "own"),
    ],
)
def test_a_files_own_title_is_kept_under_whatever_name(own, flags, title, store, nothing_starts, tmp_path):
    (tmp_path / "own.yaml").write_text(f"{own}\nbase: {{dataset: digits, method: byol, batch_size: 32}}\n")
    assert main(["launch", str(tmp_path / "own.yaml"), *flags.split()]) == 0
    (experiment,) = store.experiments()
    assert experiment.spec().title == title


@pytest.mark.parametrize("words", [["launch", "photos", "--name=--"], ["launch", "photos", "--set=--"], ["agent", "--idle=--"]])
def test_two_dashes_are_no_value(words, store, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert "-- is no value" in capsys.readouterr().err and not store.root.exists()


def test_a_group_is_varied_from_the_shell_in_place_of_the_presets(store, nothing_starts):
    assert main(["launch", "augmentations", "--name", "g", "--vary", "augment=[{}, {flip: 0}]", "method=byol", "seed=0"]) == 0
    assert {run.config.augment.flip for run in store.experiment("g").runs()} == {0.5, 0.0} and len(
        store.experiment("g").runs()
    ) == 2
    assert store.experiment("g").spec().axes["augment"] == [{}, {"flip": 0}]


def test_a_run_is_trained_by_its_folder_or_by_its_name_in_the_store(store, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr("sslcore.worker.main", lambda run: trained.append(run.path) or 0)
    for root in (store.root, tmp_path / "elsewhere"):
        run = Store(root).create("e", Spec(), {"a": resolve({"dataset": "digits"})}).run("a")
        for words in (f"train {run.path}", f"train {run.id} --root {root}"):
            assert main(words.split()) == 0 and trained.pop() == run.path
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["train", "e/a"]) == 0 and trained.pop() == run.path, "what lies here comes first"
    monkeypatch.chdir(tmp_path)
    assert main(["train", "e/a"]) == 0 and trained.pop() == store.root / "e" / "a"
    assert main(["train", "É/a"]) == 0 and trained.pop() == store.root / "e" / "a", "as other commands know it"
    assert main(["train", "e/b"]) == 2 and not trained


# -- What is asked -----------------------------------------------------------------


def test_results_that_hold_something_else_than_numbers_are_shown_as_none(store, capsys):
    damaged, whole = synthetic.store(store.root, ("moco", "byol"), (0,), dataset="digits", batch_size=64).runs()
    damaged.results_file.write_text('{"linear": 3, "knn": {"accuracy": "x"}}')
    assert main(["status", "photos"]) == 0
    lines = {run.name: line for line in capsys.readouterr().out.splitlines() for run in (damaged, whole) if run.name in line}
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


# -- From end to end -------------------------------------------------------------


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
