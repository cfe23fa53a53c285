import pytest
import torch
from torch import nn
from torchvision.models import resnet

from sslcore.config import Head
from sslcore.encoders import SmallResNet, SplitBatchNorm2d, build_encoder, build_head


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_the_weights_load_into_torchvisions_model_of_that_name(name):
    ours = build_encoder(name, image_size=32)
    theirs = getattr(resnet, name)()
    theirs.conv1, theirs.maxpool, theirs.fc = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity(), nn.Identity()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


def test_the_small_encoders_weights_load_into_its_class():
    ours, bare = build_encoder("small", 32).eval(), SmallResNet().eval()
    bare.load_state_dict(ours.state_dict())
    images = torch.rand(2, 3, 32, 32)
    assert torch.allclose(bare(images), ours(images), atol=1e-5)


def test_images_above_64_px_keep_the_imagenet_stem():
    assert build_encoder("resnet18", 64).conv1.stride == (1, 1)
    assert build_encoder("resnet18", 65).state_dict().keys() <= resnet.resnet18().state_dict().keys()
    assert build_encoder("resnet18", 224).conv1.stride == (2, 2)


@pytest.mark.parametrize("name", ["small", "resnet18"])
@pytest.mark.parametrize("size", [8, 20, 32])
def test_h_has_the_length_that_the_encoder_states(name, size):
    encoder = build_encoder(name, size)
    assert encoder(torch.randn(3, 3, size, size)).shape == (3, encoder.dim)


def test_heads_are_what_their_kind_says():
    x = torch.randn(4, 10)
    same, dim = build_head(Head(kind="none"), 10, batch_norm=True)
    assert dim == 10 and torch.equal(same(x), x)
    linear, dim = build_head(Head(kind="linear", dim=6), 10, batch_norm=True)
    a, b = torch.randn(2, 4, 10)
    torch.testing.assert_close(linear(a + b), linear(a) + linear(b) - linear(torch.zeros(4, 10)))
    head, dim = build_head(Head(kind="mlp", hidden=12, dim=6), 10, batch_norm=False)
    assert head(x).shape == (4, 6) and not any(isinstance(m, nn.BatchNorm1d) for m in head)


def test_no_group_is_a_single_image():
    x = torch.randn(6, 3, 4, 4)
    torch.testing.assert_close(SplitBatchNorm2d(3, 8)(x), SplitBatchNorm2d(3, 3)(x))
