"""Launching, resuming and completing: what is queued, under which name, and the command that makes it again."""

import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sslcore import launch, plan
from sslcore.__main__ import main, parser
from sslcore.commands import again
from sslcore.config import resolve
from sslcore.experiment import Experiment, Run, Spec, Store
from sslcore.files import write_json
from tests import synthetic


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


def test_a_run_that_began_while_others_were_resumed_is_no_refusal(store, nothing_starts, monkeypatch, capsys):
    """The agent that the first of them brought up has taken the queued one."""
    assert main(["launch", "photos", "--name", "e"]) == 0
    first, second, *_ = store.experiment("e").runs()
    first.update_status(state="stopped")
    monkeypatch.setattr("sslcore.launch.start", lambda store: second.update_status(state="finished"))
    assert main(["resume", first.id, second.id]) == 0
    said = capsys.readouterr().out
    assert f"{first.id}: queued\n{second.id}: finished already\n" in said


def test_what_has_no_checkpoint_is_said_to_begin_anew(store, nothing_starts, capsys):
    """As of an experiment that came without its checkpoints: what it had logged is lost with the first step."""
    experiment = synthetic.store(store.root, methods=("byol",), seeds=(0,))
    (run,) = experiment.runs()
    run.results_file.unlink()
    run.write_status(synthetic.status(run, "stopped", progress=0.5))
    assert main(["resume", run.id]) == 0
    assert capsys.readouterr().out == f"{run.id}: queued to begin anew: it has no checkpoint\n"


def test_runs_without_weights_are_left_out_of_what_is_evaluated_unless_one_is_named(store, capsys, monkeypatch):
    one, other = synthetic.store(store.root, methods=("byol",), seeds=(0, 1)).runs()
    measured = []
    monkeypatch.setattr("sslcore.worker.main", lambda run, **_: measured.append(run.id) or 0)
    other.encoder_file.touch()
    assert main(["evaluate", "photos"]) == 0 and measured == [other.id]
    assert f"left out: {one.id}: there is no encoder.safetensors" in capsys.readouterr().err
    assert main(["evaluate", one.id, other.id]) == 2 and measured == [other.id]
    other.encoder_file.unlink()
    assert main(["evaluate"]) == 2


def test_status_says_what_cannot_be_read(store, capsys):
    torn, lost, _ = runs = synthetic.store(store.root, methods=("byol",), seeds=(0, 1, 2)).runs()
    assert main(["status", "photos"]) == 0 and "warning" not in capsys.readouterr().out
    torn.config_file.write_text("{ torn")
    lost.results_file.unlink()
    assert main(["status", "photos"]) == 0
    said = capsys.readouterr().out
    assert (
        f"warning: {torn.name}: config.json cannot be read" in said and f"warning: {lost.name}: results.json is missing" in said
    )
    assert runs[2].name not in said.partition("warning")[2]
    runs[0].experiment.spec_file.write_text("{")
    assert main(["status", "photos"]) == 0
    assert f"warning: {runs[0].experiment.spec_file} cannot be read" in capsys.readouterr().out


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


def test_a_setting_of_a_method_that_has_no_runs_is_told(store, nothing_starts, capsys):
    assert main(["launch", "photos", "--vary", "method=simclr", "--set", "moco.queue_size=512", "simclr.temperature=0.3"]) == 0
    said = capsys.readouterr().err
    assert "moco.queue_size is set, and no run is MoCo's: it makes no difference" in said and "simclr.temperature" not in said
    assert main(["launch", "photos", "--set", "moco.queue_size=512"]) == 0 and "no run is" not in capsys.readouterr().err


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
