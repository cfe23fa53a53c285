"""What only a GPU can show; skipped where there is none."""

import numpy as np
import pytest
import torch

from sslcore import beside, datasets, recording
from sslcore.augment import Views
from sslcore.config import resolve
from sslcore.endings import Failed, Stopped
from sslcore.energy import Meter
from sslcore.evaluate.probe import fit_probe
from sslcore.readout import Readout
from sslcore.stages import work
from sslcore.stream import Resident, Streamed, in_order
from sslcore.train import make_ready, pretrain
from sslcore.training import Training
from sslcore.worker import Pulse
from tests.test_compiling import Said
from tests.test_distributed import start
from tests.training.small import StopsAt, make_run

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
GPU, CPU = torch.device("cuda"), torch.device("cpu")
METHODS = [{"method": "moco", "moco.symmetric": True, "moco.bn_splits": 1}, {"method": "simclr"}, {"method": "byol"}]
VARIANTS = [
    {"method": "moco"},
    {"method": "moco", "moco.negatives": "memory_bank"},
    {"method": "moco", "moco.negatives": "batch"},
    {"method": "simclr", "simclr.negatives": 9, "optimizer": "lars"},
    {"method": "simclr", "micro_batch_size": 4},
    {"method": "byol", "optimizer": "adamw", "augment.blur": 0.5, "augment.solarize": 0.2, "precision": "bfloat16"},
    {"method": "supervised"},
]
CYCLES = 200_000_000  # of its clock: a tenth of a second or so, for which a GPU can be kept waiting


def named(settings: dict) -> str:
    return ", ".join(map(str, settings.values()))


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """No TF32, whose rounding is as large as what is compared here."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def training_of(shapes: str, device: torch.device = GPU, **settings) -> Training:
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 16, "precision": "float32", **settings})
    return Training(config, datasets.load(shapes, 16), device)


def waiting_is_an_error(training: Training) -> None:
    """Take a step in which whatever waits for the GPU raises."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        training.take_step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


# -- A step ------------------------------------------------------------------------


@pytest.mark.parametrize("recorded", [False, True], ids=["launched one by one", "recorded"])
@pytest.mark.parametrize("settings", METHODS + VARIANTS, ids=named)
def test_no_step_waits_for_the_gpu(shapes, settings, recorded):
    training = training_of(shapes, **settings)
    if recorded:
        record(training)
    for _ in range(3):
        training.take_step()
    waiting_is_an_error(training)


def test_numbers_are_read_out_when_they_are_there_and_not_before():
    readout, number = Readout(), torch.zeros((), device=GPU)
    readout.send({}, (number, number))  # to pin memory for the first time waits for the GPU
    assert len(list(readout.arrived(wait=True))) == 1
    torch.cuda._sleep(CYCLES)
    readout.send({"step": 1}, (number + 1, number + 2))
    assert list(readout.arrived()) == []
    assert list(readout.arrived(wait=True)) == [({"step": 1}, [1.0, 2.0])] and not readout.coming


@pytest.mark.parametrize("settings", METHODS, ids=named)
def test_passes_beside_each_other_give_what_passes_after_each_other_give(shapes, settings, monkeypatch):
    apart = training_of(shapes, **settings)
    steps = []
    for _ in range(6):
        torch.cuda._sleep(CYCLES // 10)  # a pass that did not wait for the other would come before it
        steps.append(apart.take_step())
    monkeypatch.setattr(beside, "_apart", lambda x: False)
    after = training_of(shapes, **settings)
    for loss, z in steps:
        expected, expected_z = after.take_step()
        torch.testing.assert_close(loss, expected, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(z, expected_z, atol=1e-2, rtol=1e-2)


def record(training: Training) -> None:
    said = Said()
    recording.record_passes(training, said)
    assert said.warnings == [] and training.graph is not None


@pytest.mark.parametrize("settings", METHODS + VARIANTS, ids=named)
def test_a_recorded_step_is_a_plain_one(shapes, settings):
    settings = {"moco.bn_splits": 2} | settings  # in groups of two images BatchNorm makes much of little
    recorded, plain = training_of(shapes, **settings), training_of(shapes, **settings)
    record(recorded)
    for (name, ours), theirs in zip(recorded.method.state_dict().items(), plain.method.state_dict().values()):
        assert torch.equal(ours, theirs), name  # to record changed nothing
    exactly = "bfloat16" not in settings.values()
    for step in range(8):  # two epochs: the same draws, another rate at each step, queues and averages that move on
        (loss, z), (expected, expected_z) = recorded.take_step(), plain.take_step()
        torch.testing.assert_close(loss, expected, atol=1e-3 if exactly else 0.02, rtol=1e-3)
        if step == 0 and exactly:
            torch.testing.assert_close(z, expected_z, atol=1e-4, rtol=1e-3)
            for ours, theirs in zip(recorded.method.parameters(), plain.method.parameters()):
                assert (ours.grad is None) == (theirs.grad is None)
                if ours.grad is not None:
                    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-4, rtol=1e-2)
                    assert ours.grad.stride() == theirs.grad.stride()


def test_what_cannot_be_recorded_is_said_and_the_step_is_taken_without(shapes, monkeypatch):
    training, plain = training_of(shapes), training_of(shapes)
    passes = training.passes

    def waits(images, batch):
        loss, rows = passes(images, batch)
        loss.item()
        return loss, rows

    monkeypatch.setattr(training, "passes", waits)
    said = Said()
    recording.record_passes(training, said)
    (warning,) = said.warnings
    assert "no CUDA graph of a step could be made" in warning and training.graph is None
    torch.testing.assert_close(training.take_step()[0], plain.take_step()[0], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("settings", [*METHODS, {"method": "moco", "moco.bn_splits": 2}], ids=named)
def test_a_compiled_step_is_a_plain_one(shapes, settings):
    compiled, plain = training_of(shapes, compile="on", **settings), training_of(shapes, **settings)
    said = Said()
    try:
        make_ready(compiled, said)
        assert said.warnings == [] and compiled.compiled and compiled.graph is not None
        torch.testing.assert_close(compiled.take_step()[0], plain.take_step()[0], atol=1e-4, rtol=1e-4)
        for ours, theirs in zip(compiled.method.parameters(), plain.method.parameters()):
            if theirs.grad is not None:
                torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-4, rtol=1e-2)
    finally:
        torch.compiler.set_stance("default")


# -- Images that do not live on the device --------------------------------------------


def test_streamed_images_are_the_resident_ones_however_late_the_gpu_is(shapes, monkeypatch):
    resident = training_of(shapes, epochs=3)
    assert isinstance(resident.images, Resident)
    monkeypatch.setattr("sslcore.training.fits", lambda size, device: False)
    streamed = training_of(shapes, epochs=3)
    assert isinstance(streamed.images, Streamed)
    for step in range(streamed.total):
        torch.cuda._sleep(CYCLES // 10)
        rows = resident.own_rows(step)
        assert torch.equal(streamed.images.take(step, rows.to(GPU)), resident.images.take(step, rows.to(GPU))), step


def test_pieces_in_order_are_all_images(shapes):
    images = datasets.load(shapes, 16).x_train
    pieces = []
    for piece in in_order(images, GPU, 7):
        torch.cuda._sleep(CYCLES // 10)
        pieces.append(piece.clone())
    assert np.array_equal(torch.cat(pieces).cpu(), np.asarray(images))


# -- Whole runs ------------------------------------------------------------------------


def test_a_run_is_stopped_resumed_and_measured(shapes):
    run = make_run(
        "gpu", shapes, device="cuda", **{"evaluate.snapshots": 1, "evaluate.finetune_epochs": 1, "evaluate.log_every": 1}
    )
    data = datasets.load(shapes, 16)
    with pytest.raises(Stopped):
        pretrain(Training(run.config, data, GPU), data, run, StopsAt(run, 0.5))
    work(run, Pulse(run))
    results = run.results()
    assert [row["step"] for row in run.metrics() if "loss" in row] == list(range(1, 19))
    assert run.snapshots_file.exists() and run.umap_file.exists() and run.encoder_file.exists()
    assert (
        results["cost"]["device"] == torch.cuda.get_device_name()
        and 0 < results["cost"]["peak_memory_bytes"] < torch.cuda.get_device_properties(0).total_memory
    )
    assert 0 <= results["linear"]["accuracy"] <= 1 and results["fine_tuning"] and results["heads"]


@pytest.mark.parametrize("optimizer", ["sgd", "lars", "adamw"])
@pytest.mark.parametrize(("there", "here"), [(CPU, GPU), (GPU, CPU), (GPU, GPU)], ids=str)
def test_a_run_goes_on_on_another_device(shapes, optimizer, there, here, monkeypatch):
    run = make_run("moves", shapes, optimizer=optimizer, precision="float32")
    data = datasets.load(shapes, 16)
    before, after = (Training(run.config, data, device) for device in (there, here))
    drawn = [
        Views(run.config.augment, [0.5] * 3, [0.2] * 3)(torch.from_numpy(data.x_train[:16]), second) for second in (False, True)
    ]
    views = {device.type: [view.to(device) for view in drawn] for device in (CPU, GPU)}
    for training in (before, after):  # each device draws random numbers of its own
        monkeypatch.setattr(training, "views", lambda images, second=False: views[images.device.type][second])
    for _ in range(3):
        before.take_step()
    before.save(run)
    assert after.restore(run) == "" and after.step == 3
    torch.testing.assert_close(after.take_step()[0].cpu(), before.take_step()[0].cpu(), atol=1e-3, rtol=1e-3)
    if here == GPU:
        waiting_is_an_error(after)


def test_a_gpu_without_room_fails_the_run_in_words(shapes):
    run = make_run("large", shapes, device="cuda")
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-4)
    try:
        with pytest.raises(Failed, match=r"^out of memory with 16 images"):
            work(run, Pulse(run))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_energy_is_counted_upwards_where_the_gpu_has_a_counter():
    meter = Meter([f"GPU-{torch.cuda.get_device_properties(0).uuid}"])
    if meter.joules is None:
        pytest.skip("this GPU has no counter of its energy")
    meter.start()
    torch.cuda._sleep(10 * CYCLES)
    torch.cuda.synchronize()
    meter.lap()
    assert 0 < meter.joules < 10_000


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("settings", METHODS, ids=named)
def test_two_gpus_train_what_one_trains(shapes, settings):
    alone, shared = (
        make_run(f"on{devices}", shapes, device="cuda", precision="float32", epochs=1, devices=devices, **settings)
        for devices in (1, 2)
    )
    for run in (alone, shared):
        assert start(run).wait(600) == 0, run.log_tail()
    losses = [[row["loss"] for row in run.metrics() if "loss" in row] for run in (alone, shared)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_a_probe_of_h_on_the_gpu_is_that_of_h_on_the_cpu():
    random = torch.Generator().manual_seed(0)
    h = torch.randn(600, 20, generator=random)
    y = (h[:, :3] + torch.randn(600, 3, generator=random)).argmax(1)
    there, here = fit_probe(h.to(GPU), y.to(GPU), 3), fit_probe(h, y, 3)
    assert there.weight.is_cuda and there.regularisation == here.regularisation
    assert (there.predict(h.to(GPU)).cpu() == here.predict(h)).float().mean() > 0.99
