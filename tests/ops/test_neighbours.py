import sys

import pytest
import torch

from pointmcd.ops.nearest import nearest_neighbours
from pointmcd.ops.neighbours import (
    _backward,
    _backward_numba,
    _backward_torch,
    _forward,
    _forward_numba,
    _forward_torch,
    neighbour_pool,
)


def naive(values, index, largest):
    """[B, N, k, C] made in full."""
    batch, count, k = index.shape
    rows = values[torch.arange(batch)[:, None], index.flatten(1)].view(batch, count, k, -1)
    sign = torch.where(largest, 1.0, -1.0).to(values)
    return (rows * sign).max(dim=2).values * sign, rows.sum(dim=2)


def assert_naive(values, index, weights, device="cpu"):
    """Values and gradients of the pool on a device are those of the full form."""
    largest = torch.arange(values.shape[2]) % 2 == 0
    results = []
    for function, there in ((naive, "cpu"), (neighbour_pool, device)):
        leaf = values.clone().requires_grad_()
        extreme, total = function(leaf.to(there), index.to(there), largest.to(there))
        (extreme.cpu() * weights[0] + total.cpu() * weights[1]).sum().backward()
        results.append((extreme.cpu(), total.cpu(), leaf.grad))
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # numba and torch paths
def test_pool_equals_the_naive_reference(dtype):
    torch.manual_seed(1)
    values = torch.randn(2, 20, 5, dtype=dtype)
    index = torch.randint(0, 20, (2, 20, 4))
    assert_naive(values, index, torch.randn(2, 2, 20, 5, dtype=dtype))


@pytest.mark.parametrize("shape", [(2, 20, 5, 4), (1, 1, 1, 1), (1, 7, 67, 3), (3, 18, 2, 1)])
def test_triton_equals_the_naive_reference(shape, triton_device):
    torch.manual_seed(1)
    batch, count, channels, k = shape
    values = torch.randn(batch, count, channels)
    # Some points are named twice by a neighbour, some by none.
    index = torch.randint(0, count, (batch, count, k))
    assert_naive(values, index, torch.randn(2, *values.shape), triton_device)


def test_without_triton_the_other_paths_are_chosen(triton_device, monkeypatch):
    from pointmcd.ops.gpu import neighbours as kernels

    values = torch.zeros(1, 2, 3, device=triton_device, dtype=torch.float16)
    assert (_forward(values), _backward(values)) == (kernels.forward, kernels.backward)
    assert (_forward(values.double()), _backward(values.double())) == (
        _forward_torch,
        _backward_torch,
    )
    monkeypatch.setitem(sys.modules, "triton", None)
    assert (_forward(values), _backward(values)) == (_forward_torch, _backward_torch)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_triton_sums_half_precision_in_full(dtype, triton_device):
    values, index = torch.randn(2, 9, 5).to(dtype), torch.randint(0, 9, (2, 9, 6))
    largest = torch.ones(5, dtype=torch.bool)
    inputs = [x.to(triton_device) for x in (values, index, largest)]
    extreme, total = neighbour_pool(*inputs)
    wanted = naive(values.float(), index, largest)
    assert torch.equal(extreme.cpu().float(), wanted[0])
    torch.testing.assert_close(total.cpu(), wanted[1].to(dtype))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_full_size_on_a_gpu_and_again_to_the_last_bit(triton_device):
    from pointmcd.ops.gpu import neighbours as kernels

    values = torch.randn(4, 1024, 256, device="cuda")
    index, largest = nearest_neighbours(values, 20), torch.rand(256, device="cuda") < 0.5
    first = kernels.forward(values, index, largest)
    for a, b in zip(first, _forward_torch(values, index, largest), strict=True):
        torch.testing.assert_close(a, b)
    grads = torch.randn(2, 4, 1024, 256, device="cuda")
    found = [kernels.backward(grads[0], grads[1], index, first[1]) for _ in range(2)]
    wanted = _backward_torch(grads[0], grads[1], index, first[1])  # adds in any order
    torch.testing.assert_close(found[0], wanted, rtol=1e-4, atol=1e-4)
    assert torch.equal(*found)


def test_both_paths_agree_on_exact_ties():
    values = torch.randint(0, 2, (2, 12, 4)).float()
    index = torch.randint(0, 12, (2, 12, 5))
    largest = torch.tensor([True, False, True, False])
    ours, theirs = _forward_numba(values, index, largest), _forward_torch(values, index, largest)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)
    grads = torch.randn(2, 2, 12, 4)
    torch.testing.assert_close(
        _backward_numba(grads[0], grads[1], index, ours[1]),
        _backward_torch(grads[0], grads[1], index, ours[1]),
    )


def test_triton_agrees_on_exact_ties(triton_device):
    values = torch.randint(0, 2, (2, 12, 4), device=triton_device).float()
    index = torch.randint(0, 12, (2, 12, 5), device=triton_device)
    largest = torch.tensor([True, False, True, False], device=triton_device)
    from pointmcd.ops.gpu import neighbours as kernels

    ours, theirs = kernels.forward(values, index, largest), _forward_torch(values, index, largest)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)
    grads = torch.randn(2, 2, 12, 4, device=triton_device)
    torch.testing.assert_close(
        kernels.backward(grads[0], grads[1], index, ours[1]),
        _backward_torch(grads[0], grads[1], index, ours[1]),
    )
