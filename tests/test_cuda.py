"""What only a GPU can show; skipped where there is none."""

import pytest
import torch

from sslcore import beside, compiling, datasets
from sslcore.config import resolve
from sslcore.readout import Readout
from sslcore.train import Training
from tests.test_compiling import Said

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
METHODS = [{"method": "moco", "moco.symmetric": True, "moco.bn_splits": 1}, {"method": "simclr"}, {"method": "byol"}]


def training_of(shapes: str, **settings) -> Training:
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 16, "precision": "float32", **settings})
    return Training(config, datasets.load(shapes, 16), torch.device("cuda"))


@pytest.mark.parametrize("settings", METHODS, ids=lambda settings: settings["method"])
def test_no_step_waits_for_the_gpu_and_neither_does_a_readout(shapes, settings):
    training, readout = training_of(shapes, **settings), Readout()
    for _ in range(3):
        training.take_step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss, z = training.take_step()
        readout.send({}, (loss, z.mean()))
        list(readout.arrived())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(list(readout.arrived(wait=True))) <= 1 and not readout.coming


@pytest.mark.parametrize("settings", METHODS, ids=lambda settings: settings["method"])
def test_passes_beside_each_other_give_what_passes_after_each_other_give(shapes, settings, monkeypatch):
    apart = training_of(shapes, **settings)
    steps = [apart.take_step() for _ in range(6)]
    monkeypatch.setattr(beside, "_apart", lambda x: False)
    after = training_of(shapes, **settings)
    for loss, z in steps:
        expected, expected_z = after.take_step()
        torch.testing.assert_close(loss, expected, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(z, expected_z, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("settings", METHODS, ids=lambda settings: settings["method"])
def test_a_compiled_step_is_a_plain_one(shapes, settings):
    compiled, plain = training_of(shapes, **settings), training_of(shapes, **settings)
    said = Said()
    compiling.compile_networks(compiled, said)
    assert said.warnings == []
    torch.testing.assert_close(compiled.take_step()[0], plain.take_step()[0], atol=1e-4, rtol=1e-4)
    torch.compiler.set_stance("default")
