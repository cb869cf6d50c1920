import copy

import pytest
import torch
from torch import nn

from benchmarks.speed.published.edge_convolution import edge_convolution
from pointmcd.ops.nearest import nearest_neighbours
from pointmcd.students.dgcnn import (
    DGCNNSegmentation,
    EdgeConv,
    SpatialTransform,
    TwoLayerEdgeConv,
)

TOLERANCE = {torch.float64: {}, torch.float32: {"rtol": 1e-3, "atol": 1e-4}}


def layer(channels_in=5, channels=6, k=4, second=7, dtype=torch.float64):
    """With gammas of both signs and running statistics that are not at their start."""
    torch.manual_seed(0)
    return unsettled(TwoLayerEdgeConv(channels_in, channels, k, second)).to(dtype)


def unsettled(made):
    with torch.no_grad():
        for norm in (module for module in made.modules() if isinstance(module, nn.BatchNorm1d)):
            norm.weight.normal_()
            norm.bias.normal_()
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
    return made


def cloud(batch=3, count=15, channels=5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, count, channels, dtype=torch.float64, generator=generator)


def published(made, points, index):
    """Every edge made: [B, N, C_in] -> [B, N, C]."""
    return edge_convolution(points.transpose(1, 2), made, index).transpose(1, 2)


def outcome(function, made, points):
    """Values, all gradients and all buffers of one step, by name."""
    leaf = points.clone().requires_grad_()
    value = function(leaf)
    generator = torch.Generator().manual_seed(2)
    weights = torch.randn(value.shape, dtype=torch.float64, generator=generator).to(value)
    (value * weights).sum().backward()
    grads = {f"grad {name}": p.grad for name, p in made.named_parameters()}
    found = {"value": value.detach(), "points": leaf.grad, **grads, **dict(made.named_buffers())}
    return {name: result.cpu() for name, result in found.items()}


def assert_published(made, points, index, device="cpu"):
    """Our layer, in `points`' precision, does what the published one does in float64."""
    twin = copy.deepcopy(made).double()
    wanted = outcome(lambda x: published(twin, x, index), twin, points.double())
    made = made.to(device)
    found = outcome(lambda x: made(x.to(device)), made, points)
    assert wanted.keys() == found.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(
            found[name], value.to(found[name]), msg=name, **TOLERANCE[points.dtype]
        )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])  # plain and numba paths
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("count", "k", "offset"), [(15, 4, 0), (15, 4, 2), (15, 1, 0), (6, 40, 0), (90, 20, 2)]
)
def test_two_layers_equal_the_published_form(dtype, training, count, k, offset):
    made = layer(k=k, dtype=dtype).train(training)
    points = (cloud(count=count) + offset).to(dtype)
    assert_published(made, points, nearest_neighbours(points, k))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", [EdgeConv, TwoLayerEdgeConv])
@pytest.mark.parametrize(("count", "k", "offset"), [(15, 4, 2), (6, 40, 0), (1, 3, 0)])
def test_triton_equals_the_published_form(kind, training, count, k, offset, triton_device):
    torch.manual_seed(0)
    made = unsettled(kind(5, 6, k)).train(training)
    points = cloud(8, count).float() + offset  # of 3 clouds of a point, rounding decides
    assert_published(made, points, nearest_neighbours(points, k), triton_device)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_duplicated_points_change_no_value(dtype):
    # Tied edges are equal, so whichever is chosen, value and gradient of the copies' sum agree.
    made = layer(k=6, dtype=dtype).train()
    half = cloud(count=5).to(dtype)
    points = torch.cat([half, half], dim=1)
    index = nearest_neighbours(points, 6)
    twin = copy.deepcopy(made).double()
    wanted = outcome(lambda x: published(twin, x, index), twin, points.double())
    found = outcome(made, made, points)
    for result in (wanted, found):
        result["points"] = sum(result["points"].chunk(2, dim=1))
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value.to(found[name]), msg=name, **TOLERANCE[dtype])


def test_one_thread_and_two_train_alike_to_the_last_bit():
    made, points = layer(64, 64, 20, 128, torch.float32).train(), cloud(4, 64, 64).float()
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            twin = copy.deepcopy(made)
            results.append(outcome(twin, twin, points))
    finally:
        torch.set_num_threads(before)
    one, two = results
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


def test_autocast_does_not_lower_the_precision():
    made, points = layer(dtype=torch.float32).eval(), cloud().float()
    wanted = made(points)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(made(points.bfloat16().float()), made(points.bfloat16()))
        assert torch.equal(made(points), wanted)


def test_the_spatial_transform_starts_as_the_identity():
    matrix = SpatialTransform(k=4)(cloud(channels=3).float())
    torch.testing.assert_close(matrix, torch.eye(3).expand(3, 3, 3))


def test_segmentation_gives_both_kinds_of_features_and_gradients_to_all():
    student = DGCNNSegmentation(k=8).train()
    features = student(cloud(2, 30, 3).float())
    assert features.embeddings.shape == (2, 30, student.num_features)
    assert features.local.shape == (2, 30, student.num_local)
    (features.embeddings.amax(dim=1).sum() + features.local.square().sum()).backward()
    assert [n for n, p in student.named_parameters() if p.grad is None] == []
    assert all(p.grad.isfinite().all() for p in student.parameters())
