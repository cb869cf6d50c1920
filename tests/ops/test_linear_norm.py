import copy
from functools import partial

import pytest
import torch
from torch import nn

from pointmcd.ops import linear_norm
from pointmcd.ops.group_max import linear_bn_relu_max
from pointmcd.ops.linear_norm import linear_bn_relu


def plain(points, linear, norm, slope=0.0):
    """The published order of operations, every tensor made."""
    batch, count, _ = points.shape
    rows = nn.functional.leaky_relu(norm(linear(points).flatten(0, 1)), slope)
    return rows.view(batch, count, -1).max(dim=1).values


def layers(channels_in=6, channels=9, dtype=torch.float64):
    linear = nn.Linear(channels_in, channels, bias=False).to(dtype)
    norm = nn.BatchNorm1d(channels).to(dtype)
    with torch.no_grad():
        norm.weight.normal_()  # negative gammas among them
        norm.weight[0] = 0.0
        norm.bias.normal_()
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    return linear, norm


def relu_then_max(points, linear, norm):
    return linear_bn_relu(points, linear, norm).max(dim=1).values


def leaky_then_max(points, linear, norm):
    return linear_bn_relu(points, linear, norm, 0.2).max(dim=1).values


@pytest.mark.parametrize("ours", [linear_bn_relu_max, relu_then_max, leaky_then_max])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])  # plain and numba paths
@pytest.mark.parametrize("folds", [True, False])
def test_values_gradients_and_statistics_equal_the_plain_order(
    ours, training, dtype, folds, monkeypatch
):
    torch.manual_seed(0)
    monkeypatch.setattr(linear_norm, "_folding_pays", lambda *_: folds)
    linear, norm = layers(dtype=dtype)
    twins = copy.deepcopy((linear, norm))
    points = torch.randn(4, 11, 6, dtype=dtype) + 3
    weights = torch.randn(4, 9, dtype=dtype)
    results = []
    published = partial(plain, slope=0.2) if ours is leaky_then_max else plain
    for function, (a, b) in ((published, (linear, norm)), (ours, twins)):
        leaf = points.clone().requires_grad_()
        b.train(training)
        value = function(leaf, a, b)
        (value * weights).sum().backward()
        results.append([value, leaf.grad, a.weight.grad, b.bias.grad, b.weight.grad])
        results[-1] += [b.running_mean, b.running_var, b.num_batches_tracked]
    for name, wanted, found in zip(
        ["value", "points", "W", "beta", "gamma", "mean", "var", "n"], *results, strict=True
    ):
        if name == "gamma":  # at gamma = 0 every point ties, and any subgradient is right
            wanted, found = wanted[1:], found[1:]
        tolerance = {} if dtype is torch.float64 else {"rtol": 1e-3, "atol": 1e-4}
        torch.testing.assert_close(found, wanted, msg=name, **tolerance)


def test_exact_ties_give_the_gradient_to_one_point():
    linear, norm = layers()
    points = torch.ones(2, 5, 6, dtype=torch.float64, requires_grad=True)
    norm.eval()
    linear_bn_relu_max(points, linear, norm).sum().backward()
    touched = points.grad.abs().sum(dim=2) > 0
    assert touched.sum(dim=1).max() <= 1


def test_one_point_works():
    linear, norm = layers(dtype=torch.float32)
    assert linear_bn_relu_max(torch.randn(3, 1, 6), linear, norm).shape == (3, 9)


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_sparse_and_dense_gradients_agree(slope):
    torch.manual_seed(0)
    linear, norm = layers(channels_in=7, channels=13, dtype=torch.float32)
    points = torch.randn(2, 40, 7)
    gradients = []
    weights = torch.randn(2, 40, 13) * (torch.rand(2, 40, 13) < 0.03)
    for noise in (0.0, 1e-30):  # the second is dense, and as good as the first
        leaf = points.clone().requires_grad_()
        norm.zero_grad()
        linear.zero_grad()
        linear_bn_relu(leaf, linear, norm, slope).backward(weights + noise)
        gradients.append([leaf.grad, linear.weight.grad.clone(), norm.bias.grad.clone()])
    for sparse, dense in zip(*gradients, strict=True):
        torch.testing.assert_close(sparse, dense)


def test_mixed_precision_works():
    linear, norm = layers(dtype=torch.float32)
    points = torch.randn(2, 8, 6, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        linear_bn_relu(points, linear, norm).sum().backward()
    assert points.grad.isfinite().all()


@pytest.mark.parametrize(
    ("rows", "narrow", "wide", "folds"),
    [(32, 128, 1024, True), (32, 64, 128, False), (24, 512, 1024, False), (16, 128, 1024, False)],
)
def test_a_gpu_folds_wide_layers_on_few_channels(rows, narrow, wide, folds):
    with torch.device("meta"):
        points, linear = torch.empty(rows, 1024, narrow), nn.Linear(narrow, wide, bias=False)
    assert linear_norm._folding_pays(points, linear) == folds
    assert linear_norm._folding_pays(torch.empty(1, 1, narrow), linear)
