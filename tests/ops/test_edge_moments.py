import pytest
import torch

from pointmcd.ops.edge_moments import (
    _spread_sorted,
    edge_moments,
    neighbour_spread,
    neighbour_sum,
)


def graph(batch=3, centres=11, count=15, k=4, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    own = torch.randn(batch, centres, 2, dtype=dtype, generator=generator)
    other = torch.randn(batch, count, 5, dtype=dtype, generator=generator)
    return own, other, torch.randint(count, (batch, centres, k), generator=generator)


def rows(values, index):
    return values[torch.arange(len(values))[:, None, None], index]


def naive(own, other, index):
    """Every edge made."""
    near = rows(other, index)
    edges = torch.cat([near, own[:, :, None].expand(*near.shape[:3], -1)], dim=3).flatten(0, 2)
    return edges.mean(dim=0), torch.cov(edges.T, correction=0).view(edges.shape[1], -1)


def outcome(function, own, other, index):
    leaves = [own.clone().requires_grad_(), other.clone().requires_grad_()]
    mean, covariance = function(*leaves, index)
    weights = torch.arange(covariance.numel()).view_as(covariance).sin()  # not symmetric
    ((weights * covariance).sum() + (mean * mean).sum()).backward()
    return [mean.detach(), covariance.detach(), *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("offset", [0, 30])
@pytest.mark.parametrize(
    "shape", [{}, {"k": 1}, {"batch": 1, "centres": 1}, {"count": 1}, {"batch": 1, "k": 40}]
)
def test_values_and_gradients_are_those_of_all_edges(shape, offset):
    own, other, index = graph(**shape)
    found = outcome(edge_moments, own, other + offset, index)
    for ours, wanted in zip(found, outcome(naive, own, other + offset, index), strict=True):
        torch.testing.assert_close(ours, wanted)


def test_single_precision_holds_far_from_the_origin():
    own, other, index = graph(count=300, centres=300, k=20)
    far = outcome(edge_moments, own.float() + 100, other.float() + 100, index)
    for ours, wanted in zip(far, outcome(naive, own + 100, other + 100, index), strict=True):
        torch.testing.assert_close(ours.double(), wanted, rtol=1e-3, atol=1e-4)


def test_one_tensor_may_be_both_sides():
    _, points, _ = graph()
    index = torch.randint(15, (3, 15, 4))
    for function in (edge_moments, naive):
        leaf = points.clone().requires_grad_()
        (function(leaf, leaf, index)[1] ** 2).sum().backward()
        if function is edge_moments:
            found = leaf.grad
    torch.testing.assert_close(found, leaf.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # numba and torch
def test_spreading_is_the_transpose_of_summing(dtype):
    _, values, index = graph(dtype=dtype)
    weights = torch.randn(3, 11, 5, dtype=dtype)
    there = (neighbour_sum(values, index) * weights).sum()
    torch.testing.assert_close(there, (values * neighbour_spread(weights, index, 15)).sum())
    torch.testing.assert_close(neighbour_sum(values, index), rows(values, index).sum(dim=2))


def test_no_clouds():
    assert neighbour_sum(torch.zeros(0, 5, 3), torch.zeros(0, 4, 2, dtype=torch.int64)).numel() == 0


def test_spreading_in_order_of_the_targets_equals_one_scatter_a_neighbour():
    values, index = torch.randn(2, 7, 4, dtype=torch.float64), torch.randint(0, 5, (2, 7, 3))
    index[0] = 2  # most points are nobody's neighbour
    found = _spread_sorted(values, index, 9)
    torch.testing.assert_close(found, neighbour_spread(values, index, 9))
    assert not found[0, 3:].any()
