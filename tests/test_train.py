"""The loop and the process around it: bit-equal resume, honest endings, true states."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sslcore import datasets, launch, memory, plan, weights, worker
from sslcore.config import resolve
from sslcore.endings import Failed, Stopped
from sslcore.evaluate.final import FinalEvaluation
from sslcore.experiment import Run, Spec, Store
from sslcore.files import write_json
from sslcore.journal import Journal
from sslcore.optim import learning_rate
from sslcore.stages import cost, work
from sslcore.train import Training, collapse_watch, pick_device, pick_precision, pretrain
from sslcore.worker import Pulse
from tests.waiting import until

TIMING = ("seconds", "images_per_second")
SMALL = {"image_size": 16, "batch_size": 16, "epochs": 3, "head.hidden": 32, "head.dim": 16, "device": "cpu"} | {
    "evaluate.log_every": 1,
    "evaluate.sample": 48,
    "evaluate.labels": False,
    "evaluate.heads": False,
    "moco.queue_size": 50,
}


def make_run(name: str, dataset: str, **settings) -> Run:
    config = resolve({"dataset": dataset, **SMALL, **settings})
    return Store().create(name, Spec(title=name), {"run": config}).run("run")


def train(run: Run, pulse: Pulse | None = None) -> Training:
    data = datasets.load(run.config.dataset, run.config.image_size)
    training = Training(run.config, data, torch.device("cpu"))
    pretrain(training, data, run, pulse or Pulse(run))
    return training


class StopsAt(Pulse):
    """Is asked to stop when a share of the training is done."""

    def __init__(self, run: Run, share: float):
        super().__init__(run)
        self.share = share

    def training(self, share: float, seconds_left: float) -> None:
        self.stop_requested = share >= self.share


def untimed(run: Run) -> list[dict]:
    return [{name: value for name, value in row.items() if name not in TIMING} for row in run.metrics()]


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
    monkeypatch.setattr("sslcore.train.pick_precision", lambda config, device: torch.bfloat16)
    expected = train(whole).method.state_dict()
    with pytest.raises(Stopped):
        train(parts, StopsAt(parts, 0.4))
    monkeypatch.setattr("sslcore.train.pick_precision", lambda config, device: torch.float32)  # of another node
    resumed = train(parts).method.state_dict()
    assert all(torch.equal(value, resumed[name]) for name, value in expected.items())
    assert "goes on in bfloat16, as it began" in parts.log_tail() and parts.environment()["precision"] == "bfloat16"


def test_other_seeds_give_other_weights_and_the_same_seed_the_same(shapes):
    first, same, other = (
        train(make_run(n, shapes, seed=s, epochs=1)).method.state_dict() for n, s in (("a", 0), ("b", 0), ("c", 1))
    )
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["encoder.conv1.weight"], other["encoder.conv1.weight"])


def test_rows_hold_what_the_screen_needs(shapes):
    run = make_run("rows", shapes, method="simclr")
    train(run)
    rows = run.metrics()
    logged, seen = [r for r in rows if "loss" in r], [r for r in rows if "knn" in r]
    assert [r["step"] for r in logged] == list(range(1, 19)) and [r["epoch"] for r in seen] == [1, 2, 3]
    assert {"epoch", "images_seen", "seconds", "chance_loss", "learning_rate", "images_per_second", "std_z"} <= logged[0].keys()
    assert {"alignment", "uniformity", "effective_rank", "std"} <= seen[0].keys()
    assert logged[0]["chance_loss"] == pytest.approx(np.log(31))
    assert [r["seconds"] for r in logged] == sorted(r["seconds"] for r in logged)


class Hears(Pulse):
    """Remembers how far the training said it was, and how many seconds were left."""

    def __init__(self, run: Run):
        super().__init__(run)
        self.heard: list[tuple[float, float]] = []

    def training(self, share: float, seconds_left: float) -> None:
        self.heard.append((share, seconds_left))


def test_rows_tell_images_speed_and_learning_rate_as_they_were(shapes):
    run = make_run("exact", shapes, method="simclr", warmup_epochs=1)
    train(run, pulse := Hears(run))
    rows, steps = [row for row in run.metrics() if "loss" in row], np.arange(1, 19)
    assert [row["images_seen"] for row in rows] == (16 * steps).tolist()
    assert [row["epoch"] for row in rows] == pytest.approx(steps / 6)
    peak = run.config.peak_learning_rate
    assert [row["learning_rate"] for row in rows] == pytest.approx([learning_rate(step - 1, 18, 6, peak) for step in steps])
    taken = np.diff([row["seconds"] for row in rows])
    np.testing.assert_allclose([row["images_per_second"] for row in rows[1:]], 16 / taken, rtol=1e-6)
    assert [share for share, _ in pulse.heard] == pytest.approx(steps / 18)
    assert pulse.heard[0][1] > 0 and pulse.heard[-1][1] == 0, "nothing is left at the end"


def test_z_has_no_spread_where_all_images_get_the_same_and_much_where_they_lie_apart(shapes):
    run = make_run("spread", shapes)
    training = Training(run.config, datasets.load(shapes, 16), torch.device("cpu"))
    journal = Journal(training, run, Pulse(run))
    told = []
    for z in (torch.tensor([[3.0, -4.0]]).repeat(16, 1), torch.tensor([[2.0, 0.0], [-3.0, 0.0]]).repeat(8, 1)):
        training.step += 1
        journal.note(torch.ones(()), z)
        told += [row["std_z"] for row in journal.read_out(wait=True)]
    assert told == pytest.approx([0, (16 / 15) ** 0.5 / 2], abs=1e-6)


def small_training(shapes: str, **settings) -> Training:
    return Training(resolve({"dataset": shapes, **SMALL, **settings}), datasets.load(shapes, 16), torch.device("cpu"))


def test_every_epoch_of_every_seed_takes_all_images_in_an_order_of_its_own(shapes):
    orders = [small_training(shapes, seed=seed).order_of(epoch).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(96)) for order in orders) and len(set(map(tuple, orders))) == 4
    assert small_training(shapes, seed=1).order_of(1).tolist() == orders[3]


def test_every_step_of_every_seed_draws_anew(shapes):
    drawn = []
    for seed in (0, 1):
        training = small_training(shapes, seed=seed)

        def noted(images, batch, passes=training.passes):
            drawn.append(float(torch.rand(1)))
            return passes(images, batch)

        training.passes = noted
        for _ in range(3):
            training.take_step()
    assert len(set(drawn)) == 6


def test_of_the_two_views_the_second_alone_is_solarized(shapes):
    off = {"crop_min": 1.0, "flip": 0.0, "jitter": 0.0, "hue": 0.0, "grayscale": 0.0, "blur": 0.0, "solarize": 1.0}
    training, seen = small_training(shapes, **{f"augment.{name}": value for name, value in off.items()}), []
    training.backward = lambda view1, view2, batch: seen.extend((view1, view2))
    images = torch.from_numpy(np.array(datasets.load(shapes, 16).x_train[:16]))
    training.passes(images, None)
    plain = training.views.plain(images)
    torch.testing.assert_close(seen[0], plain)
    assert (seen[1] - plain).abs().amax((1, 2, 3)).min() > 0.1, "every second view"


@pytest.mark.parametrize("method", ["moco", "simclr", "byol"])
def test_a_few_epochs_lower_the_loss_and_beat_the_untrained_encoder(shapes, method):
    run = make_run(method, shapes, method=method, epochs=8, batch_size=24)
    train(run)
    losses = [row["loss"] for row in run.metrics() if "loss" in row]
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) or method == "moco"  # MoCo's queue is random, thus easy, at first
    assert run.metrics()[-1]["knn"] > 0.8


def poison(training: Training) -> None:
    with torch.no_grad():
        training.method.encoder.conv1.weight.mul_(float("nan"))


def test_nan_before_the_first_checkpoint_promises_none(shapes):
    run = make_run("nan", shapes)
    data = datasets.load(shapes, 16)
    poison(training := Training(run.config, data, torch.device("cpu")))
    with pytest.raises(Failed, match=r"NaN.*no checkpoint yet.*learning_rate"):
        pretrain(training, data, run, Pulse(run))
    assert not run.checkpoint_file.exists()


def test_nan_ends_the_run_as_failed_with_its_last_good_checkpoint(shapes):
    run = make_run(
        "nan", shapes, learning_rate=1e3, lr_scaling="none", warmup_epochs=0, **{"head.kind": "linear", "method": "simclr"}
    )
    with pytest.raises(Stopped):
        train(run, StopsAt(run, 0.05))
    good = run.checkpoint_file.read_bytes()
    training = Training(run.config, datasets.load(shapes, 16), torch.device("cpu"))
    training.restore(run)
    poison(training)

    def poisoned(_):
        pass

    training.restore = poisoned
    with pytest.raises(Failed, match=r"NaN.*last good checkpoint is kept.*learning_rate"):
        pretrain(training, datasets.load(shapes, 16), run, Pulse(run))
    assert run.checkpoint_file.read_bytes() == good
    assert "NaN" not in run.metrics_file.read_text() and any(row.get("loss", 0) is None for row in run.metrics())


def test_collapse_is_said_in_words_while_it_happens(shapes):
    run = make_run("collapse", shapes, method="byol", **{"byol.momentum": 0.0})
    data = datasets.load(shapes, 16)
    training, pulse = Training(run.config, data, torch.device("cpu")), Pulse(run)
    with torch.no_grad():  # an encoder whose last block says the same of every image
        training.method.encoder.layer4.bn2.weight.zero_()
        training.method.encoder.layer4.downsample[1].weight.zero_()
        for parameter in training.method.encoder.parameters():
            parameter.requires_grad_(False)
        training.method.encoder.layer4.bn2.bias.fill_(1.0)
    pretrain(training, data, run, pulse)
    (warning,) = run.recorded_status().warnings  # once, not once an epoch
    assert "collapsed" in warning and "effective rank 1.0" in warning
    again = Pulse(run)  # what goes on from the checkpoint keeps it, and does not say it anew
    again.start()
    again.hush()
    collapse_watch(run, again)({"effective_rank": 1.5, "std": 0.01})
    assert run.recorded_status().warnings == [warning]
    run.checkpoint_file.unlink()
    run.previous_checkpoint_file.unlink(missing_ok=True)
    anew = Pulse(run)
    anew.start()
    anew.hush()
    assert run.recorded_status().warnings == []


@pytest.mark.parametrize(("rank", "std", "warned"), [(1.9, 0.5, 1), (20.0, 0.04, 1), (2.1, 0.06, 0)])
def test_either_sign_of_a_collapse_is_enough_to_warn(shapes, rank, std, warned):
    run = make_run("watched", shapes)
    watch = collapse_watch(run, pulse := Pulse(run))
    for _ in range(3):
        watch({"effective_rank": rank, "std": std})
    assert len(pulse.status.warnings) == warned, "once"


def test_the_last_epoch_is_measured_whether_or_not_its_number_divides(shapes):
    run = make_run("last", shapes, **{"evaluate.knn_every": 2})
    train(run)
    assert [row["epoch"] for row in run.metrics() if "knn" in row] == [2, 3]


def test_what_lies_between_training_steps_is_no_training_time(shapes, monkeypatch):
    run = make_run("clock", shapes)
    training = Training(run.config, datasets.load(shapes, 16), torch.device("cpu"))
    clock = iter([100.0, 103.0, 150.0, 154.0])
    monkeypatch.setattr("sslcore.journal.time.monotonic", lambda: next(clock))
    journal = Journal(training, run, Pulse(run))  # at 100
    with journal.paused():  # from 103 to 150
        pass
    journal.lap()  # at 154
    assert training.seconds == 7


def test_equal_weights_are_written_as_equal_bytes(shapes):
    run = make_run("same", shapes)
    training = Training(run.config, datasets.load(shapes, 16), torch.device("cpu"))
    written = set()
    for _ in range(8):
        weights.write(run, run.config, training.method.encoder, training.views)
        written.add(run.encoder_file.read_bytes())
    assert len(written) == 1
    mean, std = weights.read(run, training.method.encoder)
    assert mean == pytest.approx(training.views.mean.flatten().tolist(), abs=1e-6) and len(std) == 3


def test_an_unreadable_checkpoint_is_refused_in_words(shapes):
    run = make_run("torn", shapes)
    run.checkpoint_file.write_bytes(b"half a checkpoint")
    with pytest.raises(Failed, match="delete it to start this run again"):
        train(run)


def test_out_of_memory_names_what_was_tried_and_two_things_to_change(shapes):
    words = memory.advice(resolve({"dataset": shapes, "batch_size": 64}))
    assert "64 images" in words and "micro_batch_size=16" in words and "smaller batch_size" in words
    assert "with 8 images" in memory.advice(
        resolve({"dataset": shapes, "batch_size": 64, "micro_batch_size": 32, "devices": 8})
    ), "a device's share"
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    full = [
        torch.OutOfMemoryError("CUDA out of memory"),
        caught.value,
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: out of memory"),
    ]
    assert all(map(memory.is_out, full)) and not memory.is_out(RuntimeError("shape mismatch"))


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


def test_an_optimizer_goes_on_as_this_device_wants_it(shapes):
    run = make_run("moved", shapes, epochs=2, optimizer="adamw")
    data = datasets.load(shapes, 16)
    there = Training(run.config, data, torch.device("cpu"))
    there.take_step()
    for group in there.optimizer.param_groups:
        group["fused"] = True  # as on a GPU
    there.trained_on = ["NVIDIA H100"]
    there.save(run)
    here = Training(run.config, data, torch.device("cpu"))
    here.restore(run)
    assert {group["fused"] for group in here.optimizer.param_groups} == {None}
    assert here.peak_memory == there.peak_memory > 0

    taken = cost(train(run))
    assert taken["device"].startswith("NVIDIA H100, then CPU, ") and "in turn" in taken["protocol"]
    assert "peak of allocated GPU memory or peak resident memory of the process" in taken["protocol"]


def test_a_gpu_that_pytorch_cannot_use_is_told_and_not_replaced_by_the_cpu(shapes, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("TRIPTYCH_SLOT", "gpu0")
    with pytest.raises(Failed, match="driver"):
        pick_device(resolve({"dataset": shapes}))
    assert pick_device(resolve({"dataset": shapes, "device": "cpu"})).type == "cpu"


def test_bfloat16_is_not_chosen_where_it_is_emulated(shapes, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert pick_precision(resolve({"dataset": shapes}), torch.device("cuda")) == torch.float32


@pytest.mark.parametrize(("batch", "micro"), [(9, 4), (9, 2), (16, 5)])
def test_no_micro_batch_is_a_single_image(shapes, batch, micro):
    """BatchNorm would refuse it."""
    config = resolve({"dataset": shapes, "image_size": 16, "method": "byol", "batch_size": batch, "micro_batch_size": micro})
    loss, z = Training(config, datasets.load(shapes, 16), torch.device("cpu")).take_step()
    assert torch.isfinite(loss) and len(z) == batch


# -- The process


def start(run: Run) -> subprocess.Popen:
    command = [sys.executable, "-m", "sslcore", "train", str(run.path)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for(condition, process: subprocess.Popen) -> None:
    def happened() -> bool:
        assert process.poll() is None, f"ended with {process.returncode}: {process.stderr.read()}"
        return condition()

    until(happened)


def test_a_run_is_stopped_killed_and_resumed_and_leaves_its_whole_folder(shapes):
    settings = {"method": "moco", "epochs": 12, "evaluate.knn_every": 4}
    run, undisturbed = make_run("whole-life", shapes, **settings), make_run("undisturbed", shapes, **settings)

    process = start(run)
    wait_for(lambda: len(run.metrics()) > 3, process)
    assert run.status().state == "running" and run.status().pid == process.pid
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == worker.STOPPED
    assert run.status().state == "stopped" and run.checkpoint_file.exists()

    stopped_after = run.metrics()[-1]["step"]
    process = start(run)
    wait_for(lambda: run.metrics()[-1]["step"] > stopped_after + 3, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert run.recorded_status().state == "running" and run.status().state == "interrupted"

    process = start(run)
    assert process.wait(240) == worker.FINISHED, process.stderr.read()
    status = run.status()
    assert status.state == "finished" and status.attempt == 3 and status.progress == 1
    expected = train(undisturbed).method.encoder.state_dict()
    assert untimed(run) == untimed(undisturbed)
    kept = load_file(run.encoder_file)
    assert kept.keys() == expected.keys() and all(torch.equal(kept[name], expected[name]) for name in expected)

    results = run.results()
    assert 0 <= results["linear"]["accuracy"] <= 1 and results["cost"]["images_per_second"] > 0
    assert {"knn", "linear"} <= results["baselines"]["random_encoder"].keys() and "knn" in results["baselines"]["pixels"]
    assert {"alignment", "uniformity", "effective_rank", "std"} == results["geometry"].keys()
    with np.load(run.predictions_file, allow_pickle=False) as said:
        assert {name: said[name].dtype for name in said} == dict.fromkeys(("index", "label", "linear", "knn"), np.int64)
        assert (said["linear"] == said["label"]).mean() == results["linear"]["accuracy"]
    with np.load(run.embeddings_file, allow_pickle=False) as kept:
        assert len(kept["h"]) == len(kept["index"]) == len(kept["prediction"]) == 48
        layout = pd.read_parquet(run.umap_file)
        assert list(layout.columns) == ["x", "y", "index", "label", "epoch"] and (layout["index"] == kept["index"]).all()
    environment = run.environment()
    assert "python -m sslcore train" in environment["command"]
    assert run.views_file.exists() and run.experiment.sample_sheet(shapes).exists() and "finished" in run.log_tail()

    # a run of an older version gets what it lacks by being evaluated again
    assert results["cost"]["flops_per_image"] > 1e5 and "energy_joules" in results["cost"]
    run.predictions_file.unlink()
    write_json(run.results_file, results | {"cost": {name: results["cost"][name] for name in ("seconds", "device")}})
    again = subprocess.run([sys.executable, "-m", "sslcore", "evaluate", run.id], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert run.predictions_file.exists() and run.results()["linear"] == results["linear"]
    assert (
        run.environment().pop("measured_again")["device"] == environment["device"]
        and environment.items() <= run.environment().items()
    )
    assert run.results()["cost"] == {
        name: results["cost"][name] for name in ("seconds", "device", "flops_per_image", "flops_protocol")
    }


def keep_untrained_encoder(run: Run) -> None:
    training = Training(run.config, datasets.load(run.config.dataset, run.config.image_size), torch.device("cpu"))
    weights.write(run, run.config, training.method.encoder, training.views)


@pytest.fixture
def measured(shapes):
    """A run that is finished elsewhere: all that it measured is here, and no checkpoint."""
    run = make_run("measured", shapes)
    keep_untrained_encoder(run)
    write_json(run.results_file, {"linear": {"accuracy": 0.5}})
    run.update_status(state="finished", stage="embed", progress=1.0, warnings=["it was warm"])
    return run


def shell(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "sslcore", *words], capture_output=True, text=True)


def test_a_run_that_cannot_be_measured_again_stays_as_it_was(measured):
    for _ in range(2):
        measured.encoder_file.write_bytes(measured.encoder_file.read_bytes()[:1000])
        assert shell("evaluate", measured.id).returncode == worker.FAILED
        status = measured.status()
        assert (status.state, status.stage, status.progress, status.error) == ("finished", "embed", 1.0, None)
        assert status.warnings[0] == "it was warm" and len(status.warnings) == 2
        assert status.warnings[1].startswith(f"it could not be measured again: {measured.encoder_file} cannot be read")
        assert measured.results() == {"linear": {"accuracy": 0.5}}
    Path(measured.config.dataset).rename(away := Path(measured.config.dataset).with_suffix(".away"))
    try:
        told = shell("evaluate", measured.id)
    finally:
        away.rename(measured.config.dataset)
    assert told.returncode == worker.BAD_INPUT and "shapes.npz" in told.stderr and told.stderr.count("\n") == 1
    measured.encoder_file.unlink()
    told = shell("evaluate", measured.id)
    assert told.returncode == worker.BAD_INPUT and "--checkpoints" in told.stderr and measured.status() == status


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


class DiesIn(Pulse):
    """Dies when a stage begins."""

    def __init__(self, run: Run, stage: str):
        super().__init__(run)
        self.last = stage

    def stage(self, stage: str, progress: float) -> None:
        if stage == self.last:
            raise Stopped


def test_a_stop_while_a_run_is_measured_ends_it_at_once_and_keeps_what_it_has(shapes, monkeypatch):
    run = make_run("r", shapes, epochs=1)

    def asked(*_):
        signal.raise_signal(signal.SIGTERM)  # in the midst of the probe
        raise AssertionError("the probe went on")

    monkeypatch.setattr(FinalEvaluation, "linear", asked)
    handlers = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        assert worker.main(run) == worker.STOPPED
    finally:
        for name, handler in handlers.items():
            signal.signal(name, handler)
    status = run.status()
    assert (status.state, status.stage) == ("stopped", "probe") and run.checkpoint_file.exists() and not run.results_file.exists()


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
    work(run, Pulse(run), evaluate_only=True)
    assert run.results()["cost"] == taken, "the checkpoint knows"


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
    Run(later.path.with_name("earlier")).path.mkdir()
    for file in ("config.json", "environment.json"):
        (later.path.with_name("earlier") / file).write_bytes((run.path / file).read_bytes())
    work(later, pulse := Pulse(later))
    assert "has changed since earlier was trained on it: the two cannot be compared" in pulse.status.warnings[0]


def test_a_data_set_that_turns_out_broken_is_told_in_words(tmp_path):
    for name in ("train/a/1", "train/a/2", "train/b/3", "train/b/4", "test/a/5", "test/b/6"):
        (file := tmp_path / f"{name}.png").parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16)).save(file)
    run = make_run("broken", str(tmp_path), batch_size=2, **{"moco.queue_size": 2, "evaluate.knn_k": 2})
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(Failed, match="single test image"):
        work(run, Pulse(run))


def test_a_stop_while_several_are_measured_again_ends_all_of_it(measured, shapes):
    other = make_run("other", shapes)
    for file in measured.path.iterdir():
        (other.path / file.name).write_bytes(file.read_bytes())
    measuring = subprocess.Popen(
        [sys.executable, "-m", "sslcore", "evaluate", measured.id, other.id], stdout=subprocess.PIPE, text=True
    )
    while "run 1 of 2" not in measuring.stdout.readline():
        pass
    while measured.recorded_status().state != "running":
        time.sleep(0.01)
    measuring.send_signal(signal.SIGTERM)
    said = measuring.communicate(timeout=120)[0]
    assert measuring.returncode == worker.STOPPED and "run 2 of 2" not in said
    assert measured.status().state == "finished" and "it was stopped" in measured.status().warnings[-1]


def test_what_was_measured_is_not_replaced_by_a_training_from_the_start(measured):
    for state in ("finished", "interrupted"):
        measured.update_status(state=state)
        told = shell("train", str(measured.path))
        assert told.returncode == worker.BAD_INPUT and "would begin anew and replace its results" in told.stderr
    told = shell("resume", measured.id)
    assert told.returncode == worker.BAD_INPUT and "would begin anew" in told.stderr
    assert measured.recorded_status().state == "interrupted" and measured.results() == {"linear": {"accuracy": 0.5}}
    assert launch.complete(measured.experiment, ["run"]) == [], "neither when a grid is completed"


@pytest.mark.parametrize("how", ["hangup", "pipe"])
def test_whoever_leaves_the_terminal_loses_nothing(shapes, how):
    run = make_run("r", shapes, epochs=40 if how == "hangup" else 1)
    process = subprocess.Popen([sys.executable, "-m", "sslcore", "train", run.id], stdout=subprocess.PIPE)
    process.stdout.readline()
    if how == "hangup":
        until(lambda: len(run.metrics()) > 3)
        process.send_signal(signal.SIGHUP)
    process.stdout.close()
    assert process.wait(240) == (worker.STOPPED if how == "hangup" else worker.FINISHED)
    assert run.status().state == ("stopped" if how == "hangup" else "finished") and run.checkpoint_file.exists()
    assert ("stopped" if how == "hangup" else "finished") in run.log_tail()


def test_only_one_process_trains_a_run(shapes):
    run = make_run("held", shapes)
    with run.hold():
        assert worker.main(run) == worker.BAD_INPUT
    assert run.status().state == "queued"


def test_without_labels_a_run_trains_and_says_that_nothing_can_be_probed(tmp_path):
    x = np.random.default_rng(0).integers(0, 255, (60, 16, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "bare.npz", x_train=x[:40], x_test=x[40:])
    run = make_run("bare", str(tmp_path / "bare.npz"), epochs=1)
    planned = plan.plan(Spec(base={"dataset": str(tmp_path / "bare.npz"), "batch_size": 16, "method": "byol"}))
    assert not planned.problems and "nothing can be probed" in " ".join(planned.warnings)
    process = start(run)
    assert process.wait(120) == worker.FINISHED, process.stderr.read()
    results = run.results()
    assert results["linear"] is results["knn"] is results["baselines"] is None and "no labels" in results["note"]
    assert not run.predictions_file.exists()
    assert "knn" not in run.metrics()[-1] and run.umap_file.exists()
    with np.load(run.embeddings_file, allow_pickle=False) as kept:
        assert (kept["label"] == -1).all() and kept["label"].shape == kept["index"].shape


def test_a_data_set_that_is_gone_fails_the_run_in_one_clear_line(tmp_path, shapes):
    copy = tmp_path / "gone.npz"
    copy.write_bytes(open(shapes, "rb").read())
    run = make_run("gone", str(copy))
    copy.unlink()
    process = start(run)
    assert process.wait(60) == worker.FAILED
    assert run.status().state == "failed" and "gone.npz" in run.status().error and "\n" not in run.status().error
