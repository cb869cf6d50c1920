"""The second layer of an edge convolution, without a tensor of all edges.

Edge (i, j) is h_ij = LeakyReLU(own_i + other_j), [C1]. Batch norm, LeakyReLU and max behind a
linear layer W need of all the W h_ij their extremes alone, and of h its mean and covariance over
all edges. Both are taken point by point, from k rows that stay in cache; the backward pass makes
these rows again and keeps nothing but which neighbour is the extreme.
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from pointmcd.ops import edge_layer_numba
from pointmcd.ops.backend import double_of, numba_fits, triton_fits
from pointmcd.ops.neighbours import gather_rows

#: What the registers of a GPU hold: channels of the edges, and of the layer.
_TRITON_NARROW, _TRITON_WIDE = 64, 128


def edge_layer(
    own: Tensor, other: Tensor, index: Tensor, weight: Tensor, largest: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute extremes of W h over each point's edges, and moments of h over all edges.

    Args:
        own: float [B, N, C1], each point's part of its edges.
        other: float [B, N, C1], each neighbour's part.
        index: int64 [B, N, k], neighbours of each point.
        weight: W, float [C2, C1].
        largest: bool [C2], True where the extreme is the max, False where it is the min.
        slope: of the LeakyReLU below zero.

    Returns:
        (extreme [B, N, C2], mean [C1], covariance [C1, C1], biased). On ties the first neighbour
        takes the gradient where there is a kernel: on a CPU in float32, and on a GPU in float32 up
        to 64 channels of the edges and 128 of the layer, but for torch's deterministic mode.
    """
    if _triton_fits(own, other, weight) or numba_fits(own):
        layer: tuple[Tensor, Tensor, Tensor] = _EdgeLayer.apply(  # type: ignore[no-untyped-call]
            own, other, index, weight, largest, slope
        )
        return layer
    return edge_layer_reference(own, other, index, weight, largest, slope)


def edge_layer_reference(
    own: Tensor, other: Tensor, index: Tensor, weight: Tensor, largest: Tensor, slope: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The same in plain torch, every edge made: for other devices and dtypes."""
    edges = F.leaky_relu(gather_rows(other, index) + own[:, :, None], slope)
    sign = _sign(largest, weight)
    extreme = sign * F.linear(edges, sign[:, None] * weight).max(dim=2).values
    flat = edges.flatten(0, 2)
    mean = flat.mean(dim=0)
    centred = flat - mean
    return extreme, mean, centred.T @ centred / flat.shape[0]


def _sign(largest: Tensor, like: Tensor) -> Tensor:
    return torch.where(largest, 1.0, -1.0).to(like)


def _triton_fits(own: Tensor, other: Tensor, weight: Tensor) -> bool:
    tensors = (own, other, weight)
    wide, narrow = weight.shape
    fits = narrow <= _TRITON_NARROW and wide <= _TRITON_WIDE and own.numel() > 0
    fits = fits and all(tensor.dtype == torch.float32 for tensor in tensors)
    # Its backward pass adds atomically, in any order.
    return fits and triton_fits(*tensors) and not torch.are_deterministic_algorithms_enabled()


def _kernels(own: Tensor, other: Tensor, weight: Tensor) -> ModuleType:
    """Return the module whose forward and backward serve these tensors."""
    if _triton_fits(own, other, weight):
        from pointmcd.ops.gpu import edge_layer as gpu

        return gpu
    return edge_layer_numba


class _EdgeLayer(torch.autograd.Function):
    """Saves its inputs and the neighbour of each extreme, int32 [B, N, C2]."""

    @staticmethod
    def forward(
        ctx: Any,
        own: Tensor,
        other: Tensor,
        index: Tensor,
        weight: Tensor,
        largest: Tensor,
        slope: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.kernels, ctx.slope = _kernels(own, other, weight), slope
        inputs = (x.detach() for x in (own, other, index, weight, _sign(largest, weight)))
        extreme, where, mean, covariance = ctx.kernels.forward(*inputs, slope)
        ctx.save_for_backward(own, other, index, weight, where, mean)
        return extreme, mean.to(own), covariance.to(own)

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor, grad_mean: Tensor, grad_covariance: Tensor
    ) -> tuple[Tensor, Tensor, None, Tensor, None, None]:
        edges = ctx.saved_tensors[2].numel()
        # Through the moments, an edge receives (h - mean) mix + share.
        kind = double_of(grad)
        mix = (grad_covariance + grad_covariance.T).to(kind) / edges
        share = grad_mean.to(kind) / edges
        grads = ctx.kernels.backward(ctx.saved_tensors, grad, mix, share, ctx.slope)
        grad_own, grad_other, grad_weight = grads
        return grad_own, grad_other, None, grad_weight, None, None
