"""Convolutions while training on a CPU, by the cheapest of several equal ways.

oneDNN's direct convolution comes near a processor's peak on large maps; on the small
maps at the end of a network it does not, least in the gradient of the weights. There
the same sums cost less as one matrix product over the whole map (2x2 pixels), with a
gradient of the weights that is one product, by oneDNN's kernels for blocks of channels,
or by Winograd's minimal filtering.
Which of them pays depends on the arithmetic and the processor; benchmarks/README.md
says how much.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINOGRAD_CHANNELS = 64  # from here on the products saved outweigh the transforms
PIXELS = [(0, 0), (0, 1), (1, 0), (1, 1)]  # of a 2x2 map
MANY_CHANNELS = 257  # from here on oneDNN is slow in bfloat16 on small maps that are channels last
# With vectors of 512 bits oneDNN's float32 convolutions are faster than matrix products, of which the other ways are made.
WIDE_VECTORS = torch.cpu.get_capabilities().get("avx512_f", False)

# F(4x4, 3x3) of Lavin & Gray 2016, section 4.3: y = A' [(G w G') * (B' x B)] A for 6x6 pixels x
_B = [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
_G = [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
]
_A = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
# of rows and columns at once: (36, 36), (36, 9), (16, 36)
B, G, A = (torch.kron(m, m) for m in (torch.tensor(rows, dtype=torch.float64) for rows in (_B, _G, _A)))


def hasten(network: nn.Module) -> nn.Module:
    """Let a network's convolutions take the ways below. Weights, their names and what is computed stay the same."""
    for module in network.modules():
        if type(module) is nn.Conv2d and module.bias is None:
            if module.kernel_size == (3, 3):
                module.__class__ = Conv3x3
            elif (module.kernel_size, module.stride) == ((1, 1), (2, 2)):
                module.__class__ = Conv1x1
    return network


def plain(network: nn.Module) -> nn.Module:
    """Undo `hasten`: what a count of operations should see."""
    for module in network.modules():
        if isinstance(module, (Conv3x3, Conv1x1)):
            module.__class__ = nn.Conv2d
    return network


class Conv1x1(nn.Conv2d):
    """A convolution of single pixels, stride 2, without bias: of stride 1 over every other pixel."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu":
            return super().forward(x)
        return F.conv2d(EveryOther.apply(x), self.weight)


class EveryOther(torch.autograd.Function):
    """Every other row and column, channels last."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return x[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx, slope: Tensor) -> Tensor:
        of_x = torch.empty(ctx.shape, dtype=slope.dtype, memory_format=torch.channels_last).zero_()
        of_x[:, :, ::2, ::2] = slope
        return of_x


class Conv3x3(nn.Conv2d):
    """A convolution of 3x3 pixels, padding 1, without bias."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu":
            return super().forward(x)
        height, width = x.shape[2:]
        weight, stride = self.weight, self.stride[0]
        lowered = torch.is_autocast_enabled("cpu") and weight.dtype == torch.float32
        if lowered:  # autocast itself does so for torch's convolutions alone
            x, weight = (tensor.to(torch.get_autocast_dtype("cpu")) for tensor in (x, weight))
        if (height, width, stride) == (2, 2, 1):
            return WholeMap.apply(x, weight)
        if max(height, width) <= 4 * stride and (lowered or (stride == 2 and not WIDE_VECTORS)):
            return OneProduct.apply(x, weight, stride)
        tiled = height % 4 == width % 4 == 0 and max(height, width) <= 8 and min(weight.shape[:2]) >= WINOGRAD_CHANNELS
        if stride == 1 and tiled and not lowered and not WIDE_VECTORS:
            return Winograd.apply(x, weight)
        return super().forward(x)


def pixels_last(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W, C), contiguous: no copy where x is channels last."""
    return x.permute(0, 2, 3, 1).contiguous()


class WholeMap(torch.autograd.Function):
    """Of 2x2 pixels every one reaches every other: one matrix (4 K, 4 C) in place of nine taps, five of which meet padding."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        pixels = pixels_last(x).view(len(x), -1)  # (N, 4 C)
        taps = pixels_last(weight)  # (K, 3, 3, C)
        out, channels = weight.shape[:2]
        matrix = taps.new_empty(2, 2, out, 2, 2, channels)
        for i, j in PIXELS:
            matrix[i, j] = seen_from(taps, i, j)
        matrix = matrix.view(4 * out, 4 * channels)
        ctx.save_for_backward(pixels, matrix)
        return (pixels @ matrix.T).view(len(x), 2, 2, out).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, slope: Tensor) -> tuple[Tensor, Tensor]:
        pixels, matrix = ctx.saved_tensors
        n, out, channels = len(slope), slope.shape[1], pixels.shape[1] // 4
        slope = pixels_last(slope).view(n, -1)  # (N, 4 K)
        of_x = (slope @ matrix).view(n, 2, 2, channels)
        of_matrix = (slope.T @ pixels).view(2, 2, out, 2, 2, channels)
        of_taps = slope.new_zeros(out, 3, 3, channels)
        for i, j in PIXELS:
            seen_from(of_taps, i, j).add_(of_matrix[i, j])
        return of_x.permute(0, 3, 1, 2), of_taps.permute(0, 3, 1, 2)


def seen_from(taps: Tensor, i: int, j: int) -> Tensor:
    """Of taps (K, 3, 3, C) those that fall on a map of 2x2 pixels, seen from its pixel (i, j): a view (K, 2, 2, C)."""
    return taps[:, 1 - i : 3 - i, 1 - j : 3 - j]


class OneProduct(torch.autograd.Function):
    """The gradient of the weights as one product over the patches that each output saw.

    Not only is it cheaper on small maps: in bfloat16, oneDNN's of a tap that sees nothing but padding is whatever was in memory.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return convolved(x, weight, stride)

    @staticmethod
    def backward(ctx, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            if ctx.stride == 1:
                of_x = convolved(slope, turned(weight), 1)
            else:
                of_x = torch.ops.aten.convolution_backward(
                    slope, x, weight, None, [ctx.stride] * 2, [1, 1], [1, 1], False, [0, 0], 1, [True, False, False]
                )[0]
        if ctx.needs_input_grad[1]:
            rows = patches(x, 3, ctx.stride).reshape(-1, 9 * x.shape[1])  # (N h w, 9 C)
            product = pixels_last(slope).view(len(rows), -1).T @ rows  # (K, 9 C)
            of_weight = product.view(len(weight), 3, 3, -1).permute(0, 3, 1, 2)
        return of_x, of_weight, None


def convolved(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """A convolution by oneDNN; of many channels by its kernels for blocks of channels, or for half of the outputs at a time."""
    if x.dtype != torch.bfloat16 or max(weight.shape[:2]) < MANY_CHANNELS:
        return F.conv2d(x, weight, stride=stride, padding=1)
    if stride == 1:
        return F.conv2d(x.contiguous(), weight.contiguous(), padding=1).contiguous(memory_format=torch.channels_last)
    return torch.cat([F.conv2d(x, part, stride=stride, padding=1) for part in weight.chunk(2)], 1)


def turned(weight: Tensor) -> Tensor:
    """The weights by which a slope is convolved to be the gradient of x, where the stride is 1."""
    return weight.flip(2, 3).transpose(0, 1)


def patches(x: Tensor, size: int, stride: int) -> Tensor:
    """The size x size pixels around every stride-th pixel of x (N, C, H, W), padded by 1: a view (N, h, w, size, size, C)."""
    n, channels, height, width = x.shape
    padded = F.pad(pixels_last(x), (0, 0, 1, 1, 1, 1))
    image, row, column, channel = padded.stride()
    shape = (n, -(-height // stride), -(-width // stride), size, size, channels)
    return padded.as_strided(shape, (image, stride * row, stride * column, row, column, channel))


class Winograd(torch.autograd.Function):
    """Stride 1 on maps of 4 n pixels: 36 products where 144 were, for 4x4 pixels of output."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        seen = transformed(x)
        ctx.save_for_backward(seen, weight)
        return filtered(seen, weight, x.shape)

    @staticmethod
    def backward(ctx, slope: Tensor) -> tuple[Tensor | None, Tensor | None]:
        seen, weight = ctx.saved_tensors
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = filtered(transformed(slope), turned(weight), slope.shape)
        if ctx.needs_input_grad[1]:
            n, out, height, width = slope.shape
            tiles = pixels_last(slope).view(n, height // 4, 4, width // 4, 4, out).permute(2, 4, 0, 1, 3, 5)
            spread = (A.T.to(slope) @ tiles.reshape(16, -1)).view(36, -1, out)
            product = seen.transpose(1, 2) @ spread  # (36, C, K)
            of_weight = (G.T.to(slope) @ product.view(36, -1)).view(3, 3, -1, out).permute(3, 2, 0, 1)
        return of_x, of_weight


def transformed(x: Tensor) -> Tensor:
    """B' x B of every tile of x (N, C, H, W): (36, tiles, C)."""
    tiles = patches(x, 6, 4).permute(3, 4, 0, 1, 2, 5).reshape(36, -1)
    return (B.to(x) @ tiles).view(36, -1, x.shape[1])


def filtered(seen: Tensor, weight: Tensor, shape: torch.Size) -> Tensor:
    """A' [(G w G') * seen] A, put together: (N, K, H, W), channels last. weight: (K, C, 3, 3). shape: of the map."""
    n, _, height, width = shape
    out, channels = weight.shape[:2]
    kernels = (G.to(weight) @ weight.permute(2, 3, 1, 0).reshape(9, -1)).view(36, channels, out)
    products = torch.bmm(seen, kernels).view(36, -1)
    tiles = (A.to(weight) @ products).view(4, 4, n, height // 4, width // 4, out)
    return tiles.permute(2, 3, 0, 4, 1, 5).contiguous().view(n, height, width, out).permute(0, 3, 1, 2)
