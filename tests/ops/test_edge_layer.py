import sys

import numpy as np
import pytest
import torch

from pointmcd.ops.edge_layer import _triton_fits, edge_layer, edge_layer_reference

SLOPE = 0.2
SHAPES = [  # B, N, k, C1, C2
    (3, 20, 7, 6, 9),
    (2, 12, 1, 5, 4),
    (1, 1, 1, 1, 1),
    (1, 5, 5, 16, 32),
]
ODD = [  # what no tile divides, and the widest of the kernels for a GPU
    (2, 19, 5, 20, 33),
    (1, 17, 2, 64, 128),
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


def values_and_gradients(
    function, own, other, index, weight, largest, dtype=torch.float64, device="cpu", read=1.0
):
    """Of a loss that reads all three outputs, so that every way back is taken.

    `read` [B, N, C2] is a factor of the extremes in it.
    """
    leaves = [x.to(dtype, copy=True).requires_grad_() for x in (own, other, weight)]
    there = [x.to(device) for x in (*leaves[:2], index, leaves[2], largest)]
    outputs = [x.cpu() for x in function(*there, SLOPE)]
    generator = torch.Generator().manual_seed(1)
    loss = sum(
        (scale * x * torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x)).sum()
        for scale, x in zip((read, 30, 30), outputs, strict=True)
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


@pytest.mark.parametrize("shape", [*SHAPES, *ODD])
def test_triton_equals_the_definition(shape, triton_device):
    inputs = case(*shape)
    wanted = values_and_gradients(naive, *inputs)
    found = values_and_gradients(edge_layer, *inputs, dtype=torch.float32, device=triton_device)
    for name, a, b in zip(NAMES, wanted, found, strict=True):
        torch.testing.assert_close(b.double(), a, msg=name, rtol=1e-4, atol=1e-4)


def test_triton_s_programs_share_the_tiles(triton_device, monkeypatch):
    from pointmcd.ops.gpu import edge_layer as kernels

    inputs = case(3, 50, 3, 6, 9)
    monkeypatch.setattr(kernels, "_PROGRAMS", 4)  # ten tiles
    wanted = values_and_gradients(edge_layer_reference, *inputs)
    found = values_and_gradients(edge_layer, *inputs, dtype=torch.float32, device=triton_device)
    for name, a, b in zip(NAMES, wanted, found, strict=True):
        torch.testing.assert_close(b.double(), a, msg=name, rtol=1e-4, atol=1e-4)


def test_triton_is_chosen_only_where_it_fits(triton_device, monkeypatch):
    own, other, _, weight, _ = (x.to(triton_device) for x in case(1, 5, 2, 64, 128))
    assert not _triton_fits(own, other, weight)
    own, other, weight = own.float(), other.float(), weight.float()
    assert _triton_fits(own, other, weight)
    assert not _triton_fits(own, other, torch.zeros(129, 64, device=triton_device))
    wider = torch.zeros(1, 5, 65, device=triton_device)
    assert not _triton_fits(wider, wider, torch.zeros(128, 65, device=triton_device))
    torch.use_deterministic_algorithms(True)
    try:
        assert not _triton_fits(own, other, weight)
    finally:
        torch.use_deterministic_algorithms(False)
    monkeypatch.setitem(sys.modules, "triton", None)
    assert not _triton_fits(own, other, weight)


def clear_extremes(own, other, index, weight, largest, gap=1e-3):
    """1 where the best neighbour leads the second by more than float32 rounds, else 0."""
    edges = torch.stack([rows[near] for rows, near in zip(other, index, strict=True)])
    edges = torch.nn.functional.leaky_relu(edges + own[:, :, None], SLOPE)
    products = edges @ (torch.where(largest, 1, -1)[:, None] * weight).T
    best, second = products.topk(2, dim=2).values.unbind(dim=2)
    return (best - second > gap).double()


@pytest.mark.parametrize("wide", [64, 128])
@pytest.mark.parametrize(
    ("device", "batch"),
    [
        pytest.param("cpu", 2),
        pytest.param("cpu", 8, marks=pytest.mark.slow),
        pytest.param(
            "cuda",
            8,
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
        ),
    ],
)
def test_full_size(wide, device, batch):
    # Of 524,288 extremes a few lead by less than float32 resolves. Another neighbour then takes
    # the gradient, which changes a whole row of the weight's, one in 128. They are not read.
    inputs = case(batch, 512, 40, 64, wide)
    read = clear_extremes(*inputs)
    assert read.mean() > 0.999
    wanted = values_and_gradients(edge_layer_reference, *inputs, read=read)
    inputs = [x.to(device) for x in inputs]
    found = values_and_gradients(edge_layer, *inputs, torch.float32, device, read.float())
    for name, a, b in zip(NAMES, wanted, found, strict=True):
        torch.testing.assert_close(b.double().cpu(), a, msg=name, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("path", ["numba", "triton"])
def test_moments_survive_an_offset(path, request):
    device = request.getfixturevalue("triton_device") if path == "triton" else "cpu"
    own, other, index, weight, largest = case(4, 100, 10, 8, 8)
    inputs = (0.1 * own + 20, 0.1 * other, index, weight, largest)
    wanted = values_and_gradients(edge_layer_reference, *inputs)
    found = values_and_gradients(edge_layer, *inputs, dtype=torch.float32, device=device)
    for name, a, b in zip(NAMES, wanted, found, strict=True):
        torch.testing.assert_close(b.double(), a, rtol=1e-3, atol=2e-4, msg=name)


@pytest.mark.parametrize("path", ["numba", "triton"])
def test_of_equal_neighbours_the_first_takes_the_gradient(path, request):
    device = request.getfixturevalue("triton_device") if path == "triton" else "cpu"
    own = torch.zeros(1, 3, 2)
    other = torch.ones(1, 3, 2, requires_grad=True)
    index = torch.tensor([[[2, 0, 1], [1, 0, 2], [1, 2, 0]]])
    weight, largest = torch.ones(4, 2), torch.tensor([True, False, True, False])
    inputs = (x.to(device) for x in (own, other, index, weight, largest))
    extreme, _, covariance = (x.cpu() for x in edge_layer(*inputs, SLOPE))
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


@pytest.mark.parametrize("path", ["numba", "triton"])
def test_inputs_in_any_layout_are_left_as_they_are(path, request):
    device = request.getfixturevalue("triton_device") if path == "triton" else "cpu"
    own, other, index, weight, largest = case(2, 9, 4, 3, 5)
    own, other, weight = (x.float().to(device) for x in (own, other, weight))
    index, largest = index.to(device), largest.to(device)
    strided = [x.transpose(0, 1).contiguous().transpose(0, 1) for x in (own, other, index, weight)]
    copies = [x.clone() for x in strided]
    wanted = edge_layer(own, other, index, weight, largest, SLOPE)
    found = edge_layer(*strided, largest, SLOPE)
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(strided, copies, strict=True))


@pytest.mark.parametrize("path", ["numba", "triton"])
def test_not_a_number_is_not_hidden(path, request):
    device = request.getfixturevalue("triton_device") if path == "triton" else "cpu"
    own, other, index, weight, largest = case(2, 9, 4, 3, 5)
    other[1, 2, 0] = np.nan
    index[1, 4, 3] = 2
    inputs = (x.to(device) for x in (own.float(), other.float(), index, weight.float(), largest))
    extreme, mean, covariance = edge_layer(*inputs, SLOPE)
    assert extreme[1, 4].isnan().all()
    assert not extreme[0].isnan().any()
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
