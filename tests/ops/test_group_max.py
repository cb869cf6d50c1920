import pytest
import torch
from torch import nn

from pointmcd.ops.group_max import (
    _backward_numba,
    _backward_torch,
    _extreme,
    linear_bn_relu_max,
)


def layers(dtype):
    """A linear layer and a batch norm with gammas of both signs and settled statistics."""
    torch.manual_seed(0)
    linear, norm = nn.Linear(5, 6, bias=False), nn.BatchNorm1d(6)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -2, 0.5, -0.1, 3, 1]))
        norm.bias.normal_()
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return linear.to(dtype), norm.to(dtype)


def plain(groups, linear, norm):
    products = linear(groups)
    return torch.relu(norm(products.flatten(0, 1)).view_as(products)).max(dim=1).values


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # numba and torch paths
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("count", "k"), [(7, 4), (3, 1), (900, 8)])  # 900 x 8: several parts
def test_equals_the_plain_order_of_operations(dtype, training, count, k):
    groups = torch.randn(count, k, 5, dtype=dtype) + 1
    weights = torch.randn(count, 6, dtype=dtype)
    results = []
    for function in (plain, linear_bn_relu_max):
        linear, norm = layers(dtype)
        norm.train(training)
        leaf = groups.clone().requires_grad_()
        value = function(leaf, linear, norm)
        (value * weights).sum().backward()
        grads = [leaf.grad, linear.weight.grad, norm.weight.grad, norm.bias.grad]
        results.append([value.detach(), *grads, *norm.buffers()])
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_both_paths_give_ties_to_the_first_member():
    products = torch.randint(0, 2, (20, 5, 6)).float()
    outputs = []
    for dtype in (torch.float32, torch.float64):
        values, where = torch.empty(20, 6, dtype=dtype), torch.empty(20, 6, dtype=torch.int64)
        _extreme(products.to(dtype), values, where)
        assert torch.equal(values, products.to(dtype).amax(dim=1))
        outputs.append(where)
    first = (products == products.amax(dim=1, keepdim=True)).int().argmax(dim=1)
    assert torch.equal(outputs[0], first)
    assert torch.equal(outputs[1], first)


def test_both_backward_passes_agree():
    grad, groups, weight = torch.randn(20, 6), torch.randn(20, 5, 3), torch.randn(6, 3)
    where = torch.randint(0, 5, (20, 6))
    start, results = torch.randn(20, 5, 3), []
    for backward in (_backward_torch, _backward_numba):
        grad_groups = start.clone()  # what is there already is added to
        results.append([backward(grad, groups, weight, where, grad_groups), grad_groups])
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted)
