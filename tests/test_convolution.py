"""Our ways to convolve give what torch's gives: the output, and both gradients."""

import pytest
import torch
from torch import nn

from sslcore.convolution import Conv1x1, Conv3x3, Winograd, hasten, plain
from sslcore.encoders import build_encoder

SHAPES = {  # images, channels in, out, height, width, pixels of the kernel, stride
    "whole map": (3, 5, 6, 2, 2, 3, 1),
    "winograd, one tile": (64, 128, 130, 4, 4, 3, 1),
    "winograd, tiles": (32, 128, 128, 8, 4, 3, 1),
    "strided": (3, 7, 5, 8, 6, 3, 2),
    "strided, many channels": (3, 7, 260, 8, 6, 3, 2),
    "one product": (3, 5, 6, 3, 4, 3, 1),
    "one product, many channels": (3, 260, 6, 3, 4, 3, 1),
    "large": (2, 4, 5, 12, 12, 3, 1),
    "odd": (2, 4, 5, 5, 7, 3, 2),
    "shortcut": (3, 5, 6, 8, 6, 1, 2),
    "shortcut, odd": (2, 4, 5, 5, 7, 1, 2),
}


def drawn(shape: str) -> tuple[nn.Conv2d, torch.Tensor]:
    """A convolution and what it is to see, in float64."""
    n, channels, out, height, width, size, stride = SHAPES[shape]
    torch.manual_seed(0)
    convolution = nn.Conv2d(channels, out, size, stride, size // 2, bias=False, dtype=torch.float64)
    return convolution, torch.randn(n, channels, height, width, dtype=torch.float64)


def outcome(convolution: nn.Conv2d, x: torch.Tensor) -> list[torch.Tensor]:
    """The output and both gradients, in float64."""
    x = x.detach().requires_grad_()
    y = convolution(x)
    slope = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view(y.shape).to(y.dtype)
    return [one.double() for one in (y.detach(), *torch.autograd.grad(y, (x, convolution.weight), slope))]


@pytest.mark.parametrize("wide", [False, True], ids=["AVX2", "AVX-512"])
@pytest.mark.parametrize("shape", SHAPES)
def test_each_way_is_the_same_convolution(shape, wide, monkeypatch):
    monkeypatch.setattr("sslcore.convolution.WIDE_VECTORS", wide)
    convolution, x = drawn(shape)
    expected = outcome(convolution, x)
    hasten(convolution)
    assert type(convolution) in (Conv3x3, Conv1x1)
    for ours, theirs in zip(outcome(convolution, x), expected):
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_in_bfloat16_each_way_errs_as_little_as_torchs(shape):
    convolution, x = drawn(shape)
    exact = outcome(convolution, x)
    convolution, x = convolution.float(), x.float()
    with torch.autocast("cpu", torch.bfloat16):
        theirs = outcome(convolution, x)
        ours = outcome(hasten(convolution), x)
    for mine, other, true in zip(ours, theirs, exact):
        assert (mine - true).square().mean() <= 1.5 * (other - true).square().mean()


@pytest.mark.parametrize("stride", [1, 2])
def test_a_tap_that_sees_nothing_but_padding_has_no_gradient(stride):
    convolution = hasten(nn.Conv2d(128, 256, 3, stride, 1, bias=False))
    x = torch.randn(2, 128, 1, 1)
    for _ in range(20):
        torch.full((256, 128, 3, 3), torch.nan)  # which leaves this in memory for others to find
        with torch.autocast("cpu", torch.bfloat16):
            y = convolution(x)
        (slope,) = torch.autograd.grad(y.float().sum(), convolution.weight)
        slope[:, :, 1, 1] = 0
        assert not slope.any()


def test_in_float32_winograd_errs_as_little_as_a_sum_of_thousands():
    x, weight = torch.randn(8, 256, 8, 8), torch.randn(256, 256, 3, 3) / 48
    exact = nn.functional.conv2d(x.double(), weight.double(), padding=1)
    assert (Winograd.apply(x, weight) - exact).abs().max() < 1e-4 * exact.std()


@pytest.mark.parametrize("name", ["small", "resnet18"])
def test_an_encoder_in_training_is_torchvisions_in_training(name):
    encoder, x = build_encoder(name, 32).double(), torch.randn(4, 3, 32, 32, dtype=torch.float64)
    ours = encoder(x)
    assert any(isinstance(module, Conv3x3) for module in encoder.modules())
    torch.testing.assert_close(plain(encoder)(x), ours, atol=1e-9, rtol=1e-9)
