"""The mistakes that published implementations make, each tried on ours."""

import math
from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from sslcore.config import resolve
from sslcore.encoders import SplitBatchNorm2d
from sslcore.losses import byol_regression, info_nce, info_nce_in_batch, normalised, nt_xent
from sslcore.methods import METHODS, Entry, load
from sslcore.methods.base import Batch, Method
from sslcore.optim import cosine_momentum
from sslcore.training import Training

IMAGES = 60


def build(method: str, batch: int = 8, **settings) -> Method:
    torch.manual_seed(0)
    config = resolve({"method": method, "image_size": 16, "batch_size": batch, "head.hidden": 32, "head.dim": 16, **settings})
    return load(method)(config, IMAGES, 3)


def views(batch: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.randn(2, batch, 3, 16, 16, generator=torch.Generator().manual_seed(1)))


def some_batch(size: int = 8) -> Batch:
    return Batch(torch.arange(size), torch.arange(size) % 3)


@torch.no_grad()
def moved(*networks: torch.nn.Module) -> None:
    """A copy that has yet to move gives the rows of its original, and who takes one for the other is not found out."""
    for network in networks:
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


def step(method: Method, number: int = 1, total: int = 10, size: int = 8) -> tuple:
    batch = some_batch(size)
    rows = method.embed(*views(size))
    loss = method.loss(rows, batch)
    loss.backward()
    rows = tuple(row.detach() for row in rows)
    method.after_step(rows, batch, number, total)
    return loss.detach(), rows


# -- MoCo's queue


def test_keys_are_enqueued_after_the_logits_so_the_positive_is_no_negative():
    """With the key among the negatives the loss could not fall below ln 2 (anchors 4.2)."""
    method = build("moco", **{"moco.queue_size": 8, "moco.temperature": 0.01})
    q = torch.eye(8, 16)
    method.queue.copy_(torch.eye(16)[8:])  # keys that are like no query
    loss = method.loss((q, q), some_batch())
    assert loss < 1e-3
    method.after_step((q, q), some_batch(), 1, 10)
    assert method.loss((q, q), some_batch()) == pytest.approx(math.log(2), abs=1e-3)  # what the mistake looks like


def test_symmetric_moco_enqueues_once_after_both_losses():
    """An image's own key of the other direction must not be its negative (lightly #564)."""
    method = build("moco", **{"moco.queue_size": 64, "moco.symmetric": True, "moco.temperature": 0.01})
    before = method.queue.clone()
    rows = method.embed(*views())
    method.loss(rows, some_batch())
    assert torch.equal(method.queue, before)
    method.after_step(tuple(row.detach() for row in rows), some_batch(), 1, 10)
    torch.testing.assert_close(method.queue[:16], normalised(torch.cat([rows[1], rows[3]])).detach())
    assert torch.equal(method.queue[16:], before[16:])


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 50), batches=st.lists(st.integers(1, 60), min_size=1, max_size=6))
def test_a_queue_of_any_size_holds_the_latest_keys_of_any_batches(size, batches):
    method = build("moco", **{"moco.queue_size": size})
    keys = normalised(torch.randn(sum(batches), 16))
    for some in keys.split(batches):
        method.enqueue(some)
    latest = keys[-size:]
    assert len(method.queue) == size
    kept = {tuple(row) for row in method.queue.tolist()}
    assert {tuple(row) for row in normalised(latest).tolist()} <= kept  # none dropped at the wrap
    oldest = method.queue.roll(-int(method.pointer), 0)
    torch.testing.assert_close(oldest[-len(latest) :], latest)  # in order


def test_the_key_encoder_follows_slowly_and_takes_no_gradient():
    method = build("moco", **{"moco.momentum": 0.9})
    old_key, query = deepcopy(method.key_encoder), method.encoder
    step(method)
    with torch.no_grad():
        for parameter in query.parameters():
            parameter.add_(0.1)
    method.after_step((torch.randn(8, 16), torch.randn(8, 16)), some_batch(), 2, 10)
    for old, new, now in zip(old_key.parameters(), method.key_encoder.parameters(), query.parameters()):
        torch.testing.assert_close(new, 0.9 * old + 0.1 * now, atol=1e-5, rtol=1e-5)
    assert all(p.grad is None for p in method.key_encoder.parameters())


def test_the_key_head_follows_as_slowly_as_its_encoder():
    method = build("moco", **{"moco.momentum": 0.9})
    before = deepcopy(method.key_head)
    with torch.no_grad():
        for parameter in method.head.parameters():
            parameter.add_(1.0)
    method.after_step((torch.randn(8, 16), torch.randn(8, 16)), some_batch(), 1, 10)
    for old, new in zip(before.parameters(), method.key_head.parameters()):
        torch.testing.assert_close(new, old + 0.1, atol=1e-5, rtol=1e-5)  # both heads began alike


@pytest.mark.parametrize("negatives", ["queue", "batch"])
def test_a_symmetric_loss_is_the_mean_of_both_directions_at_the_runs_temperature(negatives):
    method = build("moco", **{"moco.negatives": negatives, "moco.symmetric": True, "moco.temperature": 0.35}).eval()
    view1, view2 = views()
    (k1,), (k2,) = method.keys(view1), method.keys(view2)
    directions = (method.query(view1), k2), (method.query(view2), k1)
    if negatives == "queue":
        expected = sum(info_nce(q, k, method.queue, 0.35) for q, k in directions) / 2
    else:
        expected = sum(info_nce_in_batch(q, k, 0.35) for q, k in directions) / 2
    torch.testing.assert_close(method.loss(method.embed(view1, view2), some_batch()), expected)


def test_the_dictionary_begins_with_keys_of_length_one():
    for more, name in (({}, "queue"), ({"moco.negatives": "memory_bank", "moco.queue_size": 16}, "bank")):
        lengths = getattr(build("moco", **more), name).norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones_like(lengths))


def test_the_shuffled_keys_come_back_in_their_own_order():
    method = build("moco", **{"moco.bn_splits": 4}).eval()
    moved(method.key_encoder, method.key_head)
    _, view = views()
    (keys,) = method.keys(view)
    torch.testing.assert_close(keys, method.key_head(method.key_encoder(view)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("negatives", ["queue", "batch"])
@pytest.mark.parametrize("size", [6, 16, 18])
def test_a_key_is_normalised_with_other_images_than_its_query(negatives, size):
    """Shuffling BN, of MoCo and its end-to-end counterpart (section 3.3): else groups' statistics would tell a query's key."""
    method = build("moco", size, **{"moco.negatives": negatives, "moco.bn_splits": 4})

    def rows(image: int | None) -> tuple[torch.Tensor, ...]:
        both = [view.clone() for view in views(size)]
        if image is not None:
            for view in both:
                view[image] += 1
        return tuple(row.detach() for row in method.embed(*both))

    before = rows(None)
    moved = [[(new - old).abs().amax(1) > 1e-6 for new, old in zip(rows(image), before)] for image in range(size)]
    queries, keys = (torch.stack(of) for of in zip(*moved))  # (size, size): whether an image's group has another one in it
    groups = min(4, size // 2)
    largest = -(-size // groups)
    assert queries.sum(1).max() == keys.sum(1).max() == largest and (queries & keys).diagonal().all()
    assert (queries & keys).sum(1).max() == -(-largest // groups), "as few as there can be"


def test_a_micro_batch_is_shuffled_alike_in_both_of_its_passes():
    """The gradient, which belongs to the keys of the first pass, is taken in the second."""
    method = build("moco", 16, **{"moco.negatives": "batch", "moco.bn_splits": 4})
    torch.testing.assert_close(method.embed(*views(16)), method.embed(*views(16)))


@pytest.mark.parametrize("size", [8, 9, 13])
def test_split_batch_norm_treats_each_group_as_a_gpu_of_its_own(size):
    split, plain = SplitBatchNorm2d(4, splits=4), torch.nn.BatchNorm2d(4)
    x = torch.randn(size, 4, 3, 3)
    expected = torch.cat([plain(group) for group in x.tensor_split(4)])
    torch.testing.assert_close(split(x), expected)
    assert split.state_dict().keys() == plain.state_dict().keys()
    torch.testing.assert_close(split.eval()(x)[:1], split(x[:1]))  # eval uses the running statistics, whatever the batch


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16], ids=str)
def test_groups_normalised_in_one_go_are_the_groups_one_by_one(kind):
    one_by_one, together = (SplitBatchNorm2d(4, splits=4).double() for _ in range(2))
    x1, x2 = (
        torch.randn(12, 4, 3, 3, generator=torch.Generator().manual_seed(0))
        .to(kind, memory_format=torch.channels_last)
        .requires_grad_()
        for _ in range(2)
    )
    if kind == torch.bfloat16:
        one_by_one, together = one_by_one.float(), together.float()
    y1, y2 = one_by_one(x1), together.together(x2, 4)
    assert y1.dtype == y2.dtype == kind and y2.is_contiguous(memory_format=torch.channels_last)
    slope = torch.randn(y1.shape, generator=torch.Generator().manual_seed(1)).to(kind)
    y1.backward(slope)
    y2.backward(slope)
    within = {"atol": 1e-10, "rtol": 1e-10} if kind == torch.float64 else {"atol": 0.05, "rtol": 0.02}
    torch.testing.assert_close(y2, y1, **within)
    torch.testing.assert_close(x2.grad, x1.grad, **within)
    for ours, theirs in zip(together.parameters(), one_by_one.parameters()):
        torch.testing.assert_close(ours.grad, theirs.grad, **within)
    for ours, theirs in zip(together.buffers(), one_by_one.buffers()):
        torch.testing.assert_close(ours, theirs, **within)


def test_memory_bank_negatives_exclude_every_image_of_the_batch():
    method = build("moco", **{"moco.negatives": "memory_bank", "moco.queue_size": IMAGES - 8})
    for _ in range(20):
        batch = Batch(torch.randperm(IMAGES)[:8], None)
        others = method.others(batch)
        assert len(others) == IMAGES - 8 and not set(others.tolist()) & set(batch.indices.tolist())


def test_memory_bank_moves_only_the_entries_of_the_batch():
    method = build("moco", **{"moco.negatives": "memory_bank", "moco.queue_size": 16})
    before = method.bank.clone()
    step(method)
    assert torch.equal(method.bank[8:], before[8:]) and not torch.equal(method.bank[:8], before[:8])
    torch.testing.assert_close(method.bank.norm(dim=1), torch.ones(IMAGES))


def test_a_memory_banks_positives_are_the_images_own_entries_and_its_negatives_all_others():
    method = build("moco", **{"moco.negatives": "memory_bank", "moco.queue_size": IMAGES - 8, "moco.temperature": 0.3})
    batch, q = Batch(torch.randperm(IMAGES)[:8], None), torch.randn(8, 16)
    others = [image for image in range(IMAGES) if image not in batch.indices]
    expected = info_nce(q, method.bank[batch.indices], method.bank[others], 0.3)
    torch.testing.assert_close(method.loss((q,), batch), expected)


def test_with_a_memory_bank_a_symmetric_loss_asks_both_views():
    method = build("moco", **{"moco.negatives": "memory_bank", "moco.queue_size": IMAGES - 8, "moco.symmetric": True})
    q1, q2 = method.embed(*views())
    both, first, second = (method.loss(rows, some_batch()) for rows in ((q1, q2), (q1,), (q2,)))
    torch.testing.assert_close(both, (first + second) / 2)


def test_a_memory_banks_entry_moves_half_way_to_its_query_however_long_that_is():
    method = build("moco", **{"moco.negatives": "memory_bank", "moco.queue_size": 16})
    before, q = method.bank.clone(), torch.randn(8, 16)
    method.after_step((7 * q,), some_batch(), 1, 10)
    torch.testing.assert_close(method.bank[:8], normalised(before[:8] + normalised(q)))


def test_end_to_end_negatives_send_gradient_through_the_keys():
    method = build("moco", **{"moco.negatives": "batch"})
    _, k = method.embed(*views())
    assert k.requires_grad and not hasattr(method, "key_encoder")


# -- SimCLR


def test_simclr_sends_both_views_through_encoder_and_head_at_once():
    method, seen = build("simclr"), []
    for network in (method.encoder, method.head):
        network.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    method.embed(*views())
    assert seen == [16, 16]


def test_simclrs_partners_are_two_views_of_an_image_at_the_runs_temperature_and_number_of_negatives():
    method = build("simclr", **{"simclr.temperature": 0.15, "simclr.negatives": 3}).eval()
    view1, view2 = views()
    z1, z2 = (method.head(method.encoder(view)) for view in (view1, view2))
    torch.manual_seed(0)
    expected = nt_xent(z1, z2, 0.15, 3)
    torch.manual_seed(0)
    torch.testing.assert_close(method.loss(method.embed(view1, view2), some_batch()), expected)


# -- BYOL


def test_byol_predicts_from_each_view_the_target_of_the_other():
    method = build("byol").eval()
    moved(method.target_encoder, method.target_head)
    view1, view2 = views()
    p1, p2 = (method.predictor(method.head(method.encoder(view))) for view in (view1, view2))
    t1, t2 = (method.target_head(method.target_encoder(view)) for view in (view1, view2))
    expected = byol_regression(p1, t2) + byol_regression(p2, t1)
    torch.testing.assert_close(method.loss(method.embed(view1, view2), some_batch()), expected)


def test_byol_passes_one_view_at_a_time_and_its_target_takes_no_gradient():
    method, seen = build("byol"), []
    method.encoder.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    step(method)
    assert seen == [8, 8]
    assert all(p.grad is None and not p.requires_grad for p in method.target_encoder.parameters())
    assert all(p.grad is not None for p in method.predictor.parameters())


@pytest.mark.parametrize("part", ["encoder", "head"])
def test_byols_momentum_rises_with_optimizer_steps_along_a_cosine_to_one(part):
    method = build("byol", **{"byol.momentum": 0.9})
    online, target = getattr(method, part), getattr(method, f"target_{part}")
    start = deepcopy(target)
    with torch.no_grad():
        for parameter in online.parameters():
            parameter.add_(1.0)
    method.after_step((), some_batch(), 5, 10)  # half-way: 1 - 0.1 * (cos(pi / 2) + 1) / 2 = 0.95
    for old, new in zip(start.parameters(), target.parameters()):
        torch.testing.assert_close(new, old + 0.05, atol=1e-5, rtol=1e-5)  # biases too
    still = deepcopy(target)
    method.after_step((), some_batch(), 10, 10)  # the end: 1
    for old, new in zip(still.parameters(), target.parameters()):
        assert torch.equal(old, new)


def test_the_targets_batch_norm_keeps_statistics_of_its_own():
    method = build("byol")
    step(method)
    online = dict(method.encoder.named_buffers())
    target = dict(method.target_encoder.named_buffers())
    assert target["bn1.num_batches_tracked"] == 2  # it ran in training mode, once a view
    with torch.no_grad():
        online["bn1.running_mean"].add_(5)
    method.after_step((), some_batch(), 1, 10)
    assert not torch.allclose(target["bn1.running_mean"], online["bn1.running_mean"], atol=1)


# -- All


@pytest.mark.parametrize(("method", "norms"), [("moco", 0), ("simclr", 1), ("byol", 2)])
def test_the_heads_have_batch_norm_where_the_papers_have_it(method, norms):
    """SimCLR's head, BYOL's head and predictor; MoCo's head has none."""
    made = build(method)
    heads = [made.head, getattr(made, "predictor", torch.nn.Identity())]
    assert sum(isinstance(module, torch.nn.BatchNorm1d) for head in heads for module in head.modules()) == norms


@pytest.mark.parametrize("method", ["moco", "simclr", "byol", "supervised"])
def test_the_chance_level_is_the_loss_of_rows_that_tell_nothing_apart(method):
    made, alike = build(method, **{"moco.queue_size": 20}), torch.ones(8, 16)
    if method == "moco":
        made.queue.copy_(normalised(torch.ones(20, 16)))
    unrelated = torch.eye(8, 16), torch.eye(8, 16).roll(8, 1)
    rows = {"byol": (*unrelated, *unrelated), "supervised": (torch.zeros(8, 3),)}.get(method, (alike, alike))
    assert made.chance_loss() == pytest.approx(float(made.loss(rows, some_batch())), rel=1e-5)


@pytest.mark.parametrize("method", ["moco", "simclr", "byol", "supervised"])
@pytest.mark.parametrize("size", [2, 7, 8])
def test_every_method_takes_any_batch(method, size):
    loss, _ = step(build(method, size), size=size)
    assert torch.isfinite(loss)


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "moco"},
        {"method": "moco", "moco.negatives": "memory_bank", "moco.queue_size": 16},
        {"method": "moco", "moco.negatives": "batch"},
        {"method": "simclr"},
        {"method": "byol"},
        {"method": "supervised"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_whatever_the_loop_is_to_train_has_a_gradient(settings):
    made = build(**settings)
    step(made)
    assert all((parameter.grad is not None) == parameter.requires_grad for parameter in made.parameters())


@pytest.mark.parametrize("kind", ["none", "linear", "mlp"])
@pytest.mark.parametrize("method", ["moco", "simclr", "byol"])
def test_every_method_takes_every_head(method, kind):
    loss, rows = step(build(method, **{"head.kind": kind}))
    assert torch.isfinite(loss) and rows[0].shape == (8, 256 if kind == "none" else 16)


@pytest.mark.parametrize("method", ["moco", "simclr", "byol", "supervised"])
def test_the_loss_is_computed_in_float32_under_mixed_precision(method, shapes):
    settings = {"method": method, "dataset": shapes, "image_size": 16, "batch_size": 8, "precision": "bfloat16", "device": "cpu"}
    training = Training(resolve(settings), load_shapes(shapes), torch.device("cpu"))
    rows = training.embed(*views())
    assert rows[0].dtype == torch.bfloat16
    assert training.method.loss(rows, some_batch()).dtype == torch.float32


def load_shapes(path):
    from sslcore import datasets

    return datasets.load(path, 16)


@pytest.mark.parametrize("settings", [{"method": "simclr"}, {"method": "moco", "moco.bn_splits": 1}, {"method": "byol"}])
def test_micro_batches_give_the_gradient_of_the_whole_batch(settings, shapes):
    """With BatchNorm in eval mode, where a micro-batch sees what the batch sees."""
    whole = resolve({"dataset": shapes, "image_size": 16, "batch_size": 12, "precision": "float32", **settings})
    found = {}
    for micro in (None, 5, 4):
        training = Training(whole.model_copy(update={"micro_batch_size": micro}), load_shapes(shapes), torch.device("cpu"))
        training.method.eval()
        batch = some_batch(12)
        loss, rows = training.backward(*views(12), batch)
        found[micro] = loss, rows[0], [p.grad for p in training.method.parameters() if p.requires_grad]
    for micro in (5, 4):
        torch.testing.assert_close(found[micro][0], found[None][0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found[micro][1], found[None][1], atol=1e-5, rtol=1e-5)
        for split, unsplit in zip(found[micro][2], found[None][2]):
            torch.testing.assert_close(split, unsplit, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 3),
        ({"micro_batch_size": 12}, 3),
        ({"micro_batch_size": 6}, 3),
        ({"micro_batch_size": 2}, 2),
        ({"moco.bn_splits": 1, "micro_batch_size": 6}, 6),
        ({"moco.bn_splits": 6}, 4),
    ],
)
def test_mocos_groups_are_those_of_the_unsplit_batch(settings, expected, shapes, monkeypatch):
    """As far as micro-batches have so many images."""
    config = resolve({"method": "moco", "dataset": shapes, "image_size": 16, "batch_size": 24, "moco.bn_splits": 8, **settings})
    training = Training(config, load_shapes(shapes), torch.device("cpu"))
    seen, plain = set(), torch.nn.functional.batch_norm
    monkeypatch.setattr(torch.nn.functional, "batch_norm", lambda x, *rest, **more: seen.add(len(x)) or plain(x, *rest, **more))
    training.take_step()
    assert seen == {expected}


@pytest.mark.parametrize("size", [4, 5])
def test_micro_batches_of_byol_average_the_gradients_of_small_batches_and_move_the_target_once(size, shapes):
    """BYOL's protocol for small batches (section 5): BatchNorm, too, sees one small batch at a time."""
    sizes = {"image_size": 16, "batch_size": 12, "micro_batch_size": size}
    config = resolve({"method": "byol", "dataset": shapes, "precision": "float32", **sizes})
    training = Training(config, load_shapes(shapes), torch.device("cpu"))
    networks = [training.method.encoder, training.method.head, training.method.predictor]
    alone = deepcopy(training.method)
    target = deepcopy(training.method.target_encoder.state_dict())
    view1, view2 = views(12)
    for part1, part2 in zip(view1.tensor_split(3), view2.tensor_split(3)):  # as few as there must be, and alike
        loss = alone.loss(alone.embed(part1, part2), some_batch(len(part1)))
        (loss * len(part1) / 12).backward()

    training.backward(view1, view2, some_batch(12))
    for split, averaged in zip(
        (p for network in networks for p in network.parameters()), (p for p in alone.parameters() if p.requires_grad)
    ):
        torch.testing.assert_close(split.grad, averaged.grad, atol=1e-6, rtol=1e-4)
    assert all(torch.equal(value, target[name]) for name, value in training.method.target_encoder.named_parameters())

    start = {name: value.clone() for name, value in training.method.target_encoder.named_parameters()}
    training.take_step()
    online, momentum = dict(training.method.encoder.named_parameters()), cosine_momentum(1, training.total, 0.99)
    for name, value in training.method.target_encoder.named_parameters():
        torch.testing.assert_close(value, momentum * start[name] + (1 - momentum) * online[name])


class NothingRead(TorchDispatchMode):
    """Fails where a number is asked of the device, which would have to finish all it has to do."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        asks = operation.name() in ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal")
        by_mask = operation.name() in ("aten::index.Tensor", "aten::index_put_") and any(
            i is not None and i.dtype == torch.bool for i in args[1]
        )
        assert not asks and not by_mask, operation.name()
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "moco"},
        {"method": "moco", "moco.negatives": "memory_bank", "moco.queue_size": 30},
        {"method": "simclr", "simclr.negatives": 5, "optimizer": "lars"},
        {"method": "byol", "augment.blur": 0.5, "augment.solarize": 0.2, "optimizer": "lars"},
        {"method": "supervised", "optimizer": "lars"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_a_step_asks_the_device_for_no_number(settings, shapes):
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 8, "device": "cpu", **settings})
    training = Training(config, load_shapes(shapes), torch.device("cpu"))
    training.take_step()
    with NothingRead():
        training.take_step()


class Mean(Method):
    """A fourth method, to show what one takes: pull both views' h to their common mean."""

    def embed(self, view1, view2):
        return self.encoder(view1), self.encoder(view2)

    def loss(self, rows, batch):
        return (rows[0].float() - rows[1].float()).square().mean()

    def chance_loss(self):
        return float("nan")


def test_a_fourth_method_is_one_class_and_one_entry_of_the_registry(monkeypatch, shapes):
    monkeypatch.setitem(METHODS, "mean", Entry("Mean", f"{__name__}:Mean"))
    config = resolve({"method": "mean", "dataset": shapes, "image_size": 16, "batch_size": 8})
    training = Training(config, load_shapes(shapes), torch.device("cpu"))
    loss, z = training.take_step()
    assert torch.isfinite(loss) and z.shape == (8, 256)


def test_the_predictor_is_as_wide_as_it_is_asked_to_be():
    config = resolve({"method": "byol", "head.hidden": 32, "head.dim": 16, "byol.predictor_hidden": 24})
    linear = [m for m in load("byol")(config, 60, 3).predictor.modules() if isinstance(m, torch.nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(16, 24), (24, 16)]
