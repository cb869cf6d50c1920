import pytest
import torch
from torch.nn import functional as F

from pointmcd.ops import backend
from pointmcd.ops.edge_sum import edge_bn_relu, edge_sum


def naive(own, other, index, slope):
    """An edge at a time."""
    edges = [
        own[b, n] + other[b, j]
        for b in range(len(index))
        for n in range(index.shape[1])
        for j in index[b, n]
    ]
    return F.leaky_relu(torch.stack(edges).view(*index.shape, -1), slope)


@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # numba and torch
@pytest.mark.parametrize("shape", [(2, 6, 9, 4, 5), (1, 1, 1, 1, 1), (3, 5, 2, 7, 1)])
def test_values_and_gradients_are_those_of_single_edges(shape, dtype, slope):
    torch.manual_seed(0)
    batch, count, others, k, channels = shape
    own = torch.randn(batch, count, channels, dtype=dtype)
    other = torch.randn(batch, others, channels, dtype=dtype)
    index = torch.randint(others, (batch, count, k))  # some are named twice, some never
    weights = torch.randn(batch, count, k, channels, dtype=dtype)
    results = []
    for function in (naive, edge_sum):
        leaves = own.clone().requires_grad_(), other.clone().requires_grad_()
        edges = function(*leaves, index, slope)
        (edges * weights).sum().backward()
        results.append([edges.detach(), *(leaf.grad for leaf in leaves)])
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted)


def test_at_zero_the_slope_below_counts():
    own, other = torch.zeros(1, 1, 1, requires_grad=True), torch.zeros(1, 1, 1)
    edge_sum(own, other, torch.zeros(1, 1, 2, dtype=torch.int64), 0.2).sum().backward()
    assert own.grad.item() == pytest.approx(0.4)


def test_transposed_inputs_give_the_same():
    own, other = torch.randn(2, 5, 3), torch.randn(2, 3, 4).transpose(1, 2)
    index = torch.randint(4, (2, 5, 2))
    assert torch.equal(
        edge_sum(own, other, index, 0.1), edge_sum(own, other.contiguous(), index, 0.1)
    )


def test_batch_norm_of_all_edges_is_the_same_where_there_is_no_float64(monkeypatch):
    torch.manual_seed(0)
    own, other = torch.randn(2, 5, 3), torch.randn(2, 9, 4)
    index, weight = torch.randint(9, (2, 5, 6)), torch.randn(8, 7)
    results = []
    for devices in ([], ["cpu"]):
        monkeypatch.setattr(backend, "DEVICES_WITHOUT_DOUBLE", devices)
        norm = torch.nn.BatchNorm1d(8)
        leaves = [tensor.clone().requires_grad_() for tensor in (own, other, weight)]
        edges = edge_bn_relu(leaves[0], leaves[1], index, leaves[2], norm)
        (edges * torch.arange(8)).square().sum().backward()
        grads = [leaf.grad for leaf in leaves]
        results.append([edges.detach(), *grads, norm.weight.grad, *norm.buffers()])
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)
