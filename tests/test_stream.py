"""Images that do not fit on the device are read ahead, and nobody can tell the difference."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sslcore import datasets
from sslcore.augment import Views
from sslcore.config import resolve
from sslcore.datasets import Rows
from sslcore.encoders import build_encoder
from sslcore.evaluate.features import features
from sslcore.evaluate.final import FinalEvaluation
from sslcore.stream import Resident, Streamed, fits, free_memory, in_order
from sslcore.training import Training, channel_statistics

CPU = torch.device("cpu")


@pytest.fixture
def nothing_fits(monkeypatch):
    monkeypatch.setattr("sslcore.training.fits", lambda size, device: False)


def small(dataset: str, **settings):
    return resolve(
        {
            "dataset": dataset,
            "image_size": 16,
            "batch_size": 20,
            "epochs": 3,
            "head.hidden": 32,
            "head.dim": 16,
            "device": "cpu",
            **settings,
        }
    )


def test_a_set_lives_on_the_device_if_it_takes_at_most_half_of_the_free_memory(monkeypatch):
    assert 1 << 20 < free_memory(CPU) < 1 << 50
    monkeypatch.setattr("sslcore.stream.free_memory", lambda device: 1000)
    assert fits(500, CPU) and not fits(501, CPU)


def test_the_free_memory_of_a_cpu_is_that_of_its_container(tmp_path, monkeypatch):
    monkeypatch.setattr("sslcore.cores.control_groups", lambda controller: [tmp_path])
    (tmp_path / "memory.current").write_text("7000\n")  # of which the system keeps 3,000 of files that were read
    (tmp_path / "memory.stat").write_text("anon 4000\nactive_file 1000\ninactive_file 2000\n")
    for limit, free in (("10000\n", 6000), (f"{1 << 62}\n", 7_000_000), ("max\n", 7_000_000)):
        (tmp_path / "memory.max").write_text(limit)
        monkeypatch.setattr("sslcore.cores.psutil.virtual_memory", lambda: SimpleNamespace(available=7_000_000))
        assert free_memory(CPU) == free


def test_streamed_training_takes_the_same_steps_bit_for_bit(shapes, monkeypatch):
    data = datasets.load(shapes, 16)
    resident = Training(small(shapes), data, CPU)
    assert isinstance(resident.images, Resident)
    monkeypatch.setattr("sslcore.training.fits", lambda size, device: False)
    streamed = Training(small(shapes), data, CPU)
    assert isinstance(streamed.images, Streamed)
    expected = [resident.take_step()[0] for _ in range(resident.total)]  # 96 images: epochs of 4 steps and a rest
    assert [streamed.take_step()[0] for _ in range(4)] == expected[:4]
    streamed.step = 2  # as after a resume
    streamed.method.load_state_dict(Training(small(shapes), data, CPU).method.state_dict())
    assert torch.equal(streamed.images.take(7, None), resident.images.take(7, resident.own_rows(7)))

    again = Training(small(shapes), data, CPU)
    assert [again.take_step()[0] for _ in range(again.total)] == expected
    for name, value in resident.method.state_dict().items():
        assert torch.equal(again.method.state_dict()[name], value), name


def test_pieces_are_all_images_in_order_also_of_chosen_rows(shapes):
    images = datasets.load(shapes, 16).x_train
    chosen = np.array([5, 3, 90, 4, 4, 17, 0])
    for these in (images, Rows(images, chosen), images[:0]):
        pieces = [piece.clone() for piece in in_order(these, CPU, 3)]
        assert all(len(piece) <= 3 for piece in pieces) and len(pieces) == -(-len(these) // 3)
        assert np.array_equal(torch.cat(pieces) if pieces else images[:0], np.asarray(these))
    assert np.array_equal(np.asarray(Rows(images, chosen)[2:4]), images[[90, 4]])
    assert Rows(images, chosen).nbytes == images[chosen].nbytes and Rows(images, chosen).shape == (7, 16, 16, 3)


def test_features_of_rows_are_those_of_a_copy(shapes):
    images = datasets.load(shapes, 16).x_train
    encoder, views = build_encoder("small", 16), Views(resolve({}).augment, [0.5] * 3, [0.25] * 3)
    chosen = np.arange(0, 96, 5)
    copied, read = (features(encoder, x, views, torch.float32) for x in (images[chosen], Rows(images, chosen)))
    assert torch.equal(copied, read)


def test_channel_statistics_are_the_images_own(shapes):
    images = datasets.load(shapes, 16).x_train
    mean, std = channel_statistics(images)
    whole = images.reshape(-1, 3) / 255
    np.testing.assert_allclose(mean, whole.mean(0), rtol=1e-12)
    np.testing.assert_allclose(std, whole.std(0), rtol=1e-12)


def test_channel_statistics_of_a_large_set_are_of_images_from_all_over_it_and_never_divide_by_nothing(monkeypatch):
    """A set lies class by class: its first images are of one class."""
    monkeypatch.setattr("sslcore.training.STATISTICS_PIXELS", 10 * 4 * 4)
    images = np.zeros((96, 4, 4, 3), np.uint8)
    images[48:, ..., 0] = 255
    mean, std = channel_statistics(images)
    assert mean == pytest.approx([0.5, 0, 0], abs=0.1) and std[0] == pytest.approx(0.5, abs=0.1) and min(std) > 0


def test_pixels_of_too_many_images_are_shrunk_and_the_side_is_told(shapes, monkeypatch):
    data, config = datasets.load(shapes, 16), small(shapes)
    evaluation = FinalEvaluation(config, data, Views(config.augment, [0.5] * 3, [0.25] * 3), torch.float32)
    (whole, _), side = evaluation.pixels()
    assert side == 16 and whole.shape == (96, 768)
    monkeypatch.setattr("sslcore.evaluate.final.MOST_BYTES", 4 * 144 * 100)
    (shrunk, of_test), side = evaluation.pixels()
    assert side == 4 and shrunk.shape == (96, 48) and of_test.shape == (48, 48)
    torch.testing.assert_close(shrunk.view(96, 3, 16).mean(2), whole.view(96, 3, 256).mean(2))
    monkeypatch.setattr("sslcore.evaluate.final.MOST_BYTES", 0)
    assert evaluation.pixels()[1] == 1, "however many"


def test_resnet50_at_224_pixels_trains_through_the_same_path(tmp_path, nothing_fits):
    x = np.random.default_rng(0).integers(0, 255, (6, 224, 224, 3), dtype=np.uint8)
    np.savez(tmp_path / "large.npz", x_train=x[:4], y_train=np.arange(4) % 2, x_test=x[4:], y_test=np.arange(2))
    config = small(str(tmp_path / "large.npz"), image_size=224, encoder="resnet50", batch_size=2, micro_batch_size=2)
    training = Training(config, datasets.load(config.dataset, 224), CPU)
    loss, _ = training.take_step()
    assert torch.isfinite(loss) and isinstance(training.images, Streamed)
    assert training.method.encoder.conv1.kernel_size == (7, 7)
