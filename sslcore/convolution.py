"""3x3 convolutions while training on a CPU, by the cheapest of several equal ways.

oneDNN's direct convolution comes near a processor's peak on large maps; on the small
maps at the end of a network it does not, least in the gradient of the weights. There
the same sums cost less as one matrix product over the whole map (2x2 pixels), with a
gradient of the weights that is one product, or by Winograd's minimal filtering.
Which of them pays depends on the arithmetic and the processor; benchmarks/README.md
says how much.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINOGRAD_CHANNELS = 64  # from here on the products saved outweigh the transforms
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
    """Let a network's 3x3 convolutions take the ways below. Weights, their names and what is computed stay the same."""
    for module in network.modules():
        if type(module) is nn.Conv2d and module.kernel_size == (3, 3) and module.bias is None:
            module.__class__ = Conv3x3
    return network


def plain(network: nn.Module) -> nn.Module:
    """Undo `hasten`: what a count of operations should see."""
    for module in network.modules():
        if isinstance(module, Conv3x3):
            module.__class__ = nn.Conv2d
    return network


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
            return whole_map(x, weight)
        if max(height, width) <= 4 * stride and (lowered or (stride == 2 and not WIDE_VECTORS)):
            return OneProduct.apply(x, weight, stride)
        tiled = height % 4 == width % 4 == 0 and max(height, width) <= 8 and min(weight.shape[:2]) >= WINOGRAD_CHANNELS
        if stride == 1 and tiled and not lowered and not WIDE_VECTORS:
            return Winograd.apply(x, weight)
        return super().forward(x)


def pixels_last(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W, C), contiguous: no copy where x is channels last."""
    return x.permute(0, 2, 3, 1).contiguous()


def whole_map(x: Tensor, weight: Tensor) -> Tensor:
    """Of 2x2 pixels every one reaches every other: one matrix (4 C, 4 K) in place of nine taps, five of which meet padding."""
    n, channels = x.shape[:2]
    taps = weight.permute(2, 3, 1, 0)  # (3, 3, C, K)
    # One for each pixel of the output.
    columns = [taps[1 - i : 3 - i, 1 - j : 3 - j].reshape(4 * channels, -1) for i in (0, 1) for j in (0, 1)]
    return (pixels_last(x).view(n, -1) @ torch.cat(columns, 1)).view(n, 2, 2, -1).permute(0, 3, 1, 2)


class OneProduct(torch.autograd.Function):
    """The gradient of the weights as one product over the patches that each output saw.

    Not only is it cheaper on small maps: in bfloat16, oneDNN's of a tap that sees nothing but padding is whatever was in memory.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, stride=stride, padding=1)

    @staticmethod
    def backward(ctx, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = torch.ops.aten.convolution_backward(
                slope, x, weight, None, [ctx.stride] * 2, [1, 1], [1, 1], False, [0, 0], 1, [True, False, False]
            )[0]
        if ctx.needs_input_grad[1]:
            rows = patches(x, 3, ctx.stride).reshape(-1, 9 * x.shape[1])  # (N h w, 9 C)
            product = pixels_last(slope).view(len(rows), -1).T @ rows  # (K, 9 C)
            of_weight = product.view(len(weight), 3, 3, -1).permute(0, 3, 1, 2)
        return of_x, of_weight, None


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
        if ctx.needs_input_grad[0]:  # a convolution with the weights turned round
            of_x = filtered(transformed(slope), weight.flip(2, 3).transpose(0, 1), slope.shape)
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
