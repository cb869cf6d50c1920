import sys

import pytest
import torch

from pointmcd.ops.nearest import nearest_neighbours
from pointmcd.ops.neighbours import (
    _forward,
    _forward_numba,
    _forward_torch,
    neighbour_max,
)
from pointmcd.ops.scatter import scatter_numba, scatter_torch


def naive(values, index):
    """[B, M, k, C] made in full."""
    batch, count, k = index.shape
    rows = values[torch.arange(batch)[:, None], index.flatten(1)].view(batch, count, k, -1)
    return rows.max(dim=2).values


def assert_naive(values, index, device="cpu"):
    """Values and gradients of the pool on a device are those of the full form."""
    weights = torch.randn(*index.shape[:2], values.shape[2], dtype=values.dtype)
    results = []
    for function, there in ((naive, "cpu"), (neighbour_max, device)):
        leaf = values.clone().requires_grad_()
        most = function(leaf.to(there), index.to(there))
        (most.cpu() * weights).sum().backward()
        results.append((most.cpu(), leaf.grad))
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted)


#: B, N, M, C, k.
SHAPES = [(2, 20, 20, 5, 4), (1, 1, 1, 1, 1), (1, 7, 9, 67, 3), (3, 18, 4, 2, 1)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # numba and torch paths
@pytest.mark.parametrize("shape", SHAPES)
def test_max_equals_the_naive_reference(shape, dtype):
    torch.manual_seed(1)
    batch, count, near, channels, k = shape
    values = torch.randn(batch, count, channels, dtype=dtype)
    # Some points are named twice by a neighbour, some by none.
    assert_naive(values, torch.randint(0, count, (batch, near, k)))


@pytest.mark.parametrize("shape", SHAPES)
def test_triton_equals_the_naive_reference(shape, triton_device):
    torch.manual_seed(1)
    batch, count, near, channels, k = shape
    values = torch.randn(batch, count, channels)
    assert_naive(values, torch.randint(0, count, (batch, near, k)), triton_device)


def test_without_triton_the_other_paths_are_chosen(triton_device, monkeypatch):
    from pointmcd.ops.gpu import neighbours as kernels

    values = torch.zeros(1, 2, 3, device=triton_device, dtype=torch.float16)
    assert _forward(values) == kernels.forward
    assert _forward(values.double()) == _forward_torch
    monkeypatch.setitem(sys.modules, "triton", None)
    assert _forward(values) == _forward_torch


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_triton_serves_half_precision(dtype, triton_device):
    values, index = torch.randn(2, 9, 5).to(dtype), torch.randint(0, 9, (2, 9, 6))
    most = neighbour_max(values.to(triton_device), index.to(triton_device))
    assert torch.equal(most.cpu().float(), naive(values.float(), index))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_full_size_on_a_gpu_and_again_to_the_last_bit(triton_device):
    from pointmcd.ops.gpu import neighbours as kernels

    values = torch.randn(4, 1024, 256, device="cuda")
    index = nearest_neighbours(values, 20)
    first = kernels.forward(values, index)
    for a, b in zip(first, _forward_torch(values, index), strict=True):
        torch.testing.assert_close(a, b)
    grad = torch.randn(4, 1024, 256, device="cuda")
    found = [kernels.backward(grad, index, first[1], 1024) for _ in range(2)]
    wanted = scatter_torch(grad, first[1], 1024)  # adds in any order
    torch.testing.assert_close(found[0], wanted, rtol=1e-4, atol=1e-4)
    assert torch.equal(*found)


def assert_alike(forward, backward, device="cpu"):
    """Paths agree on exact ties with torch's."""
    values = torch.randint(0, 2, (2, 12, 4)).float().to(device)
    index = torch.randint(0, 12, (2, 8, 5)).to(device)
    ours, theirs = forward(values, index), _forward_torch(values, index)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)
    grad = torch.randn(2, 8, 4).to(device)
    torch.testing.assert_close(backward(grad, index, ours[1], 12), scatter_torch(grad, ours[1], 12))


def test_both_paths_agree_on_exact_ties():
    assert_alike(_forward_numba, lambda grad, _, where, count: scatter_numba(grad, where, count))


def test_triton_agrees_on_exact_ties(triton_device):
    from pointmcd.ops.gpu import neighbours as kernels

    assert_alike(kernels.forward, kernels.backward, triton_device)


def assert_nan_is_not_hidden(forward, device="cpu"):
    """As in torch, NaN is above every number; the first of several is found."""
    values = torch.tensor([[[1.0], [torch.nan], [3.0], [-torch.inf]]], device=device)
    index = torch.tensor([[[1, 0], [0, 1], [1, 1], [3, 0], [3, 3], [0, 2]]], device=device)
    pooled, where = forward(values, index)
    wanted = torch.tensor([torch.nan, torch.nan, torch.nan, 1.0, -torch.inf, 3.0])
    torch.testing.assert_close(pooled.flatten().cpu(), wanted, equal_nan=True)
    assert where.flatten().tolist() == [1, 1, 1, 0, 3, 2]


@pytest.mark.parametrize("forward", [_forward_torch, _forward_numba])
def test_nan_is_not_hidden(forward):
    assert_nan_is_not_hidden(forward)


def test_nan_is_not_hidden_by_triton(triton_device):
    from pointmcd.ops.gpu import neighbours as kernels

    assert_nan_is_not_hidden(kernels.forward, triton_device)
