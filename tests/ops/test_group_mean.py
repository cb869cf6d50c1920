import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pointmcd.ops.group_mean import norm_leaky_mean

CHANNELS = 6


def batch_norm(dtype, training=True, offset=0.0):
    """Gammas of both signs and zero, and settled statistics."""
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(CHANNELS)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -2, 0.5, -0.1, 3, 0]))
        norm.bias.normal_()
        norm.running_mean.normal_().add_(offset)
        norm.running_var.uniform_(0.5, 2)
    return norm.to(dtype).train(training)


def plain(products, norm, slope):
    normed = norm(products.flatten(0, 1)).view_as(products)
    return F.leaky_relu(normed, slope).mean(dim=1)


def outcome(function, norm, products, weights, slope=0.2):
    """Value, gradients and buffers after one step."""
    leaf = products.clone().requires_grad_()
    value = function(leaf, norm, slope)
    (value * weights).sum().backward()
    grads = [leaf.grad, norm.weight.grad, norm.bias.grad]
    return [value.detach(), *grads, *norm.buffers()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # numba and torch paths
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize("shape", [(7, 4), (30, 1), (1, 9), (900, 8)])
def test_equals_the_plain_order_of_operations(dtype, training, slope, shape):
    products = torch.randn(*shape, CHANNELS, dtype=torch.float64).to(dtype) * 2 + 1
    weights = torch.randn(shape[0], CHANNELS, dtype=dtype)
    wanted, found = (
        outcome(f, batch_norm(d, training), products.to(d), weights.to(d), slope)
        for f, d in ((plain, torch.float64), (norm_leaky_mean, dtype))
    )
    for one, other in zip(wanted, found, strict=True):
        torch.testing.assert_close(other.to(one), one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("offset", "tolerance"), [(100, 2e-5), (3000, 5e-4)])  # as a mean rounds
def test_members_far_from_zero_lose_no_digits(training, offset, tolerance):
    torch.manual_seed(1)
    products = torch.randn(2000, 5, CHANNELS) + offset
    products[0] += 50  # the first group is an outlier
    weights = torch.randn(2000, CHANNELS)
    wanted, found = (
        outcome(f, batch_norm(d, training, offset), products.to(d), weights.to(d))
        for f, d in ((plain, torch.float64), (norm_leaky_mean, torch.float32))
    )
    for one, other in zip(wanted, found, strict=True):
        error = (other.to(one) - one).abs().max()
        assert error <= tolerance * one.abs().max()


def test_constant_channels_have_no_variance():
    norm = batch_norm(torch.float32)
    value = norm_leaky_mean(torch.full((50, 4, CHANNELS), 0.1), norm, 0.2)
    torch.testing.assert_close(value, F.leaky_relu(norm.bias, 0.2).expand(50, -1))
    assert (norm.running_var > 0).all()


def test_one_thread_and_two_give_the_same_bytes():
    torch.manual_seed(1)
    products, weights = torch.randn(3000, 7, CHANNELS), torch.randn(3000, CHANNELS)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            norm = batch_norm(torch.float32)
            results.append(outcome(norm_leaky_mean, norm, products, weights))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_transposed_inputs_and_gradients_give_the_same():
    torch.manual_seed(1)
    products, weights = torch.randn(CHANNELS, 5, 20).permute(2, 1, 0), torch.randn(CHANNELS, 20).T
    wanted = outcome(norm_leaky_mean, batch_norm(torch.float32), products.contiguous(), weights)
    leaf = products.detach().requires_grad_()
    norm = batch_norm(torch.float32)
    value = norm_leaky_mean(leaf, norm, 0.2)
    value.backward(weights)
    assert torch.equal(value, wanted[0])
    assert torch.equal(leaf.grad, wanted[1])


def test_members_alone_may_need_a_gradient():
    products = torch.randn(20, 3, CHANNELS)
    wanted = outcome(norm_leaky_mean, batch_norm(torch.float32), products, torch.ones(CHANNELS))
    norm, leaf = batch_norm(torch.float32).requires_grad_(False), products.requires_grad_()
    norm_leaky_mean(leaf, norm, 0.2).sum().backward()
    assert torch.equal(leaf.grad, wanted[1])
    assert norm.weight.grad is None


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_no_gradient_no_difference(training, mode):
    products = torch.randn(20, 3, CHANNELS)
    wanted = norm_leaky_mean(products, batch_norm(torch.float32, training), 0.2)
    with mode():
        found = norm_leaky_mean(products.clone(), batch_norm(torch.float32, training), 0.2)
    assert not found.requires_grad
    assert torch.equal(found, wanted)


def test_a_second_backward_pass_gives_the_same():
    leaf, norm = torch.randn(20, 3, CHANNELS).requires_grad_(), batch_norm(torch.float32)
    value = norm_leaky_mean(leaf, norm, 0.2).square().sum()
    first, second = (torch.autograd.grad(value, leaf, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_no_groups_have_no_means():
    leaf, norm = torch.zeros(0, 3, CHANNELS, requires_grad=True), batch_norm(torch.float32, False)
    value = norm_leaky_mean(leaf, norm, 0.2)
    value.sum().backward()
    assert value.shape == (0, CHANNELS)
    assert not norm.weight.grad.any()
