"""Backbones that turn images into h, and the heads that turn h into z.

Backbones are torchvision's ResNets without their classifier, whose weights keep
torchvision's names, and a small one like them.
"""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from sslcore import distributed
from sslcore.config import Head
from sslcore.convolution import hasten

CIFAR_STEM_UP_TO = 64  # pixels
Norm = Callable[[int], nn.Module]  # channels -> a normalising layer


def build_encoder(name: str, image_size: int, norm: Norm = nn.BatchNorm2d) -> nn.Module:
    """A backbone (N, 3, S, S) -> h (N, encoder.dim).

    Up to 64 px the ResNets take the CIFAR stem: a 3x3 convolution of stride 1
    and no max-pool (SimCLR, appendix B.9).
    """
    if name == "small":
        return hasten(SmallResNet(norm))
    from torchvision.models import resnet  # imports torch's compiler, which takes two seconds

    encoder = getattr(resnet, name)(norm_layer=norm)
    encoder.dim = encoder.fc.in_features
    encoder.fc = nn.Identity()
    if image_size <= CIFAR_STEM_UP_TO:
        encoder.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(encoder.conv1.weight, mode="fan_out", nonlinearity="relu")
        encoder.maxpool = nn.Identity()
    return hasten(encoder)


class SmallResNet(nn.Sequential):
    """A ResNet of four basic blocks, 32 to 256 channels, for CPUs: h has 256 numbers.

    Its stem has stride 2, for at full resolution the first layers would take most of a CPU's time.
    """

    dim = 256

    def __init__(self, norm: Norm = nn.BatchNorm2d):
        widths = [32, 64, 128, 256]
        layers = [
            ("conv1", nn.Conv2d(3, widths[0], kernel_size=3, stride=2, padding=1, bias=False)),
            ("bn1", norm(widths[0])),
            ("relu", nn.ReLU(inplace=True)),
        ]
        inner = widths[0]
        for i, width in enumerate(widths, start=1):
            layers.append((f"layer{i}", BasicBlock(inner, width, 1 if i == 1 else 2, norm)))
            inner = width
        layers += [("avgpool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten(1))]
        super().__init__(OrderedDict(layers))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016, figure 2), which is a 1x1 convolution where the shape changes.

    The layers are called as in torchvision's BasicBlock.
    """

    def __init__(self, inner: int, width: int, stride: int, norm: Norm):
        super().__init__()
        changes = stride != 1 or inner != width
        shortcut = (
            nn.Sequential(nn.Conv2d(inner, width, kernel_size=1, stride=stride, bias=False), norm(width)) if changes else None
        )
        self.conv1 = nn.Conv2d(inner, width, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, padding=1, bias=False)
        self.bn2 = norm(width)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        return self.relu(x.add_(shortcut))


class SplitBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm that sees the batch in groups, as over several GPUs (MoCo, section 3.3).

    Any batch can be split: groups differ by one image at most. The running statistics
    move towards the mean of the groups' statistics.
    """

    def __init__(self, channels: int, splits: int):
        super().__init__(channels)
        self.splits = splits

    def forward(self, x: Tensor) -> Tensor:
        splits = min(self.splits, len(x) // 2)  # a group needs two images
        if not self.training or splits < 2:
            return super().forward(x)
        share, over = divmod(len(x), splits)
        if torch.compiler.is_compiling() and not over:
            return self.together(x, splits)
        groups = x.split([share + 1] * over + [share] * (splits - over))
        normalised = []
        for place, group in enumerate(groups, start=1):
            momentum = self.momentum / (splits - (splits - place) * self.momentum)  # every group counts the same in the end
            statistics = (self.running_mean, self.running_var, self.weight, self.bias, True, momentum, self.eps)
            normalised.append(nn.functional.batch_norm(group, *statistics))
        return torch.cat(normalised)

    def together(self, x: Tensor, splits: int) -> Tensor:
        """All groups, of one size, at once: fewer kernels where it is compiled, but slower where it is not."""
        wide = x.unflatten(0, (splits, -1))  # (splits, n, C, H, W)
        wide = wide if x.dtype == torch.float64 else wide.float()
        variance, mean = torch.var_mean(wide, (1, 3, 4), correction=0)  # (splits, C)
        with torch.no_grad():
            count = x.numel() // mean.numel()  # of a group and channel
            self.running_mean.lerp_(mean.mean(0), self.momentum)
            self.running_var.lerp_(variance.mean(0) * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        y = wide * scale[:, None, :, None, None] + shift[:, None, :, None, None]
        return y.flatten(0, 1).to(x.dtype)


class SyncBatchNorm(nn.SyncBatchNorm):
    """BatchNorm over the whole batch, whose rows are shared out among processes; torch's own does so on GPUs only."""

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda or not self.training or distributed.world() == 1:
            return super().forward(x)
        others = [dim for dim in range(x.ndim) if dim != 1]
        per_channel = 1, -1, *[1] * (x.ndim - 2)
        count = distributed.world() * x.numel() // x.shape[1]  # shares of a batch are equal
        wide = x if x.dtype == torch.float64 else x.float()
        mean = distributed.Total.apply(wide.sum(others)) / count
        centred = wide - mean.view(per_channel)
        variance = distributed.Total.apply(centred.square().sum(others)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(per_channel) + self.bias.view(per_channel)).to(x.dtype)


def synchronise(module: nn.Module) -> None:
    """Let every plain BatchNorm inside see the whole batch; its parameters and buffers stay the same objects."""
    for norm in module.modules():
        if type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d):
            norm.__class__, norm.process_group = SyncBatchNorm, None


def mlp(inner: int, hidden: int, out: int, batch_norm: bool) -> nn.Sequential:
    """Two layers. BatchNorm after the first: as in BYOL (section 3.3) and in SimCLR's code, which has one more at the end."""
    norm = [nn.BatchNorm1d(hidden)] if batch_norm else []
    return nn.Sequential(nn.Linear(inner, hidden, bias=not batch_norm), *norm, nn.ReLU(inplace=True), nn.Linear(hidden, out))


def build_head(settings: Head, inner: int, batch_norm: bool) -> tuple[nn.Module, int]:
    """(The projection head h -> z, the length of z)."""
    if settings.kind == "none":
        return nn.Identity(), inner
    if settings.kind == "linear":
        return nn.Linear(inner, settings.dim), settings.dim
    return mlp(inner, settings.hidden, settings.dim, batch_norm), settings.dim
