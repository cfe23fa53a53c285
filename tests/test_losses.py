"""Losses against float64 transcriptions of their formulas, and against lightly's on the same inputs."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightly.loss import NegativeCosineSimilarity, NTXentLoss

from sslcore.losses import byol_regression, info_nce, info_nce_in_batch, normalised, nt_xent

TOLERANCE = 1e-5
sizes = st.tuples(st.integers(2, 40), st.integers(2, 64), st.integers(0, 10_000))  # N, D, seed
temperatures = st.floats(0.05, 2.0)


def rows(n: int, d: int, seed: int, count: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, d, generator=generator) * 3 for _ in range(count)]


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    a, b = a.double(), b.double()
    return float((a @ b) / (a.norm() * b.norm()))


def log_softmax_of_first(similarities: list[float]) -> float:
    return similarities[0] - math.log(sum(math.exp(s) for s in similarities))


# -- The formulas, sample by sample, in float64


def reference_info_nce(q, k, negatives, t) -> float:
    return -sum(
        log_softmax_of_first([cosine(q[i], k[i]) / t, *(cosine(q[i], n) / t for n in negatives)]) for i in range(len(q))
    ) / len(q)


def reference_nt_xent(z1, z2, t) -> float:
    z, n = torch.cat([z1, z2]), len(z1)
    total = 0.0
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        others = [j for j in range(2 * n) if j not in (i, partner)]
        total -= log_softmax_of_first([cosine(z[i], z[partner]) / t, *(cosine(z[i], z[j]) / t for j in others)])
    return total / (2 * n)


@settings(max_examples=25, deadline=None)
@given(size=sizes, t=temperatures, queue=st.integers(1, 50))
def test_info_nce_is_equation_1_of_moco(size, t, queue):
    q, k = rows(*size)
    negatives = normalised(torch.randn(queue, size[1], generator=torch.Generator().manual_seed(size[2] + 1)))
    assert float(info_nce(q, k, negatives, t)) == pytest.approx(
        reference_info_nce(q, k, negatives, t), abs=TOLERANCE, rel=TOLERANCE
    )


@settings(max_examples=25, deadline=None)
@given(size=sizes, t=temperatures)
def test_in_batch_info_nce_takes_the_other_keys_as_negatives(size, t):
    q, k = rows(*size)
    each = [reference_info_nce(q[i : i + 1], k[i : i + 1], k[torch.arange(len(k)) != i], t) for i in range(len(q))]
    assert float(info_nce_in_batch(q, k, t)) == pytest.approx(sum(each) / len(each), abs=TOLERANCE, rel=TOLERANCE)


@settings(max_examples=20, deadline=None)
@given(size=st.tuples(st.integers(2, 12), st.integers(2, 32), st.integers(0, 10_000)), t=temperatures)
def test_nt_xent_is_equation_1_of_simclr(size, t):
    z1, z2 = rows(*size)
    assert float(nt_xent(z1, z2, t)) == pytest.approx(reference_nt_xent(z1, z2, t), abs=TOLERANCE, rel=TOLERANCE)


@settings(max_examples=25, deadline=None)
@given(size=sizes)
def test_byol_is_equation_2(size):
    p, z = rows(*size)
    expected = sum(2 - 2 * cosine(p[i], z[i]) for i in range(len(p))) / len(p)
    assert float(byol_regression(p, z)) == pytest.approx(expected, abs=TOLERANCE)


# -- lightly, values and gradients


def gradients(loss, *inputs):
    inputs = [x.clone().requires_grad_() for x in inputs]
    value = loss(*inputs)
    value.backward()
    return value.detach(), [x.grad for x in inputs]


def assert_same(ours, theirs):
    torch.testing.assert_close(ours[0], theirs[0], atol=TOLERANCE, rtol=TOLERANCE)
    for mine, other in zip(ours[1], theirs[1]):
        torch.testing.assert_close(mine, other, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("t", [0.07, 0.2, 0.5])
def test_nt_xent_and_its_gradient_agree_with_lightly(t):
    z1, z2 = rows(32, 64, seed=1)
    assert_same(gradients(lambda a, b: nt_xent(a, b, t), z1, z2), gradients(NTXentLoss(temperature=t), z1, z2))


@pytest.mark.parametrize("t", [0.07, 0.2])
def test_info_nce_and_its_gradient_agree_with_lightly_on_the_same_queue(t):
    q, k = rows(16, 32, seed=2)
    theirs = NTXentLoss(temperature=t, memory_bank_size=(100, 32))
    theirs(*rows(16, 32, seed=3))  # fills the bank for the first time
    queue = theirs.memory_bank.bank.clone()
    queue = queue if queue.shape == (100, 32) else queue.T
    expected = gradients(lambda a: theirs(a, k), q)
    assert_same(gradients(lambda a: info_nce(a, k, normalised(queue), t), q), expected)


def test_byol_and_its_gradient_agree_with_lightly():
    p, z = rows(24, 48, seed=4)
    cosine_loss = NegativeCosineSimilarity()
    assert_same(gradients(lambda a: byol_regression(a, z), p), gradients(lambda a: 2 + 2 * cosine_loss(a, z), p))


# -- Chance, precision, negatives


def test_the_loss_of_rows_that_are_all_alike_is_the_chance_level():
    same = torch.ones(10, 8)
    assert float(nt_xent(same, same, 0.5)) == pytest.approx(math.log(19))
    assert float(nt_xent(same, same, 0.5, negatives=7)) == pytest.approx(math.log(8))
    assert float(info_nce(same, same, normalised(torch.ones(30, 8)), 0.1)) == pytest.approx(math.log(31))
    assert float(info_nce_in_batch(same, same, 0.1)) == pytest.approx(math.log(10))
    assert float(byol_regression(torch.eye(8), torch.eye(8).roll(1, 0))) == pytest.approx(2)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_bfloat16_rows_are_compared_in_float32_without_overflow(scale):
    z1, z2 = (x.bfloat16() * scale for x in rows(16, 32, seed=5))
    queue = normalised(torch.randn(64, 32))
    for loss in (nt_xent(z1, z2, 0.01), info_nce(z1, z2, queue, 0.01), byol_regression(z1, z2)):
        assert loss.dtype == torch.float32 and torch.isfinite(loss)
    assert float(nt_xent(z1, z2, 0.1)) == pytest.approx(reference_nt_xent(z1, z2, 0.1), abs=1e-4)


def test_capped_negatives_are_never_the_view_itself_nor_its_partner():
    """Only the two views of an image are alike: a partner among its own negatives would raise the loss to ln 2."""
    z = torch.eye(16)
    for _ in range(20):
        assert float(nt_xent(z, z, 0.01, negatives=3)) < 1e-6


def test_capped_negatives_with_all_of_them_are_the_whole_loss():
    z1, z2 = rows(12, 16, seed=6)
    torch.testing.assert_close(nt_xent(z1, z2, 0.3, negatives=22), nt_xent(z1, z2, 0.3))


def test_fewer_negatives_make_an_easier_task():
    z1, z2 = rows(6, 8, seed=7)
    torch.manual_seed(0)
    few = torch.stack([nt_xent(z1, z2, 1.0, negatives=5) for _ in range(400)]).mean()
    assert few < float(nt_xent(z1, z2, 1.0))


def test_every_view_draws_negatives_of_its_own_and_each_time_anew():
    """Each of four views takes one of two: sixteen losses, where they all draw alike four, and a single one of a fixed choice."""
    z1, z2 = rows(2, 16, 5)
    torch.manual_seed(0)
    assert len({round(float(nt_xent(z1, z2, 1.0, negatives=1)), 5) for _ in range(300)}) == 16
