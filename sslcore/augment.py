"""Random views of a whole batch, drawn on the device that trains.

The transformations and their order are those of SimCLR (Chen et al. 2020,
appendix A; BYOL, appendix B, adds solarization), each with the distribution of
torchvision's transform of the same settings, which are by default MoCo v2's
without its blur; every image draws its own parameters. All random numbers come
from torch's global generators, so that whoever seeds a step seeds its views.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sslcore.config import Augment
from sslcore.distributed import random_rows

JITTER_PROBABILITY = 0.8
GRAY = (0.2989, 0.587, 0.114)  # luma weights, as torchvision's


class Views:
    """uint8 images in, normalised random views out."""

    def __init__(self, settings: Augment, mean: Sequence[float], std: Sequence[float], device: torch.device | str = "cpu"):
        """`mean` and `std`: three numbers each, of the training images scaled to [0, 1]."""
        self.settings = settings
        self.mean = torch.tensor(mean, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(std, device=device).view(1, 3, 1, 1)
        self.device = self.mean.device

    def __call__(self, images: Tensor, second: bool = False) -> Tensor:
        """One random view of each image: uint8 (N, S, S, 3) -> float32 (N, 3, S, S), channels last."""
        return self.normalise(draw(images, self.settings, second))

    def plain(self, images: Tensor) -> Tensor:
        """The images themselves, as the encoder is evaluated: same shapes as a view."""
        return self.normalise(to_float(images))

    def normalise(self, x: Tensor) -> Tensor:
        return ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


def to_float(images: Tensor) -> Tensor:
    """uint8 (N, S, S, 3) -> float32 (N, 3, S, S) in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255


def draw(images: Tensor, settings: Augment, second: bool = False) -> Tensor:
    """One random view of each image, not yet normalised: uint8 (N, S, S, 3) -> float32 (N, 3, S, S) in [0, 1]."""
    x = crop_and_flip(images, settings.crop_min, settings.flip)
    if settings.jitter or settings.hue:
        x = color_jitter(x, settings.jitter, settings.hue)
    if settings.grayscale:
        x = fade(x, chance(x, settings.grayscale))
    if settings.blur:
        x = gaussian_blur(x, settings.blur)
    if settings.solarize and second:
        x = torch.where(chance(x, settings.solarize) & (x >= 0.5), 1 - x, x)
    return x


def chance(x: Tensor, probability: float) -> Tensor:
    """One coin an image: bool (N, 1, 1, 1)."""
    return random_rows(torch.rand, len(x), 1, 1, 1, device=x.device) < probability


def uniform(x: Tensor, low: float, high: float) -> Tensor:
    """One number an image: (N, 1, 1, 1)."""
    return random_rows(within(low, high), len(x), 1, 1, 1, device=x.device)


def within(low: float, high: float) -> Callable[..., Tensor]:
    return lambda *shape, device: torch.empty(*shape, device=device).uniform_(low, high)


# -- Crop ----------------------------------------------------------------------


def crop_and_flip(images: Tensor, crop_min: float, flip: float) -> Tensor:
    """RandomResizedCrop and RandomHorizontalFlip: uint8 (N, S, S, 3) -> float32 (N, 3, S, S) in [0, 1].

    Resizing is linear and separable: a matrix for the rows, one for the columns.
    """
    n, size = images.shape[:2]
    top, left, height, width = random_boxes(n, size, crop_min, images.device)
    rows = bilinear(top, height, size)  # (N, S, S)
    columns = bilinear(left, width, size)
    mirrored = random_rows(torch.rand, n, 1, 1, device=images.device) < flip
    columns = torch.where(mirrored, columns.flip(1), columns)
    x = rows @ (images.float() / 255).reshape(n, size, size * 3)
    x = x.view(n, size, size, 3).permute(0, 3, 1, 2).reshape(n, 3 * size, size)  # (N, 3 * S rows, S columns)
    return (x @ columns.mT).view(n, 3, size, size)


def random_boxes(n: int, size: int, crop_min: float, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Top, left, height and width (N,) of crops: area uniform in [crop_min, 1], log aspect ratio in ±log 4/3.

    Ten tries an image to fit inside it, then the whole image, as torchvision.
    """
    area = random_rows(within(crop_min, 1), n, 10, device=device) * size**2
    ratio = random_rows(within(-math.log(4 / 3), math.log(4 / 3)), n, 10, device=device).exp()
    width, height = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (width <= size) & (height <= size) & (width > 0) & (height > 0)
    first = fits.int().argmax(1, keepdim=True)
    found = fits.gather(1, first)
    width = torch.where(found, width.gather(1, first), size).squeeze(1)
    height = torch.where(found, height.gather(1, first), size).squeeze(1)
    top = (random_rows(torch.rand, n, device=device) * (size - height + 1)).floor()
    left = (random_rows(torch.rand, n, device=device) * (size - width + 1)).floor()
    return top, left, height, width


def bilinear(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Matrices (N, size, size) that stretch `length` pixels from `start` (both (N,)) over `size` pixels."""
    pixel = torch.arange(size, device=start.device, dtype=torch.float32)
    start, length = start[:, None], length[:, None]
    position = start + (pixel + 0.5) * length / size - 0.5
    position = torch.minimum(torch.maximum(position, start), start + length - 1)  # the crop's edge repeats
    return (1 - (position[:, :, None] - pixel).abs()).clamp(min=0)


# -- Colour --------------------------------------------------------------------


def color_jitter(x: Tensor, strength: float, hue: float) -> Tensor:
    """ColorJitter(strength, strength, strength, hue) with probability 0.8: (N, 3, S, S) in [0, 1].

    Every image draws its own order of the four changes: that of brightness, contrast and saturation,
    and how many of these come before its hue turns.
    """
    n, device = len(x), x.device
    drawn = chance(x, JITTER_PROBABILITY)
    order = random_rows(torch.rand, n, 3, device=device).argsort(1)  # the image's first, second and third blend
    factor = random_rows(within(1 - strength, 1 + strength), n, 3, device=device)
    factor = torch.where(drawn.view(n, 1), factor, 1.0)
    if not hue:
        return blend(x, order, factor)
    turn = torch.where(drawn, uniform(x, -hue, hue), 0.0)
    if not strength:
        return turn_hue(x, turn)
    early = torch.arange(3, device=device) < random_rows(within(0, 4), n, 1, device=device).floor()
    x = blend(x, order, torch.where(early, factor, 1.0))
    x = turn_hue(x, turn)
    return blend(x, order, torch.where(early, 1.0, factor))


def blend(x: Tensor, order: Tensor, factor: Tensor) -> Tensor:
    """Brightness (0), contrast (1) and saturation (2) in each image's `order`, by `factor` (both (N, 3)): (N, 3, S, S) in [0, 1].

    Each is factor * x + (1 - factor) * other, where other is black, the image's mean gray or its gray;
    a factor of 1 leaves the image as it is.
    """
    identity, luma = torch.eye(3, device=x.device), luma_row(x.device)
    contrast, saturation = ((order == change)[..., None, None] for change in (1, 2))
    share, rest = factor[..., None, None], (1 - factor)[..., None, None]
    matrix = share * identity + rest * saturation * luma  # (N, 3 blends, 3, 3)
    level = rest * contrast  # (N, 3 blends, 1, 1)
    pixels = x.flatten(2)  # (N, 3, S * S)
    for i in range(3):
        mean = luma @ pixels.mean(2, keepdim=True)  # (N, 1, 1)
        pixels = torch.baddbmm(level[:, i] * mean, matrix[:, i], pixels).clamp_(0, 1)
    return pixels.view_as(x)


def gray(x: Tensor) -> Tensor:
    """Luma: (N, 3, S, S) -> (N, 1, S, S)."""
    red, green, blue = x.unbind(1)
    return (GRAY[0] * red + GRAY[1] * green + GRAY[2] * blue).unsqueeze(1)


def luma_row(device: torch.device) -> Tensor:
    """The row (1, 3) that takes a colour to its luma, made on the device: a copy would wait for it."""
    return gray(torch.eye(3, device=device).view(3, 3, 1, 1)).view(1, 3)


def fade(x: Tensor, drawn: Tensor) -> Tensor:
    """Grayscale where `drawn` (N, 1, 1, 1), by a matrix an image: (N, 3, S, S)."""
    matrix = torch.where(drawn.view(-1, 1, 1), luma_row(x.device), torch.eye(3, device=x.device))  # (N, 3, 3)
    return (matrix @ x.flatten(2)).view_as(x)


def turn_hue(x: Tensor, turn: Tensor) -> Tensor:
    """Add `turn` (N, 1, 1, 1), in turns, to the hue of HSV; value and saturation stay: (N, 3, S, S).

    Without a comparison: choosing a pixel at a time costs a CPU more than the arithmetic.
    """
    red, green, blue = x.unbind(1)
    greater, lesser = torch.maximum(green, blue), torch.minimum(green, blue)
    value, middle = torch.maximum(red, greater), torch.minimum(red, greater)
    chroma = value - torch.minimum(middle, lesser)
    # The hue is | start + (middle - lesser) / 6 chroma |, where start is 0 if red >= green >= blue,
    bluer = (blue - green).sign_().clamp_(min=0)  # -1 if blue > green,
    redless = (greater - red).sign_().clamp_(min=0)  # -1/3 if green is the greatest and 2/3 if blue is.
    start = redless * (2 * bluer - 1 / 3) - bluer
    hue = (start + (middle - lesser) / (6 * chroma).clamp_(min=1e-8)).abs_() + turn.squeeze(1)  # (N, S, S), in turns
    opposite = torch.arange(3, -2, -2, device=x.device).view(1, 3, 1, 1) / 6  # the hues where a channel is least, negated
    away = hue.unsqueeze(1) + opposite
    away = away.sub_(away.round()).abs_()  # (N, 3, S, S): of the hue from there, at most half a turn
    lacking = away.mul_(-6).add_(2).clamp_(0, 1)  # share of the chroma
    return value.unsqueeze(1) - lacking.mul_(chroma.unsqueeze(1))


# -- Blur ----------------------------------------------------------------------


def gaussian_blur(x: Tensor, probability: float) -> Tensor:
    """Blur with sigma uniform in [0.1, 2] pixels and a kernel of about a tenth of the image: (N, 3, S, S) in [0, 1].

    It has 23 taps at 224 px, as SimCLR's (appendix A), 7 at 64 px and 5 at 32 px, where a tenth would be 3.
    One matrix (N, S, S) an image, the same for rows and columns; the border is reflected.
    """
    n, _, size, _ = x.shape
    radius = max(1, round(size / 20))
    tap = torch.arange(-radius, radius + 1, device=x.device)
    sigma = uniform(x, 0.1, 2.0).view(n, 1)
    weight = torch.softmax(-0.5 * (tap / sigma) ** 2, dim=1)  # (N, taps)
    weight = torch.where(chance(x, probability).view(n, 1), weight, (tap == 0).float())
    source = torch.arange(size, device=x.device)[:, None] + tap  # (S, taps)
    source = (size - 1) - ((size - 1) - source.abs()).abs()
    blur = torch.zeros(n, size, size, device=x.device)
    blur.scatter_add_(2, source.expand(n, -1, -1), weight[:, None, :].expand(-1, size, -1))
    return (blur[:, None] @ x @ blur[:, None].mT).clamp_(0, 1)  # which rounding may leave
