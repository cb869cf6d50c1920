import pytest
import torch

from pointmcd.ops.neighbours import (
    _backward_numba,
    _backward_torch,
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # numba and torch paths
def test_pool_equals_the_naive_reference(dtype):
    torch.manual_seed(1)
    values = torch.randn(2, 20, 5, dtype=dtype)
    index = torch.randint(0, 20, (2, 20, 4))
    largest = torch.tensor([True, False, True, False, True])
    weights = torch.randn(2, 2, 20, 5, dtype=dtype)
    results = []
    for function in (naive, neighbour_pool):
        leaf = values.clone().requires_grad_()
        extreme, total = function(leaf, index, largest)
        (extreme * weights[0] + total * weights[1]).sum().backward()
        results.append((extreme, total, leaf.grad))
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted)


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
