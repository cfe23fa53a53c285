"""What a run cannot do: it ends as failed, in words, and keeps what is good."""

import numpy as np
import pytest
import torch
from PIL import Image

from sslcore import datasets, memory, plan, worker
from sslcore.config import resolve
from sslcore.endings import Failed, Stopped
from sslcore.experiment import Spec
from sslcore.stages import read_data, work
from sslcore.train import pretrain
from sslcore.training import Training
from sslcore.worker import Pulse
from tests.training.small import StopsAt, make_run, small_training, train


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


def test_one_loss_that_was_infinite_counts_though_those_after_it_are_not(shapes):
    training = small_training(shapes)
    passes = training.passes
    for factor in (float("inf"), 1.0):
        training.passes = lambda images, batch, factor=factor: (passes(images, batch)[0] * factor, passes(images, batch)[1])
        training.take_step()
    with pytest.raises(Failed, match="NaN or infinite"):
        training.check_finite(make_run("once", shapes))


def test_a_loss_that_was_infinite_between_two_rows_leaves_no_checkpoint(shapes, monkeypatch):
    monkeypatch.setattr("sslcore.train.CHECKPOINT_SECONDS", -1.0)
    run = make_run("unlogged", shapes, **{"evaluate.log_every": 50})
    data = datasets.load(shapes, 16)
    poison(training := Training(run.config, data, torch.device("cpu")))
    with pytest.raises(Failed, match="NaN or infinite"):
        pretrain(training, data, run, Pulse(run))
    assert not run.checkpoint_file.exists()


def test_out_of_memory_names_what_was_tried_and_two_things_to_change(shapes):
    words = memory.advice(resolve({"dataset": shapes, "batch_size": 64}))
    assert "64 images" in words and "micro_batch_size=16" in words and "smaller batch_size" in words
    assert "with 8 images" in memory.advice(
        resolve({"dataset": shapes, "batch_size": 64, "micro_batch_size": 32, "devices": 8})
    ), "a device's share"
    few = memory.advice(resolve({"dataset": shapes, "batch_size": 64, "micro_batch_size": 2}))
    assert "with 2 images" in few and "micro_batch_size=" not in few and "Choose a smaller batch_size" in few
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    full = [
        torch.OutOfMemoryError("CUDA out of memory"),
        caught.value,
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: out of memory"),
    ]
    assert all(map(memory.is_out, full)) and not memory.is_out(RuntimeError("shape mismatch"))


def test_a_data_set_that_turns_out_broken_is_told_in_words(tmp_path):
    for name in ("train/a/1", "train/a/2", "train/b/3", "train/b/4", "test/a/5", "test/b/6"):
        (file := tmp_path / f"{name}.png").parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16)).save(file)
    run = make_run("broken", str(tmp_path), batch_size=2, **{"moco.queue_size": 2, "evaluate.knn_k": 2})
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(Failed, match="single test image"):
        work(run, Pulse(run))


def test_a_data_set_that_is_gone_fails_the_run_in_one_clear_line(tmp_path, shapes, handlers):
    copy = tmp_path / "gone.npz"
    copy.write_bytes(open(shapes, "rb").read())
    run = make_run("gone", str(copy))
    copy.unlink()
    assert worker.main(run) == worker.FAILED
    assert run.status().state == "failed" and "gone.npz" in run.status().error and "\n" not in run.status().error


def test_only_one_process_trains_a_run(shapes):
    run = make_run("held", shapes)
    with run.hold():
        assert worker.main(run) == worker.BAD_INPUT
    assert run.status().state == "queued"


def test_without_labels_a_run_trains_and_says_that_nothing_can_be_probed(tmp_path, handlers):
    x = np.random.default_rng(0).integers(0, 255, (60, 16, 16, 3), dtype=np.uint8)
    np.savez(tmp_path / "bare.npz", x_train=x[:40], x_test=x[40:])
    run = make_run("bare", str(tmp_path / "bare.npz"), epochs=1)
    planned = plan.plan(Spec(base={"dataset": str(tmp_path / "bare.npz"), "batch_size": 16, "method": "byol"}))
    assert not planned.problems and "nothing can be probed" in " ".join(planned.warnings)
    assert worker.main(run) == worker.FINISHED, run.log_tail()
    results = run.results()
    assert results["linear"] is results["knn"] is results["baselines"] is None and "no labels" in results["note"]
    assert not run.predictions_file.exists()
    assert "knn" not in run.metrics()[-1] and run.umap_file.exists()
    with np.load(run.embeddings_file, allow_pickle=False) as kept:
        assert (kept["label"] == -1).all() and kept["label"].shape == kept["index"].shape


def test_what_is_wrong_with_images_is_warned_of_and_the_log_names_each_that_was_left_out(tmp_path, capsys):
    for name in ("train/a/1", "train/a/2", "train/b/3", "test/a/5", "test/b/6", "test/c/7"):
        (file := tmp_path / f"{name}.png").parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16)).save(file)
    (torn := tmp_path / "train" / "b" / "4.png").write_bytes(file.read_bytes()[:40])
    run = make_run("odd", str(tmp_path), batch_size=2, **{"moco.queue_size": 2, "evaluate.knn_k": 2})
    read_data(run, Pulse(run), evaluate_only=False)
    left_out, *_, no_training = run.recorded_status().warnings
    assert left_out.startswith(f"{tmp_path}: left out 1 of its files or folders, which cannot be read")
    assert "has no training image of c: 1 of 3 test images cannot be got right" in no_training
    assert f"skipped {torn}: " in run.log_tail() and f"warning: {left_out}" in run.log_tail()
