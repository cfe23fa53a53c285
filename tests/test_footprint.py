"""The memory of a step, as counted beforehand, beside what PyTorch's profiler sees a step take."""

import pytest
import torch
from torch.profiler import profile

from sslcore import convolution, datasets
from sslcore.config import RunConfig, resolve
from sslcore.footprint import of_runs, size, step_bytes
from sslcore.methods import METHODS, load
from sslcore.training import Training


def config_of(method: str, dataset: str, **changes) -> RunConfig:
    usual = {"batch_size": 64, "image_size": 32, "encoder": "small", "precision": "float32", "moco.queue_size": 256}
    return resolve({"method": method, "dataset": dataset, "device": "cpu"} | usual | changes)


def counted(config: RunConfig) -> int:
    return of_runs({"it": config})["it"]


def taken(config: RunConfig) -> int:
    """Bytes that the second step of a training holds at most, the optimizer's state and the gradients of the first among them."""
    training = Training(config, datasets.load(config.dataset, config.image_size), torch.device("cpu"))
    training.take_step()
    weights, state = list(training.method.parameters()), training.optimizer.state.values()
    lasting = size([*weights, *training.method.buffers(), *(w.grad for w in weights if w.grad is not None)])
    lasting += size(kept for of in state for kept in of.values() if isinstance(kept, torch.Tensor))
    with profile(profile_memory=True) as seen:
        training.take_step()
    changes = sorted((e.start_ns(), e.nbytes()) for e in seen.profiler.kineto_results.events() if e.name() == "[memory]")
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return lasting + most


@pytest.mark.parametrize(
    ("method", "changes"), [*((method, {}) for method in METHODS), ("moco", {"precision": "bfloat16", "optimizer": "adamw"})]
)
def test_a_step_takes_what_was_counted(method, changes, shapes):
    config = config_of(method, shapes, **changes)
    assert counted(config) == pytest.approx(taken(config), rel=0.15)


def test_on_every_processor_the_ways_that_its_convolutions_take_are_counted(shapes, monkeypatch):
    config, held = config_of("simclr", shapes), {}
    for wide in (True, False):  # with narrow vectors Winograd's filtering keeps its tiles
        monkeypatch.setattr(convolution, "WIDE_VECTORS", wide)
        step_bytes.cache_clear()
        held[wide] = counted(config)
        assert held[wide] == pytest.approx(taken(config), rel=0.1)
    assert held[False] > 1.02 * held[True]
    step_bytes.cache_clear()


def test_what_is_kept_grows_with_what_passes_at_a_time(shapes):
    sizes = [counted(config_of("byol", shapes, batch_size=batch)) for batch in (128, 256, 512)]
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0]) > 0
    parts = counted(config_of("byol", shapes, batch_size=512, micro_batch_size=128))
    assert sizes[0] < parts < (sizes[0] + sizes[1]) / 2, "a part's maps, and the views of all"
    assert counted(config_of("byol", shapes, batch_size=512, device="cpu", devices=4)) < parts, "of each device"


def test_negatives_take_their_room(shapes):
    few, many = (counted(config_of("moco", shapes, **{"moco.queue_size": keys})) for keys in (256, 65536))
    queue, logits = 4 * 128 * (65536 - 256), 4 * 64 * (65536 - 256)
    assert many - few >= queue + logits


def test_nothing_is_computed_and_no_number_drawn(shapes):
    state = torch.get_rng_state()
    step_bytes.cache_clear()
    counted(config_of("simclr", shapes, encoder="resnet50", image_size=224, batch_size=64))
    assert torch.equal(torch.get_rng_state(), state)


def test_runs_that_no_shape_tells_apart_are_counted_once(shapes):
    step_bytes.cache_clear()
    many = {"seed": 3, "epochs": 7, "learning_rate": 0.9, "weight_decay": 0.1, "augment.blur": 0.7, "evaluate.knn_k": 3}
    runs = {name: config_of("byol", shapes, **{name: value}) for name, value in many.items()}
    held = of_runs(runs | {"wide": config_of("byol", shapes, batch_size=32)})
    assert step_bytes.cache_info().misses == 2 and len(set(held.values())) == 2


def test_autocasts_copy_of_the_weights_counts():
    config = resolve({"method": "supervised", "encoder": "resnet18", "image_size": 8, "batch_size": 2, "head.kind": "none"})
    n = sum(p.numel() for p in load("supervised")(config, 60, 3).parameters())
    weights, gradients, velocity, copy = 4, 4, 4, 2
    assert step_bytes(config, 60, 3, torch.bfloat16, "cpu") >= n * (weights + gradients + velocity + copy)


def test_an_optimizer_that_keeps_more_of_each_weight_takes_more(shapes):
    counted = of_runs({name: config_of("simclr", shapes, optimizer=name) for name in ("sgd", "adamw")})
    assert counted["adamw"] > counted["sgd"]
