"""Visibility-aware feature projection (VAFP): the max over the points that each view sees.

Source: Zhang, Hou, Qian, PointMCD, IEEE TMM 27 (2025), arXiv 2207.03128, Sec. III. The published
form multiplies embeddings by the mask, which holds only where no embedding is negative; here the
max runs over visible points alone, for any encoder.
"""

from typing import Any, Literal

import numba
import numpy as np
import torch
from torch import Tensor

from pointmcd.ops.backend import (
    beats,
    numba_fits,
    parallel_kernel,
    torch_alone,
    triton_fits,
    triton_runs,
)
from pointmcd.ops.scatter import scatter_numba, scatter_torch
from pointmcd.typing import Array

Backend = Literal["auto", "triton", "numba", "torch"]
#: The number of the mode "max" of torch.embedding_bag.
_MAX = 2


def masked_max(embeddings: Tensor, visibility: Tensor, backend: Backend = "auto") -> Tensor:
    """Pool, for each view, the embeddings of the points that it sees.

    g[b, v, c] = max over { m : visibility[b, m, v] } of embeddings[b, m, c]; a view that sees no
    point gives zeros and passes no gradient. On ties the first point takes the whole gradient.
    Only the argmax is kept for the backward pass: B x V x C integers.

    Args:
        embeddings: float [B, M, C].
        visibility: bool [B, M, V].
        backend: "triton" (GPU, up to float32), "numba" (CPU, float32), "torch" (anything), "auto"
            (the first of these that applies).

    Returns:
        float [B, V, C].

    Raises:
        ValueError: when shapes or types do not fit, or the backend cannot serve them.
    """
    _check(embeddings, visibility)
    pooled: Tensor = _MaskedMax.apply(embeddings, visibility, _choose(backend, embeddings))  # type: ignore[no-untyped-call]
    return pooled


def max_over_points(embeddings: Tensor) -> Tensor:
    """Pool all points, [B, M, C] -> [B, C], by max; the first of equals takes the gradient.

    On a CPU this is the masked max with one view that sees everything.
    """
    if embeddings.device.type != "cpu" or torch_alone():
        return embeddings.max(dim=1).values
    everything = torch.ones((*embeddings.shape[:2], 1), dtype=torch.bool)
    return masked_max(embeddings, everything).squeeze(1)


def _choose(backend: Backend, embeddings: Tensor) -> Backend:
    if backend == "triton" and not triton_runs(embeddings):
        raise ValueError(
            f"backend 'triton' needs Triton (pip install triton) and up to float32 on a GPU, not"
            f" {embeddings.dtype} on {embeddings.device.type}; 'auto' takes what applies"
        )
    if backend != "auto":
        return backend
    if triton_fits(embeddings):
        return "triton"
    return "numba" if numba_fits(embeddings) else "torch"


class _MaskedMax(torch.autograd.Function):
    """Saves the argmax [B, V, C] alone (-1: the view sees nothing)."""

    @staticmethod
    def forward(ctx: Any, embeddings: Tensor, visibility: Tensor, backend: str) -> Tensor:
        if backend == "triton":
            from pointmcd.ops.gpu import masked_max as gpu

            pooled, argmax = gpu.forward(embeddings.detach(), visibility)
        elif backend == "numba":
            pooled, argmax = _forward_numba(embeddings.detach(), visibility)
        elif embeddings.device.type == "cpu" and not torch_alone():
            pooled, argmax = _forward_bags(embeddings, visibility)
        else:
            pooled, argmax = _forward_fill(embeddings, visibility)
        ctx.save_for_backward(argmax)
        ctx.num_points, ctx.backend = embeddings.shape[1], backend
        return pooled

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (argmax,) = ctx.saved_tensors
        if ctx.backend == "triton":
            from pointmcd.ops.gpu import masked_max as gpu

            return gpu.backward(grad, argmax, ctx.num_points), None, None
        scatter = scatter_numba if ctx.backend == "numba" else scatter_torch
        return scatter(grad, argmax, ctx.num_points), None, None


def _forward_bags(embeddings: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor]:
    """Pool each (shape, view) as a bag of rows: nothing of size B x M x V x C is ever made."""
    if not embeddings.sum().isfinite():  # bags hide what is not a number
        return _forward_fill(embeddings, visibility)
    batch, count, channels = embeddings.shape
    views = visibility.shape[2]
    bag, row = visibility.transpose(1, 2).flatten(0, 1).nonzero(as_tuple=True)
    first = torch.searchsorted(bag, torch.arange(batch * views))
    below = bag // views * count  # rows of the shapes before
    pooled, _, sizes, where = torch.embedding_bag(
        embeddings.flatten(0, 1), row + below, first, mode=_MAX
    )
    start = count * torch.arange(batch).repeat_interleave(views)
    argmax = torch.where(sizes[:, None] > 0, where - start[:, None], -1).int()
    return pooled.view(batch, views, channels), argmax.view(batch, views, channels)


def _forward_fill(embeddings: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor]:
    """Fill hidden points with -inf view by view, then take the max: few launches for a GPU."""
    pooled, argmax = [], []
    for v in range(visibility.shape[2]):
        mask = visibility[:, :, v, None]
        values, where = embeddings.masked_fill(~mask, -torch.inf).max(dim=1)
        seen = mask.any(dim=1)
        pooled.append(values.where(seen, values.new_zeros(())))
        argmax.append(where.int().where(seen, where.new_full((), -1, dtype=torch.int32)))
    return torch.stack(pooled, dim=1), torch.stack(argmax, dim=1)


def _forward_numba(embeddings: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor]:
    batch, _, channels = embeddings.shape
    views = visibility.shape[2]
    pooled = embeddings.new_zeros(batch, views, channels)
    argmax = torch.full((batch, views, channels), -1, dtype=torch.int32)
    _max_kernel(embeddings, visibility.transpose(1, 2), pooled, argmax)
    return pooled, argmax


@parallel_kernel
def _max_kernel(embeddings: Array, by_view: Array, pooled: Array, argmax: Array) -> None:
    batch, views, count = by_view.shape
    channels = embeddings.shape[2]
    for task in numba.prange(batch * views):
        b, v = task // views, task % views
        best, where = pooled[b, v], argmax[b, v]
        first = True
        for m in range(count):
            if not by_view[b, v, m]:
                continue
            row = embeddings[b, m]
            if first:
                best[:] = row
                where[:] = m
                first = False
                continue
            for c in range(channels):
                better = beats(row[c], best[c])
                best[c] = row[c] if better else best[c]
                where[c] = np.int32(m) if better else where[c]


def _check(embeddings: Tensor, visibility: Tensor) -> None:
    fits = embeddings.ndim == visibility.ndim == 3
    if not fits or embeddings.shape[:2] != visibility.shape[:2]:
        raise ValueError(
            f"embeddings {list(embeddings.shape)} and visibility {list(visibility.shape)} must be"
            " [B, M, C] and [B, M, V]"
        )
    if visibility.dtype != torch.bool or not embeddings.is_floating_point():
        raise ValueError(
            f"embeddings must be floating point and visibility bool, not {embeddings.dtype} and"
            f" {visibility.dtype}"
        )
