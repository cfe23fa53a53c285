"""Going on from a checkpoint: the same bits, the same images, and a file that cannot be read."""

import errno
import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load, save_file

from sslcore import checkpoint, datasets, environment, weights
from sslcore.endings import Failed, Stopped
from sslcore.experiment import Run
from sslcore.files import DiskFull, write_json
from sslcore.stages import cost, work
from sslcore.training import Training
from sslcore.worker import Pulse
from tests.training.small import StopsAt, make_run, small_training, train, untimed


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "moco"},
        {"method": "moco", "moco.negatives": "memory_bank", "moco.queue_size": 40},
        {"method": "simclr", "optimizer": "lars", "simclr.negatives": 9},
        {"method": "byol", "optimizer": "adamw", "micro_batch_size": 9},
        {"method": "supervised"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(shapes, settings):
    whole, parts = make_run("whole", shapes, **settings), make_run("parts", shapes, **settings)
    expected = train(whole).method.state_dict()
    for share in (0.2, 0.5, 0.75):  # within an epoch, and at the end of one
        with pytest.raises(Stopped):
            train(parts, StopsAt(parts, share))
        with parts.metrics_file.open("a") as file:  # rows and half a row after the last checkpoint, as a crash leaves them
            file.write(json.dumps({"step": 17, "loss": 0.0}) + '\n{"step": 18, "lo')
    resumed = train(parts).method.state_dict()
    for name, value in expected.items():  # queue, target and bank included
        assert torch.equal(value, resumed[name]), name
    assert untimed(parts) == untimed(whole)


def test_a_run_goes_on_in_the_precision_in_which_it_began(shapes, monkeypatch):
    whole, parts = make_run("whole", shapes), make_run("parts", shapes)
    monkeypatch.setattr("sslcore.training.pick_precision", lambda config, device: torch.bfloat16)
    expected = train(whole).method.state_dict()
    with pytest.raises(Stopped):
        train(parts, StopsAt(parts, 0.4))
    monkeypatch.setattr("sslcore.training.pick_precision", lambda config, device: torch.float32)  # of another node
    resumed = train(parts).method.state_dict()
    assert all(torch.equal(value, resumed[name]) for name, value in expected.items())
    asked = Training(parts.config.model_copy(update={"precision": "float32"}), datasets.load(shapes, 16), torch.device("cpu"))
    asked.restore(parts)
    assert asked.precision == torch.float32, "who asks for a precision gets it"
    kept = torch.load(parts.checkpoint_file, weights_only=True)
    old = Training(parts.config, datasets.load(shapes, 16), torch.device("cpu"))
    torch.save({name: value for name, value in kept.items() if name != "precision"}, parts.checkpoint_file)
    old.restore(parts)
    assert old.precision == torch.bfloat16, "of an older version: its environment.json alone says so"
    assert "goes on in bfloat16, as it began" in parts.log_tail() and parts.environment()["precision"] == "bfloat16"


def test_rows_that_are_lost_before_the_checkpoint_are_told(shapes):
    whole, cut = (make_run(name, shapes, epochs=3, **{"evaluate.log_every": 2}) for name in ("whole", "cut"))
    for run in (whole, cut):
        with pytest.raises(Stopped):
            train(run, StopsAt(run, 0.7))
    kept = cut.metrics_file.read_text().splitlines(keepends=True)
    cut.metrics_file.write_text("".join(kept[:2]))
    for run, lost in ((whole, 0), (cut, 1)):
        train(run)
        assert sum("metrics.jsonl has lost rows" in warning for warning in run.recorded_status().warnings) == lost


def test_a_run_that_moves_says_on_what_it_trained_in_turn(shapes):
    run = make_run("moved", shapes, epochs=2)
    data = datasets.load(shapes, 16)
    there = Training(run.config, data, torch.device("cpu"))
    there.take_step()
    there.trained_on, there.peak_memory = ["NVIDIA H100"], 1 << 50
    there.save(run)
    here = Training(run.config, data, torch.device("cpu"))
    here.restore(run)
    assert here.peak_memory == 1 << 50, "the highest of all attempts"

    taken = cost(train(run))
    assert taken["device"].startswith("NVIDIA H100, then CPU, ") and "in turn" in taken["protocol"]
    assert "peak of allocated GPU memory or peak resident memory of the process" in taken["protocol"]


def test_energy_is_known_of_all_attempts_or_of_none(shapes):
    training = small_training(shapes)
    for here, before, step, known in (
        (None, 5.0, 1, None),
        (None, 5.0, training.total, 5.0),
        (0.0, None, 1, None),
        (0.0, 5.0, 1, 5.0),
    ):
        training.meter.joules = here  # None: this machine has no counter
        training.restore_cost({"seconds": 1.0, "joules": before, "step": step})
        assert training.meter.joules == known


def test_waiting_is_known_of_all_attempts_or_of_none(shapes):
    training = small_training(shapes)
    for here, kept, step, known in (
        (None, {"waited": 5.0}, 1, None),
        (None, {"waited": 5.0}, training.total, 5.0),
        (0.0, {}, 1, None),  # a checkpoint from before it was counted
        (0.0, {"waited": 5.0}, 1, 5.0),
    ):
        training.waiting.seconds = here  # None: this system does not count it
        training.restore_cost({"seconds": 10.0, "step": step} | kept)
        assert training.waiting.seconds == known
        assert cost(training)["threads_waiting"] == (None if known is None else 0.5)


def test_equal_weights_are_written_as_equal_bytes(shapes):
    run = make_run("same", shapes)
    training = Training(run.config, datasets.load(shapes, 16), torch.device("cpu"))
    written = set()
    for _ in range(8):
        weights.write(run, training.method.encoder, training.views)
        written.add(run.encoder_file.read_bytes())
    assert len(written) == 1
    mean, std = weights.read(run, training.method.encoder)
    assert mean == pytest.approx(training.views.mean.flatten().tolist(), abs=1e-6) and len(std) == 3


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_the_checkpoint_before_the_latest_is_kept_wherever_it_lies_and_whoever_was_killed(shapes, monkeypatch, links):
    run = make_run("kept", shapes)

    def refuse(source, _):
        os.stat(source)  # where there is none, that is what a system says
        raise PermissionError(errno.EPERM, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    link = run.path / f".{run.previous_checkpoint_file.name}.link"
    for step in range(3):
        link.touch()  # by one who was killed between link and rename
        checkpoint.write(run, {"step": step})
    assert checkpoint.read(run) == ({"step": 2}, "") and not link.exists()
    run.checkpoint_file.unlink()
    assert checkpoint.read(run)[0] == {"step": 1}


def test_however_a_checkpoint_is_damaged_the_one_before_it_is_read(shapes):
    run = make_run("damaged", shapes)
    for step in range(2):
        checkpoint.write(run, {"step": step, "weights": torch.full((100,), float(step))})
    whole = run.checkpoint_file.read_bytes()
    flipped = whole.replace(torch.ones(100).numpy().tobytes(), torch.zeros(100).numpy().tobytes())
    for damaged in (b"", b"no zip file", whole[:-9], whole[:50], whole[50:], whole[300:], flipped):
        assert damaged != whole
        run.checkpoint_file.write_bytes(damaged)
        kept, said = checkpoint.read(run)
        assert kept["step"] == 0 and said.startswith("checkpoint.pt is damaged (") and "\n" not in said


def test_a_checkpoint_that_cannot_be_written_leaves_both_and_says_what_it_takes(shapes, monkeypatch):
    run = make_run("full", shapes)
    for step in range(2):
        checkpoint.write(run, {"step": step})

    def refuse(kept, file):
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(DiskFull, match=r"checkpoint\.pt in .* takes 8 MB"):
        patched.setattr(torch, "save", refuse)
        checkpoint.write(run, {"a": {"b": torch.zeros(1_000_000)}, "c": [torch.zeros(500_000, dtype=torch.float64)], "step": 2})
    assert checkpoint.read(run) == ({"step": 1}, "")
    run.checkpoint_file.unlink()
    assert checkpoint.read(run)[0] == {"step": 0}


def test_rows_are_on_the_disk_before_the_checkpoint_that_counts_on_them(shapes, monkeypatch):
    run, synced = make_run("synced", shapes), []
    sync = os.fsync

    def noted(handle):
        synced.append(os.fstat(handle).st_ino)
        sync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    run.append_metrics({"step": 1})
    checkpoint.write(run, {"step": 1})
    assert synced == [run.metrics_file.stat().st_ino, run.checkpoint_file.stat().st_ino]


def test_a_damaged_checkpoint_does_not_become_the_previous_one(shapes):
    run, training = make_run("damaged", shapes), small_training(shapes)
    training.save(run)
    training.take_step()
    training.save(run)
    run.checkpoint_file.write_bytes(b"half a checkpoint")
    assert training.restore(run) and training.step == 0
    training.save(run)
    run.checkpoint_file.write_bytes(b"half a checkpoint")
    assert training.restore(run), "the whole one is still there"


def test_an_unreadable_checkpoint_is_refused_in_words(shapes):
    run = make_run("torn", shapes)
    run.checkpoint_file.write_bytes(b"half a checkpoint")
    with pytest.raises(Failed, match=r"delete it and checkpoint\.previous\.pt to start"):
        train(run)


def test_a_checkpoint_for_which_there_is_no_memory_is_not_called_damaged(shapes, monkeypatch):
    run = make_run("whole", shapes, epochs=1)
    train(run)
    run.checkpoint_file.rename(run.previous_checkpoint_file)
    run.checkpoint_file.write_bytes(run.previous_checkpoint_file.read_bytes())

    def refuse(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(Failed, match=r"^out of memory"):
        work(run, Pulse(run))
    assert run.checkpoint_file.exists() and run.previous_checkpoint_file.exists()


def test_a_run_that_goes_on_with_other_programs_says_so(shapes):
    run = make_run("updated", shapes, epochs=2)
    with pytest.raises(Stopped):
        train(run, StopsAt(run, 0.5))
    began = run.environment()
    write_json(run.environment_file, began | {"git_commit": "2a5546d" + "0" * 33, "packages": {"torch": "1.0.0"}})
    work(run, pulse := Pulse(run))
    (said,) = pulse.status.warnings
    assert said.startswith("went on after step ") and "with other programs than before: " in said
    assert "torch 1.0.0, now 2." in said and ("commit 2a5546d" in said) == bool(began["git_commit"])
    for foreign in ({"packages": 3, "git_commit": [1], "precision": [1]}, {}):
        write_json(run.environment_file, foreign)
        assert not environment.other_programs(run)
        torch.save({name: of for name, of in torch.load(run.checkpoint_file).items() if name != "precision"}, run.checkpoint_file)
        Training(run.config, datasets.load(shapes, 16), torch.device("cpu")).restore(run)


def test_a_run_does_not_go_on_with_other_images(shapes, tmp_path):
    path = tmp_path / "mine.npz"
    with np.load(shapes) as arrays:
        kept = dict(arrays)
    np.savez(path, **kept)
    run = make_run("changed", str(path), epochs=2)
    with pytest.raises(Stopped):
        train(run, StopsAt(run, 0.5))
    np.savez(path, **kept | {"x_train": kept["x_train"][::-1]})
    with pytest.raises(Failed, match=r"mine\.npz has changed since this run was trained on it \(other images, or other labels\)"):
        work(run, Pulse(run))
    np.savez(path, **kept)
    work(run, pulse := Pulse(run))
    assert not pulse.status.warnings and run.environment()["data"]["train"] == 96

    np.savez(path, **kept | {"x_test": kept["x_test"][:40], "y_test": kept["y_test"][:40]})
    for _ in range(2):
        work(run, pulse := Pulse(run), evaluate_only=True)
        (said,) = pulse.status.warnings
        assert "96 images for training and 48 for testing then, 96 images for training and 40 for testing now" in said
    assert run.environment()["measured_again"]["data"]["test"] == 40 and run.environment()["data"]["test"] == 48

    later = make_run("later", str(path), epochs=1)
    for name in ("earlier", "unknown"):
        later.path.with_name(name).mkdir()
        for file in ("config.json", "environment.json"):
            (later.path.with_name(name) / file).write_bytes((run.path / file).read_bytes())
    unknown = Run(later.path.with_name("unknown"))
    write_json(unknown.environment_file, {"data": {"dataset": str(path), "image_size": 16}})
    data = datasets.load(str(path), 16)
    assert environment.stranger(later, data).name == "earlier"
    later.path.with_name("earlier").rename(tmp_path / "earlier")
    assert environment.stranger(later, data) is None, "of a run without a checksum on record nothing is said"
    (tmp_path / "earlier").rename(later.path.with_name("earlier"))
    work(later, pulse := Pulse(later))
    assert "has changed since earlier was trained on it: the two cannot be compared" in pulse.status.warnings[0]


def test_weights_that_are_not_those_that_were_written_are_refused(shapes):
    run = make_run("turned", shapes)
    training = Training(run.config, datasets.load(shapes, 16), torch.device("cpu"))
    weights.write(run, training.method.encoder, training.views)
    whole = run.encoder_file.read_bytes()
    run.encoder_file.write_bytes(whole[:-1000] + bytes(100) + whole[-900:])
    with pytest.raises(ValueError, match="not those that were written"):
        weights.read(run, training.method.encoder)
    older = {"mean": "0.5 0.5 0.5", "std": "0.2 0.2 0.2"}  # without a checksum
    save_file(load(whole), run.encoder_file, older)
    assert weights.read(run, training.method.encoder).mean == [0.5] * 3
