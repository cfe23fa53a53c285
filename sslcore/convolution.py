"""Convolutions while training on a CPU, each computed in the way that is cheapest for its shape.

oneDNN's direct convolution comes near a processor's peak on large maps, but not on the small maps at the end of a
network, least of all in the gradient of the weights. There these cost less and compute the same sums: one matrix
product for a whole map of 2x2 pixels (WholeMap); the gradient of the weights as one matrix product (OneProduct), with
oneDNN's kernels for blocks of channels where there are many (convolved); Winograd's minimal filtering (Winograd).
Which of them pays depends on the arithmetic and the processor; benchmarks/training.md says how much.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINOGRAD_CHANNELS, WINOGRAD_TILES = 128, 64  # from here on the products saved outweigh the transforms, the weights' above all
PIXELS = [(0, 0), (0, 1), (1, 0), (1, 1)]  # of a 2x2 map
MANY_CHANNELS = 257  # from here on oneDNN is slow in bfloat16 on small maps that are channels last
DEVICES = ("cpu", "meta")  # meta: what a CPU would keep is counted there (footprint.py)
# With vectors of 512 bits oneDNN's float32 convolutions are faster than these ways, but on 2x2 maps.
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
# for rows and columns at once: (36, 36), (36, 9), (16, 36)
B, G, A = (torch.kron(m, m) for m in (torch.tensor(rows, dtype=torch.float64) for rows in (_B, _G, _A)))


def hasten(network: nn.Module) -> nn.Module:
    """Make a network's convolutions Conv3x3 and Conv1x1. Weights, their names and what is computed stay the same."""
    for module in network.modules():
        if type(module) is nn.Conv2d and module.bias is None:
            if module.kernel_size == (3, 3):
                module.__class__ = Conv3x3
            elif (module.kernel_size, module.stride) == ((1, 1), (2, 2)):
                module.__class__ = Conv1x1
    return network


def plain(network: nn.Module) -> nn.Module:
    """Undo `hasten`, so that operations are counted as those of an ordinary convolution."""
    for module in network.modules():
        if isinstance(module, (Conv3x3, Conv1x1)):
            module.__class__ = nn.Conv2d
    return network


class Conv1x1(nn.Conv2d):
    """A 1x1 convolution of stride 2, without bias, computed with stride 1 over every other pixel."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type not in DEVICES:
            return super().forward(x)
        return F.conv2d(EveryOther.apply(x), self.weight)


class EveryOther(torch.autograd.Function):
    """Every other row and column, channels last."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return x[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx, grad_output: Tensor) -> Tensor:
        grad_x = torch.empty(ctx.shape, dtype=grad_output.dtype, memory_format=torch.channels_last).zero_()
        grad_x[:, :, ::2, ::2] = grad_output
        return grad_x


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution, padding 1, without bias."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type not in DEVICES:
            return super().forward(x)
        height, width = x.shape[2:]
        weight, stride = self.weight, self.stride[0]
        if torch.is_autocast_enabled("cpu") and weight.dtype == torch.float32:  # which lowers torch's own convolutions only
            x, weight = (tensor.to(torch.get_autocast_dtype("cpu")) for tensor in (x, weight))
        lowered = weight.dtype == torch.bfloat16
        if (height, width, stride) == (2, 2, 1):
            return WholeMap.apply(x, weight)
        if max(height, width) <= 4 * stride and (lowered or (stride == 2 and not WIDE_VECTORS)):
            return OneProduct.apply(x, weight, stride)
        tiles = len(x) * (height // 4) * (width // 4) if height % 4 == width % 4 == 0 and max(height, width) <= 8 else 0
        many = tiles >= WINOGRAD_TILES and min(weight.shape[:2]) >= WINOGRAD_CHANNELS
        if stride == 1 and many and not lowered and not WIDE_VECTORS:
            return Winograd.apply(x, weight)
        return super().forward(x)


def pixels_last(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W, C), contiguous: no copy where x is channels last."""
    return x.permute(0, 2, 3, 1).contiguous()


class WholeMap(torch.autograd.Function):
    """On a map of 2x2 pixels every pixel sees every other: one product with a matrix (4 K, 4 C) in place of nine taps.

    C are the channels that come in, K those that go out.
    """

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
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor, Tensor]:
        pixels, matrix = ctx.saved_tensors
        n, out, channels = len(grad_output), grad_output.shape[1], pixels.shape[1] // 4
        grad_output = pixels_last(grad_output).view(n, -1)  # (N, 4 K)
        grad_x = (grad_output @ matrix).view(n, 2, 2, channels)
        grad_matrix = (grad_output.T @ pixels).view(2, 2, out, 2, 2, channels)
        grad_taps = grad_output.new_zeros(out, 3, 3, channels)
        for i, j in PIXELS:
            seen_from(grad_taps, i, j).add_(grad_matrix[i, j])
        return grad_x.permute(0, 3, 1, 2), grad_taps.permute(0, 3, 1, 2)


def seen_from(taps: Tensor, i: int, j: int) -> Tensor:
    """Of taps (K, 3, 3, C) those that fall on a map of 2x2 pixels, seen from its pixel (i, j): a view (K, 2, 2, C)."""
    return taps[:, 1 - i : 3 - i, 1 - j : 3 - j]


class OneProduct(torch.autograd.Function):
    """The gradient of the weights as one matrix product over the patches that the outputs saw.

    It is cheaper on small maps, and it is right: oneDNN's bfloat16 gradient of a tap that sees nothing but padding is whatever
    was in memory.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return convolved(x, weight, stride)

    @staticmethod
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            if ctx.stride == 1:
                grad_x = convolved(grad_output, turned(weight), 1)
            else:
                grad_x = torch.ops.aten.convolution_backward(
                    grad_output, x, weight, None, [ctx.stride] * 2, [1, 1], [1, 1], False, [0, 0], 1, [True, False, False]
                )[0]
        if ctx.needs_input_grad[1]:
            rows = patches(x, 3, ctx.stride).reshape(-1, 9 * x.shape[1])  # (N h w, 9 C)
            product = pixels_last(grad_output).view(len(rows), -1).T @ rows  # (K, 9 C)
            grad_weight = product.view(len(weight), 3, 3, -1).permute(0, 3, 1, 2)
        return grad_x, grad_weight, None


def convolved(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """oneDNN's convolution; in bfloat16 of many channels by its kernels for blocks of channels, or half the outputs at a time."""
    if x.dtype != torch.bfloat16 or max(weight.shape[:2]) < MANY_CHANNELS:
        return F.conv2d(x, weight, stride=stride, padding=1)
    if stride == 1:
        return F.conv2d(x.contiguous(), weight.contiguous(), padding=1).contiguous(memory_format=torch.channels_last)
    return torch.cat([F.conv2d(x, part, stride=stride, padding=1) for part in weight.chunk(2)], 1)


def turned(weight: Tensor) -> Tensor:
    """The weights with which the output's gradient is convolved to give that of x, where the stride is 1."""
    return weight.flip(2, 3).transpose(0, 1)


def patches(x: Tensor, size: int, stride: int) -> Tensor:
    """The size x size pixels around every stride-th pixel of x (N, C, H, W), padded by 1: a view (N, h, w, size, size, C)."""
    n, channels, height, width = x.shape
    padded = F.pad(pixels_last(x), (0, 0, 1, 1, 1, 1))
    image, row, column, channel = padded.stride()
    shape = (n, -(-height // stride), -(-width // stride), size, size, channels)
    return padded.as_strided(shape, (image, stride * row, stride * column, row, column, channel))


class Winograd(torch.autograd.Function):
    """Stride 1 on maps whose sides are multiples of 4: 36 multiplications instead of 144 for 4x4 pixels of output."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        seen = transformed(x)
        ctx.save_for_backward(seen, weight)
        return filtered(seen, weight, x.shape)

    @staticmethod
    def backward(ctx, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None]:
        seen, weight = ctx.saved_tensors
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = filtered(transformed(grad_output), turned(weight), grad_output.shape)
        if ctx.needs_input_grad[1]:
            n, out, height, width = grad_output.shape
            tiles = pixels_last(grad_output).view(n, height // 4, 4, width // 4, 4, out).permute(2, 4, 0, 1, 3, 5)
            spread = (A.T.to(grad_output) @ tiles.reshape(16, -1)).view(36, -1, out)
            product = seen.transpose(1, 2) @ spread  # (36, C, K)
            grad_weight = (G.T.to(grad_output) @ product.view(36, -1)).view(3, 3, -1, out).permute(3, 2, 0, 1)
        return grad_x, grad_weight


def transformed(x: Tensor) -> Tensor:
    """B' x B of every tile of x (N, C, H, W): (36, tiles, C)."""
    tiles = patches(x, 6, 4).permute(3, 4, 0, 1, 2, 5).reshape(36, -1)
    return (B.to(x) @ tiles).view(36, -1, x.shape[1])


def filtered(seen: Tensor, weight: Tensor, shape: torch.Size) -> Tensor:
    """A' [(G w G') * seen] A, tiles put together: (N, K, H, W), channels last. weight: (K, C, 3, 3). shape: of the map."""
    n, _, height, width = shape
    out, channels = weight.shape[:2]
    kernels = (G.to(weight) @ weight.permute(2, 3, 1, 0).reshape(9, -1)).view(36, channels, out)
    products = torch.bmm(seen, kernels).view(36, -1)
    tiles = (A.to(weight) @ products).view(4, 4, n, height // 4, width // 4, out)
    return tiles.permute(2, 3, 0, 4, 1, 5).contiguous().view(n, height, width, out).permute(0, 3, 1, 2)
