"""Kernels of a GPU beside plain torch, at the sizes of the students."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pointmcd.ops.ball_query import _group_torch, _query_torch, ball_group, ball_query
from pointmcd.ops.edge_layer import edge_layer, edge_layer_reference
from pointmcd.ops.farthest_batch import _sample_torch, sample_farthest
from pointmcd.ops.group_max import linear_bn_relu_max
from pointmcd.ops.linear_norm import linear_bn_relu
from pointmcd.ops.masked_max import masked_max
from pointmcd.ops.nearest import _nearest_torch, nearest_neighbours
from pointmcd.ops.neighbours import gather_rows, neighbour_max

Timer = Callable[[Callable[[], Any]], tuple[float, float]]
#: The yardstick and ours, the bytes that must be moved at least, and the milliseconds aimed at.
Kernel = tuple[str, Callable[[], Any], Callable[[], Any], int, float | None]


def kernels(device: torch.device, small: bool, timer: Timer) -> Iterator[list[object]]:
    """Time each kernel and its plain form."""
    for name, plain, ours, moved, most in cases(device, small):
        (slow, _), (fast, _) = timer(plain), timer(ours)
        rate = f"{moved / fast / 1e6:.0f}" if moved else ""
        at_most = "" if most is None else f"{most:g}"
        yield [name, f"{slow:.3f}", f"{fast:.3f}", f"{slow / fast:.1f}", rate, at_most]


def cases(device: torch.device, small: bool) -> Iterator[Kernel]:
    """Yield the kernels at full size, or at one for the test of the script."""
    torch.manual_seed(0)
    batch, count, views, wide = (2, 64, 3, 16) if small else (32, 1024, 12, 1024)
    rows = torch.randn(batch, count, wide, device=device, requires_grad=True)
    seen = torch.rand(batch, count, views, device=device) < 0.4
    auto = lambda: backward(masked_max(rows, seen), rows)  # noqa: E731
    plain = lambda: backward(masked_max(rows, seen, "torch"), rows)  # noqa: E731
    # Embeddings are read once, and their gradient is written once.
    yield f"VAFP, B {batch}, C {wide} (both)", plain, auto, 2 * 4 * rows.numel(), 0.25
    batch = 2 if small else 24
    points = torch.randn(batch, count, 3, device=device)
    centres, k = points[:, : count // 2], 8 if small else 32
    order = torch.zeros(batch, count, dtype=torch.int64, device=device)
    yield (
        f"farthest points, {count} of {count}",
        lambda: _sample_torch(points, order),
        lambda: sample_farthest(points),
        0,  # bound by its rounds, not by memory
        None,
    )
    for name, ours, torch_form in (
        ("ball, first points", ball_group, _group_torch),
        ("ball, nearest points", ball_query, _query_torch),
    ):
        yield (
            f"{name}, k {k}",
            lambda form=torch_form: form(centres, points, 0.4, k),
            lambda form=ours: form(centres, points, 0.4, k),
            8 * batch * (count // 2) * k,  # the indices that are written
            None,
        )
    features = torch.randn(batch, count, 8 if small else 64, device=device, requires_grad=True)
    flat = features.detach()
    near = nearest_neighbours(flat, k)
    yield (
        f"{k} nearest, C {features.shape[2]}",
        lambda: _nearest_torch(flat, flat.square().sum(dim=2), k),
        lambda: nearest_neighbours(flat, k),
        4 * flat.numel() + 8 * near.numel(),
        None,
    )
    yield (
        f"max of neighbours, k {k} (both)",
        lambda: backward(gather_rows(features, near).amax(dim=2), features),
        lambda: backward(neighbour_max(features, near), features),
        8 * near.numel() + 4 * 4 * features.numel(),  # features, the result, and gradients of both
        None,
    )
    weight = torch.randn(features.shape[2], features.shape[2], device=device)
    largest = torch.ones(len(weight), dtype=torch.bool, device=device)
    yield (
        f"edge layer, k {k} (both)",
        lambda: layer(edge_layer_reference, features, near, weight, largest),
        lambda: layer(edge_layer, features, near, weight, largest),
        8 * near.numel() + 4 * 4 * features.numel(),
        None,
    )
    width = features.shape[2]
    linear, norm = nn.Linear(width, 2 * width, bias=False), nn.BatchNorm1d(2 * width)
    linear, norm = linear.to(device), norm.to(device)
    groups = torch.randn(batch * (count // 2), k, width, device=device, requires_grad=True)
    yield (
        f"max of groups behind a layer, {width} to {2 * width}, k {k} (both)",
        lambda: backward(linear_bn_relu(groups, linear, norm).amax(dim=1), groups),
        lambda: backward(linear_bn_relu_max(groups, linear, norm), groups),
        2 * 4 * groups.numel(),
        None,
    )


def layer(form: Any, features: Tensor, near: Tensor, weight: Tensor, largest: Tensor) -> None:
    """Go through an edge layer and back."""
    extreme, mean, covariance = form(features, features, near, weight, largest, 0.2)
    backward(extreme.sum() + mean.sum() + covariance.sum(), features)


def backward(output: Tensor, leaf: Tensor) -> None:
    """Go back to a leaf, whose gradient is not kept."""
    output.sum().backward()
    leaf.grad = None
