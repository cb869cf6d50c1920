"""Batch norm, LeakyReLU and the mean over each group, in three passes over the members.

The mean of a group, and its gradients with respect to the norm, follow from two sums over the
members: of the slopes the LeakyReLU takes, and of the centred members times those slopes. One pass
makes both, after one for the batch statistics; the backward pass takes the third. Values,
gradients and running statistics equal those of the plain order of operations.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pointmcd.ops.backend import numba_fits, with_torch_threads
from pointmcd.ops.batch_norm import batch_statistics, running_statistics

Array = npt.NDArray[Any]
#: Group blocks that are summed apart: a fixed number, so that no thread count changes the result.
_BLOCKS = 16
#: Groups that tell about where the members lie, so that no offset costs their squares digits.
_SAMPLED = 64


def norm_leaky_mean(products: Tensor, norm: nn.BatchNorm1d, slope: float) -> Tensor:
    """Mean over the members of each group of LeakyReLU(BN(x)).

    Args:
        products: float [G, k, C].
        norm: batch norm over C and all G x k members, with weight and bias; in training its
            running statistics are updated.
        slope: of the LeakyReLU below zero; 0 for a ReLU.

    Returns:
        float [G, C].
    """
    if numba_fits(products, norm.weight):
        mean: Tensor = _NormLeakyMean.apply(products, norm.weight, norm.bias, norm, slope)  # type: ignore[no-untyped-call]
        return mean
    normed = norm(products.flatten(0, 1)).view_as(products)
    return F.leaky_relu(normed, slope).mean(dim=1)


class _NormLeakyMean(torch.autograd.Function):
    """Keeps the members and two sums of each group.

    How the norm follows from its statistics, by vectors of C and across processes, is left to
    autograd: the backward pass asks it on the way, so that one pass fills the members' gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, products: Tensor, weight: Tensor, bias: Tensor, norm: nn.BatchNorm1d, slope: float
    ) -> Tensor:
        products = products.detach().contiguous()
        ctx.leaves, ctx.applied = _applied(products, weight, norm)
        slopes = torch.zeros(len(products), products.shape[2])
        centred, out = torch.zeros_like(slopes), torch.empty_like(slopes)
        with_torch_threads()
        inputs = (t.detach().contiguous().numpy() for t in (products, *ctx.applied, bias))
        _mean_kernel(*inputs, np.float32(slope), *(t.numpy() for t in (slopes, centred, out)))
        ctx.save_for_backward(products, bias, slopes, centred)
        ctx.slope, ctx.of_batch = slope, norm.training
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        products, bias, slopes, centred = ctx.saved_tensors
        grad = (grad / products.shape[1]).contiguous()
        grad_bias, grad_scale = _weighted_sums(grad, slopes, centred)
        grad_applied = -ctx.applied[1].detach() * grad_bias, grad_scale
        grad_weight, *grad_statistics = torch.autograd.grad(
            ctx.applied, ctx.leaves, grad_applied, retain_graph=True
        )
        through = torch.empty_like(products)
        line = _line(ctx, products, *grad_statistics)
        with_torch_threads()
        inputs = (grad, products, *ctx.applied, bias, *line)
        arrays = (t.detach().contiguous().numpy() for t in inputs)
        _backward_kernel(*arrays, np.float32(ctx.slope), through.numpy())
        return through, grad_weight, grad_bias, None, None


def _applied(
    products: Tensor, weight: Tensor, norm: nn.BatchNorm1d
) -> tuple[list[Tensor], list[Tensor]]:
    """Leaves: the weight, mean and variance here; from them: the mean and scale to apply."""
    statistics = _mean_and_variance(products) if norm.training else running_statistics(norm)
    with torch.enable_grad():
        leaves = [t.detach().requires_grad_() for t in (weight, *statistics)]
        weight, mean, var = leaves
        if norm.training:
            count = products.shape[0] * products.shape[1]
            mean, var = batch_statistics(norm, mean, var, count)
        return leaves, [mean, weight * torch.rsqrt(var + norm.eps)]


def _line(ctx: Any, products: Tensor, grad_mean: Tensor, grad_var: Tensor) -> tuple[Tensor, Tensor]:
    """Of the gradient a + b (x - mean applied) that batch statistics give a member x: a and b."""
    if not ctx.of_batch:
        return torch.zeros_like(grad_mean), torch.zeros_like(grad_var)
    count = products.shape[0] * products.shape[1]
    here, applied = ctx.leaves[1].detach(), ctx.applied[0].detach()
    slope = grad_var * (2 / count)
    return grad_mean / count + slope * (applied - here), slope


def _mean_and_variance(products: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance [C] of all members."""
    count = products.shape[0] * products.shape[1]
    origin = products[:: len(products) // _SAMPLED + 1, 0].mean(dim=0)
    sums = torch.zeros(_BLOCKS, 2, len(origin), dtype=torch.float64)
    with_torch_threads()
    _moments_kernel(products.numpy(), origin.numpy(), sums.numpy())
    mean, square = sums.sum(dim=0) / count
    var = (square - mean.square()).clamp(min=0)
    return (mean + origin).float(), var.float()


def _weighted_sums(grad: Tensor, slopes: Tensor, centred: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over groups of grad x slopes and of grad x centred, [C] each."""
    sums = torch.zeros(_BLOCKS, 2, grad.shape[1], dtype=torch.float64)
    with_torch_threads()
    _weighted_kernel(*(t.detach().numpy() for t in (grad, slopes, centred, sums)))
    of_slopes, of_centred = sums.sum(dim=0).float()
    return of_slopes, of_centred


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _moments_kernel(products: Array, origin: Array, sums: Array) -> None:
    count, members, channels = products.shape
    blocks = len(sums)
    for block in numba.prange(blocks):
        for g in range(count * block // blocks, count * (block + 1) // blocks):
            # A group in single precision, which is fast; the groups together in double.
            first, second = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
            for m in range(members):
                row = products[g, m]
                for c in range(channels):
                    step = row[c] - origin[c]
                    first[c] += step
                    second[c] += step * step
            for c in range(channels):
                sums[block, 0, c] += first[c]
                sums[block, 1, c] += second[c]


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _mean_kernel(
    products: Array,
    mean: Array,
    scale: Array,
    bias: Array,
    slope: float,
    slopes: Array,
    centred: Array,
    out: Array,
) -> None:
    count, members, channels = products.shape
    for g in numba.prange(count):
        of_slopes, of_centred = slopes[g], centred[g]
        for m in range(members):
            row = products[g, m]
            for c in range(channels):
                step = row[c] - mean[c]
                factor = np.float32(1) if step * scale[c] + bias[c] > 0 else slope
                of_slopes[c] += factor
                of_centred[c] += factor * step
        for c in range(channels):
            out[g, c] = (scale[c] * of_centred[c] + bias[c] * of_slopes[c]) / np.float32(members)


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _weighted_kernel(grad: Array, slopes: Array, centred: Array, sums: Array) -> None:
    count, channels = grad.shape
    blocks = len(sums)
    for block in numba.prange(blocks):
        for g in range(count * block // blocks, count * (block + 1) // blocks):
            for c in range(channels):
                sums[block, 0, c] += grad[g, c] * slopes[g, c]
                sums[block, 1, c] += grad[g, c] * centred[g, c]


@numba.njit(parallel=True, cache=True)  # type: ignore[untyped-decorator]
def _backward_kernel(
    grad: Array,
    products: Array,
    mean: Array,
    scale: Array,
    bias: Array,
    constant: Array,
    linear: Array,
    slope: float,
    through: Array,
) -> None:
    count, members, channels = products.shape
    for g in numba.prange(count):
        scaled = grad[g] * scale
        for m in range(members):
            row, to = products[g, m], through[g, m]
            for c in range(channels):
                step = row[c] - mean[c]
                factor = np.float32(1) if step * scale[c] + bias[c] > 0 else slope
                to[c] = scaled[c] * factor + constant[c] + linear[c] * step
