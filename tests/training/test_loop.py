"""The loop: what a step sees, what a row tells, and that it learns."""

import math

import numpy as np
import pytest
import torch

from sslcore import datasets, stages
from sslcore.config import resolve
from sslcore.endings import Failed
from sslcore.evaluate.final import FinalEvaluation
from sslcore.experiment import Run
from sslcore.journal import Journal
from sslcore.optim import learning_rate
from sslcore.stages import cost
from sslcore.train import collapse_watch, pretrain
from sslcore.training import Training, channel_statistics, initial, order_of, pick_device, pick_precision
from sslcore.waiting import warning
from sslcore.worker import Pulse
from tests.training.small import make_run, small_training, train


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


def test_every_epoch_of_every_seed_takes_all_images_in_an_order_of_its_own():
    orders = [order_of(seed, epoch, 96, torch.device("cpu")).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(96)) for order in orders) and len(set(map(tuple, orders))) == 4
    order_of.cache_clear()
    assert order_of(1, 1, 96, torch.device("cpu")).tolist() == orders[3]


def test_an_epochs_steps_take_each_image_at_most_once(shapes):
    training = small_training(shapes)
    for epoch in range(training.config.epochs):
        steps = range(epoch * training.steps_per_epoch, (epoch + 1) * training.steps_per_epoch)
        taken = torch.cat([training.own_rows(step) for step in steps])
        assert len(taken) == training.steps_per_epoch * training.config.batch_size == len(taken.unique())
    assert training.own_rows(training.total) is None


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


def test_other_seeds_give_other_weights_and_the_same_seed_the_same(shapes):
    first, same, other = (
        train(make_run(n, shapes, seed=s, epochs=1)).method.state_dict() for n, s in (("a", 0), ("b", 0), ("c", 1))
    )
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["encoder.conv1.weight"], other["encoder.conv1.weight"])


@pytest.mark.parametrize("method", ["moco", "simclr", "byol"])
def test_a_few_epochs_lower_the_loss_and_beat_the_untrained_encoder(shapes, method):
    run = make_run(method, shapes, method=method, epochs=8, batch_size=24)
    train(run)
    losses = [row["loss"] for row in run.metrics() if "loss" in row]
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) or method == "moco"  # MoCo's queue is random, thus easy, at first
    assert run.metrics()[-1]["knn"] > 0.8


def test_the_last_epoch_is_measured_whether_or_not_its_number_divides(shapes):
    run = make_run("last", shapes, **{"evaluate.knn_every": 2})
    train(run)
    assert [row["epoch"] for row in run.metrics() if "knn" in row] == [2, 3]
    train(never := make_run("never", shapes, epochs=1, **{"evaluate.knn_every": 0}))
    assert not any("knn" in row for row in never.metrics())


def test_what_lies_between_training_steps_is_no_training_time(shapes, monkeypatch):
    run = make_run("clock", shapes)
    training = Training(run.config, datasets.load(shapes, 16), torch.device("cpu"))
    clock, counter = iter([100.0, 103.0, 150.0, 154.0]), iter([3000.0, 50_000.0, 54_000.0])
    training.meter.joules, training.meter.read = 0.0, lambda: next(counter)  # from 0 at 100
    monkeypatch.setattr("sslcore.journal.time.monotonic", lambda: next(clock))
    journal = Journal(training, run, Pulse(run))  # at 100
    with journal.paused():  # from 103 to 150
        pass
    journal.lap()  # at 154
    assert training.seconds == 7 and training.meter.joules == 7000


def test_energy_is_that_of_compiling_and_of_steps_alone(shapes, monkeypatch):
    """On a counter that stands at a million joules, takes 1000 for compiling, 100 for a look at kNN and 10 for a step."""
    counter, step = [1e6], Training.take_step

    def takes(joules, then=lambda *_: {"effective_rank": 20.0, "std": 0.5}):
        def taken(*about):
            counter[0] += joules
            return then(*about)

        return taken

    monkeypatch.setattr("sslcore.train.make_ready", takes(1000))
    monkeypatch.setattr("sslcore.train.OnlineEvaluation.__call__", takes(100))
    monkeypatch.setattr(Training, "take_step", takes(10, step))
    run, data = make_run("energy", shapes), datasets.load(shapes, 16)
    training = Training(run.config, data, torch.device("cpu"))
    training.meter.joules, training.meter.read = 0.0, lambda: counter[0]
    pretrain(training, data, run, Pulse(run))
    assert training.meter.joules == 1000 + 10 * training.total
    assert next(row["joules"] for row in run.metrics() if "joules" in row) == 1010


@pytest.mark.parametrize(("waits", "warned"), [(0.4, 0), (0.6, 1)])
def test_threads_that_wait_in_steps_are_counted_and_many_are_warned_of_once(shapes, monkeypatch, waits, warned):
    """By a clock on which a step takes a second, in which so many threads wait; in a look at kNN a hundred do."""
    now, waited, step = [1000.0], [50.0], Training.take_step

    def stepped(training):
        now[0] += 1.0
        waited[0] += waits
        return step(training)

    def evaluated(*_):
        now[0] += 5.0
        waited[0] += 500.0
        return {"effective_rank": 20.0, "std": 0.5}

    monkeypatch.setattr(Training, "take_step", stepped)
    monkeypatch.setattr("sslcore.train.OnlineEvaluation.__call__", evaluated)
    monkeypatch.setattr("sslcore.train.time.monotonic", lambda: now[0])
    monkeypatch.setattr("sslcore.waiting.Waiting.read", lambda _: {"1": waited[0]})
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    run, data = make_run("waits", shapes), datasets.load(shapes, 16)
    training = Training(run.config, data, torch.device("cpu"))
    pretrain(training, data, run, Pulse(run))
    assert training.seconds == training.total == 18
    assert cost(training)["threads_waiting"] == pytest.approx(waits) and "threads waiting" in cost(training)["protocol"]
    assert [words.split(",")[0] for words in run.status().warnings] == ["threads waited for cores"] * warned
    assert run.log_file.read_text().count("threads waited for cores") == warned, "not at each look"


def test_a_process_of_one_thread_is_not_told_to_have_fewer():
    assert "fewer" not in warning(1, on_cpu=True) and "threads=1" in warning(2, on_cpu=True)
    assert "threads=1" not in warning(2, on_cpu=False)


def test_rows_that_arrive_together_share_their_speed_and_what_is_left_counts_from_where_one_went_on(shapes, monkeypatch):
    run = make_run("together", shapes)
    training = Training(run.config, datasets.load(shapes, 16), torch.device("cpu"))
    training.step, training.seconds = 6, 1000.0  # of 18, as of a checkpoint
    clock = iter([100.0, 106.0])
    monkeypatch.setattr("sslcore.journal.time.monotonic", lambda: next(clock))
    journal = Journal(training, run, pulse := Hears(run))
    for training.step in (7, 8, 9):
        journal.note(torch.ones(()), torch.ones(16, 2))
    rows = journal.read_out(wait=True)
    assert [(row["step"], row["images_per_second"]) for row in rows] == [(7, 8.0), (8, 8.0), (9, 8.0)]
    assert pulse.heard == [(0.5, 18.0)] and journal.read_out(wait=True) == []


@pytest.mark.parametrize(("takes", "steps"), [(0, [4, 8, 12, 16, 18]), (10, [4, 18])])
def test_checkpoints_are_30_seconds_apart_and_more_where_they_take_long(shapes, monkeypatch, takes, steps):
    """By a clock on which a step takes ten seconds: a checkpoint that takes ten is worth 200 seconds of training.

    Neither it nor the evaluation, which here takes a hundred, is training.
    """
    now, written, step, save = [1000.0], [], Training.take_step, Training.save

    def stepped(training):
        now[0] += 10
        return step(training)

    def evaluated(*_):
        now[0] += 100
        return {"effective_rank": 20.0, "std": 0.5}

    def saved(training, run):
        now[0] += takes
        written.append(training.step)
        save(training, run)

    monkeypatch.setattr(Training, "take_step", stepped)
    monkeypatch.setattr(Training, "save", saved)
    monkeypatch.setattr("sslcore.train.CHECKPOINT_SECONDS", 30.0)
    monkeypatch.setattr("sslcore.train.time.monotonic", lambda: now[0])
    monkeypatch.setattr("sslcore.train.OnlineEvaluation.__call__", evaluated)
    assert train(make_run("clocked", shapes, **{"evaluate.knn_every": 3})).seconds == 180
    assert written == steps


@pytest.mark.parametrize(("batch", "micro"), [(9, 4), (9, 2), (16, 5)])
def test_no_micro_batch_is_a_single_image(shapes, batch, micro):
    """BatchNorm would refuse it."""
    config = resolve({"dataset": shapes, "image_size": 16, "method": "byol", "batch_size": batch, "micro_batch_size": micro})
    training, kept = Training(config, datasets.load(shapes, 16), torch.device("cpu")), []
    embed = training.embed
    training.embed = lambda *views: kept.append(torch.is_grad_enabled()) or embed(*views)
    loss, z = training.take_step()
    assert torch.isfinite(loss) and len(z) == batch
    pieces = len(kept) // 2
    assert pieces > 1 and kept == [False] * pieces + [True] * pieces, "what is kept for the gradient is a micro-batch's at a time"


def test_what_begins_anew_for_want_of_a_checkpoint_says_so(shapes):
    run = make_run("anew", shapes, epochs=1)
    train(run)
    said = "there is no checkpoint, so it begins anew"
    assert said not in run.log_tail()
    run.checkpoint_file.unlink()
    run.previous_checkpoint_file.unlink(missing_ok=True)
    before = len(run.metrics())
    train(run)
    assert said in run.log_tail() and len(run.metrics()) == before


def test_collapse_is_said_in_words_while_it_happens(shapes, monkeypatch):
    monkeypatch.setattr("sslcore.journal.SETTLED", math.inf)  # a busy machine has its own warning
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
    assert "collapsed by the end of epoch 1: effective rank 1.0" in warning
    again = Pulse(run)  # what goes on from the checkpoint keeps it, and does not say it anew
    again.start()
    again.hush()
    collapse_watch(run, again, 48)(2, {"effective_rank": 1.5, "std": 0.01})
    assert run.recorded_status().warnings == [warning]
    run.checkpoint_file.unlink()
    run.previous_checkpoint_file.unlink(missing_ok=True)
    anew = Pulse(run)
    anew.start()
    anew.hush()
    assert run.recorded_status().warnings == []


def test_a_training_is_watched_for_few_dimensions_though_its_spread_is_wide(shapes, monkeypatch):
    monkeypatch.setattr("sslcore.train.OnlineEvaluation.__call__", lambda *_: {"effective_rank": 1.5, "std": 0.5})
    run = make_run("flat", shapes, epochs=1)
    train(run, pulse := Pulse(run))
    assert len(pulse.status.warnings) == 1


@pytest.mark.parametrize(
    ("images", "rank", "std", "warned"),
    [(10, 1.9, 0.5, 1), (10, 20.0, 0.04, 1), (10, 2.1, 0.06, 0), (2, 1.9, 0.5, 0), (2, 1.9, 0.04, 1)],
)
def test_either_sign_of_a_collapse_is_enough_to_warn(shapes, images, rank, std, warned):
    run = make_run("watched", shapes)
    watch = collapse_watch(run, pulse := Pulse(run), images)
    for epoch in (1, 2, 3):
        watch(epoch, {"effective_rank": rank, "std": std})
    assert len(pulse.status.warnings) == warned, "once"
    for said in pulse.status.warnings:
        assert ("effective rank" in said, "std" in said) == (rank < 2 and images > 2, std < 0.05), "of what is too small"


def test_a_gpu_that_pytorch_cannot_use_is_told_and_not_replaced_by_the_cpu(shapes, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("TRIPTYCH_SLOT", "gpu0")
    with pytest.raises(Failed, match="driver"):
        pick_device(resolve({"dataset": shapes}))
    assert pick_device(resolve({"dataset": shapes, "device": "cpu"})).type == "cpu"


def test_bfloat16_is_not_chosen_where_it_is_emulated(shapes, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert pick_precision(resolve({"dataset": shapes}), torch.device("cuda")) == torch.float32


@pytest.mark.parametrize("encoder", ["small", "resnet18"])
@pytest.mark.parametrize("has", [True, False])
def test_a_cpu_computes_in_bfloat16_where_it_multiplies_it(encoder, has, shapes, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has})
    chosen = pick_precision(resolve({"dataset": shapes, "encoder": encoder}), torch.device("cpu"))
    assert chosen == (torch.bfloat16 if has else torch.float32)


def test_speed_is_of_the_images_that_were_trained_on_in_whole_batches(shapes):
    training = train(make_run("speed", shapes, batch_size=20, epochs=2, **{"evaluate.knn_every": 0}))
    assert cost(training)["images_per_second"] == pytest.approx(2 * 4 * 20 / training.seconds)  # of 96, 16 are left out


def test_the_untrained_encoder_has_the_weights_that_the_run_started_from(shapes, monkeypatch):
    seen, original = [], FinalEvaluation.results
    monkeypatch.setattr(
        FinalEvaluation,
        "results",
        lambda self, encoder, untrained, *rest: seen.append(untrained) or original(self, encoder, untrained, *rest),
    )
    run = make_run("untrained", shapes, epochs=1, seed=3)
    stages.work(run, Pulse(run))
    began = initial(run.config, 96, 3).encoder.state_dict()
    assert all(torch.equal(value, began[name]) for name, value in seen[0].state_dict().items())


def test_up_to_10_000_images_all_of_them_count():
    images = np.repeat((np.arange(1000) % 256).astype(np.uint8), 2 * 2 * 3).reshape(1000, 2, 2, 3)
    mean, std = channel_statistics(images)
    np.testing.assert_allclose(mean, [images.mean() / 255] * 3)
    np.testing.assert_allclose(std, [images.std() / 255] * 3)
