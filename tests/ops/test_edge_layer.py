import numpy as np
import pytest
import torch

from pointmcd.ops.edge_layer import edge_layer, edge_layer_reference

SLOPE = 0.2
SHAPES = [  # B, N, k, C1, C2
    (3, 20, 7, 6, 9),
    (2, 12, 1, 5, 4),
    (1, 1, 1, 1, 1),
    (1, 5, 5, 16, 32),
]
NAMES = ["extreme", "mean", "covariance", "own", "other", "weight"]


def case(batch, count, k, narrow, wide, seed=0):
    """Own, other, index, weight and largest, in double, with both signs of the extreme."""
    torch.manual_seed(seed)
    own = torch.randn(batch, count, narrow, dtype=torch.float64)
    other = torch.randn(batch, count, narrow, dtype=torch.float64)
    index = torch.rand(batch, count, count).topk(k, dim=2).indices
    weight = torch.randn(wide, narrow, dtype=torch.float64)
    return own, other, index, weight, torch.arange(wide) % 3 > 0


def naive(own, other, index, weight, largest, slope):
    """Edge by edge, as the definition says."""
    batch, count, _ = index.shape
    edges, extremes = [], []
    for b in range(batch):
        for n in range(count):
            rows = torch.stack([own[b, n] + other[b, m] for m in index[b, n]])
            rows = torch.where(rows > 0, rows, slope * rows)
            values = rows @ weight.T
            extremes.append(torch.where(largest, values.amax(dim=0), values.amin(dim=0)))
            edges.append(rows)
    flat = torch.cat(edges)
    mean, covariance = flat.mean(dim=0), torch.cov(flat.T, correction=0)
    narrow = len(mean)
    return torch.stack(extremes).view(batch, count, -1), mean, covariance.view(narrow, narrow)


def values_and_gradients(function, own, other, index, weight, largest, dtype=torch.float64):
    """Of a loss that reads all three outputs, so that every way back is taken."""
    leaves = [x.to(dtype, copy=True).requires_grad_() for x in (own, other, weight)]
    outputs = function(leaves[0], leaves[1], index, leaves[2], largest, SLOPE)
    generator = torch.Generator().manual_seed(1)
    loss = sum(
        scale * (x * torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)).sum()
        for scale, x in zip((1, 30, 30), outputs, strict=True)
    )
    loss.backward()
    return [x.detach() for x in outputs] + [x.grad for x in leaves]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("function", "dtype"),
    [
        (edge_layer, torch.float32),  # numba
        (edge_layer, torch.float64),  # plain torch
        (edge_layer_reference, torch.float32),
    ],
)
def test_values_and_gradients_equal_the_definition(shape, function, dtype):
    inputs = case(*shape)
    wanted = values_and_gradients(naive, *inputs)
    found = values_and_gradients(function, *inputs, dtype=dtype)
    for name, a, b in zip(NAMES, wanted, found, strict=True):
        tolerance = {} if dtype is torch.float64 else {"rtol": 1e-4, "atol": 1e-4}
        torch.testing.assert_close(b.double(), a, msg=name, **tolerance)


def test_moments_survive_an_offset():
    own, other, index, weight, largest = case(4, 100, 10, 8, 8)
    inputs = (0.1 * own + 20, 0.1 * other, index, weight, largest)
    wanted = values_and_gradients(edge_layer_reference, *inputs)
    found = values_and_gradients(edge_layer, *inputs, dtype=torch.float32)
    for name, a, b in zip(NAMES, wanted, found, strict=True):
        torch.testing.assert_close(b.double(), a, rtol=1e-3, atol=2e-4, msg=name)


def test_of_equal_neighbours_the_first_takes_the_gradient():
    own = torch.zeros(1, 3, 2)
    other = torch.ones(1, 3, 2, requires_grad=True)
    index = torch.tensor([[[2, 0, 1], [1, 0, 2], [1, 2, 0]]])
    weight, largest = torch.ones(4, 2), torch.tensor([True, False, True, False])
    extreme, _, covariance = edge_layer(own, other, index, weight, largest, SLOPE)
    extreme.sum().backward()
    assert torch.equal(extreme, torch.full((1, 3, 4), 2.0))
    assert torch.equal(covariance, torch.zeros(2, 2))
    assert torch.equal(other.grad, torch.tensor([[[0.0, 0.0], [8.0, 8.0], [4.0, 4.0]]]))


def test_thread_count_does_not_change_a_bit():
    inputs = case(4, 150, 20, 64, 128)  # its products are large enough for a threaded BLAS
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            results.append(values_and_gradients(edge_layer, *inputs, dtype=torch.float32))
    finally:
        torch.set_num_threads(before)
    for name, *found in zip(NAMES, *results, strict=True):
        assert torch.equal(found[0], found[1]), name
        assert torch.equal(found[1], found[2]), name


def test_inputs_in_any_layout_are_left_as_they_are():
    own, other, index, weight, largest = case(2, 9, 4, 3, 5)
    own, other, weight = (x.float() for x in (own, other, weight))
    strided = [x.transpose(0, 1).contiguous().transpose(0, 1) for x in (own, other, index, weight)]
    copies = [x.clone() for x in strided]
    wanted = edge_layer(own, other, index, weight, largest, SLOPE)
    found = edge_layer(*strided, largest, SLOPE)
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(strided, copies, strict=True))


def test_not_a_number_is_not_hidden():
    own, other, index, weight, largest = case(2, 9, 4, 3, 5)
    other[1, 2, 0] = np.nan
    index[1, 4, 3] = 2
    _, mean, covariance = edge_layer(
        own.float(), other.float(), index, weight.float(), largest, SLOPE
    )
    assert mean[0].isnan()
    assert covariance[0].isnan().all()


def test_a_frozen_input_and_inference_mode():
    own, other, index, weight, largest = case(2, 9, 4, 3, 5)
    leaf = weight.float().requires_grad_()
    extreme, _, _ = edge_layer(own.float(), other.float(), index, leaf, largest, SLOPE)
    extreme.sum().backward()  # the moments take no part, as in eval
    assert leaf.grad.isfinite().all()
    with torch.inference_mode():
        again, _, _ = edge_layer(own.float(), other.float(), index, leaf, largest, SLOPE)
    assert torch.equal(again, extreme)
