import copy

import pytest
import torch
from torch import nn

from pointmcd.ops.group_max import (
    _backward_numba,
    _backward_torch,
    _extreme,
    _extremes,
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # numba and torch paths
def test_a_max_does_not_hide_what_is_no_number(dtype):
    products = torch.tensor([[1, torch.nan, 2], [torch.nan, 1, torch.nan], [3, 2, 1]])
    values, where = torch.empty(3, 1, dtype=dtype), torch.empty(3, 1, dtype=torch.int64)
    _extreme(products.to(dtype)[:, :, None], values, where)
    assert torch.equal(values.isnan().flatten(), torch.tensor([True, True, False]))
    assert where.flatten().tolist() == [1, 0, 0]


def test_both_backward_passes_agree():
    grad, groups, weight = torch.randn(20, 6), torch.randn(20, 5, 3), torch.randn(6, 3)
    where = torch.randint(0, 5, (20, 6))
    start, results = torch.randn(20, 5, 3), []
    for backward in (_backward_torch, _backward_numba):
        grad_groups = start.clone()  # what is there already is added to
        results.append([backward(grad, groups, weight, where, grad_groups), grad_groups])
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted)


#: Triton's interpreter takes most of a minute for many groups.
SLOW = [] if torch.cuda.is_available() else pytest.mark.slow
MANY = [pytest.param(count, 2, 3, 2, marks=SLOW) for count in (150, 1100)]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("count", "k", "narrow", "wide"),
    [(5, 4, 3, 6), (2, 70, 20, 70), (1, 2, 1, 1), (3, 16, 128, 64), *MANY],
)
def test_the_kernels_of_a_gpu_equal_the_plain_order(
    count, k, narrow, wide, training, triton_device
):
    torch.manual_seed(0)
    groups, weights = torch.randn(count, k, narrow) + 1, torch.randn(count, wide)
    linear, norm = nn.Linear(narrow, wide, bias=False), nn.BatchNorm1d(wide).train(training)
    nn.init.uniform_(norm.weight, -1, 1)
    results = []
    for function, device in ((plain, "cpu"), (linear_bn_relu_max, triton_device)):
        layer, own = copy.deepcopy(linear).to(device), copy.deepcopy(norm).to(device)
        leaf = groups.detach().to(device).requires_grad_()
        value = function(leaf, layer, own)
        (value * weights.to(device)).sum().backward()
        grads = [leaf.grad, layer.weight.grad, own.weight.grad, own.bias.grad]
        results.append([value.detach(), *grads, *own.buffers()])
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found.cpu(), wanted, rtol=1e-3, atol=1e-3)


def test_the_kernels_find_the_first_of_equals_and_what_is_no_number(triton_device):
    groups = torch.randint(-1, 2, (30, 21, 2)).float()
    groups[3, 4] = torch.nan
    groups[5] = -torch.inf
    weight = torch.eye(2).repeat(3, 1)
    wanted, first = _extremes(groups.double(), weight.double())
    first = torch.where(wanted.isnan(), 4, first)
    values, where = gpu_forward()(groups.to(triton_device), weight.abs().to(triton_device))
    torch.testing.assert_close(values.cpu()[6:], wanted.float()[6:], equal_nan=True)
    assert torch.equal(where.cpu()[6:].long(), first[6:])
    assert values.cpu()[3].isnan().all()


def test_bfloat16_members_are_multiplied_as_such(triton_device):
    torch.manual_seed(0)
    groups = torch.randn(6, 20, 8).bfloat16().to(triton_device).requires_grad_()
    linear, norm = (
        layer.to(triton_device) for layer in (nn.Linear(8, 5, bias=False), nn.BatchNorm1d(5))
    )
    value = linear_bn_relu_max(groups, linear, norm)
    value.sum().backward()
    assert value.dtype == torch.float32
    assert groups.grad.dtype == torch.bfloat16
    wanted = plain(groups.detach().float(), linear, norm)
    torch.testing.assert_close(value, wanted, rtol=0.05, atol=0.05)


def gpu_forward():
    from pointmcd.ops.gpu.group_max import forward

    return forward
