import io

import pytest
import torch
from torch import nn

from pointmcd.distill.distillation import visible_embeddings
from pointmcd.errors import ConfigError
from pointmcd.ops.neighbours import nearest_neighbours
from pointmcd.students.base import PointFeatures
from pointmcd.students.dgcnn import EdgeConv
from pointmcd.students.registry import create_student, list_students, register_student

STUDENTS = list_students()


def cloud(batch=2, count=48, seed=0):
    points = torch.randn(batch, count, 3, generator=torch.Generator().manual_seed(seed))
    return points / points.norm(dim=2).amax(dim=1)[:, None, None]


def settled(name):
    """A student whose batch-norm statistics and layers are no longer at their start."""
    torch.manual_seed(0)
    student = create_student(name)
    for module in student.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.weight)
    student.train()
    for seed in range(3):
        student(cloud(seed=seed))
    return student.eval()


@pytest.mark.parametrize("name", STUDENTS)
@pytest.mark.parametrize("count", [1, 2, 17, 4096])
def test_any_number_of_points_and_a_batch_of_one(name, count):
    student = create_student(name).eval()
    with torch.inference_mode():
        features = student(cloud(1, count))
    embeddings = features.embeddings
    assert embeddings.shape[0] == 1
    assert embeddings.shape[2] == student.num_features
    assert embeddings.isfinite().all()
    assert features.index is not None or embeddings.shape[1] == count


@pytest.mark.parametrize("name", STUDENTS)
def test_gradients_reach_every_parameter(name):
    student = create_student(name).train()
    features = student(cloud(4))
    loss = features.embeddings.square().mean()
    if features.penalty is not None:
        loss = loss + features.penalty
    loss.backward()
    assert [n for n, p in student.named_parameters() if p.grad is None] == []
    assert all(p.grad.isfinite().all() for p in student.parameters())


@pytest.mark.parametrize("name", STUDENTS)
def test_permuting_points_permutes_embeddings(name):
    student, points = settled(name), cloud()
    order = torch.randperm(points.shape[1])
    with torch.inference_mode():
        first, second = student(points).embeddings, student(points[:, order]).embeddings
    torch.testing.assert_close(second, first[:, order], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", STUDENTS)
def test_shapes_of_a_batch_do_not_touch_each_other(name):
    student, points = settled(name), cloud()
    with torch.inference_mode():
        together, alone = student(points).embeddings, student(points[:1]).embeddings
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", STUDENTS)
def test_saved_and_loaded_it_is_the_same(name):
    student, points = settled(name), cloud()
    file = io.BytesIO()
    torch.save(student.state_dict(), file)
    file.seek(0)
    other = create_student(name).eval()
    other.load_state_dict(torch.load(file, weights_only=True))
    with torch.inference_mode():
        assert torch.equal(student(points).embeddings, other(points).embeddings)


def test_unknown_student_names_the_known_ones():
    with pytest.raises(ConfigError, match="dgcnn, pointnet"):
        create_student("pointnett")


def test_a_name_cannot_be_taken_twice():
    with pytest.raises(ConfigError, match="taken"):
        register_student("pointnet")(lambda: nn.Identity())


class Own(nn.Module):
    num_features = 4

    def forward(self, points):
        return PointFeatures(points.repeat(1, 1, 2)[:, ::2, :4], torch.arange(0, 4, 2)[None])


def test_a_users_own_student_by_import_path():
    student = create_student(f"{__name__}:Own")
    features = student(torch.randn(1, 4, 3))
    visibility = torch.tensor([[[True], [False], [False], [True]]])
    assert visible_embeddings(features, visibility).flatten().tolist() == [True, False]


def test_a_student_without_num_features_is_refused():
    with pytest.raises(ConfigError, match="num_features"):
        create_student("torch.nn:Identity")


def published_edge_conv(layer, points, index):
    """W [x_j - x_i, x_i] per edge, batch norm over all edges, LeakyReLU, max: as published."""
    batch, count, k = index.shape
    rows = points[torch.arange(batch)[:, None], index.flatten(1)].view(batch, count, k, -1)
    own = points[:, :, None].expand_as(rows)
    edges = layer.linear(torch.cat([rows - own, own], dim=3))
    normed = layer.norm(edges.flatten(0, 2)).view_as(edges)
    return nn.functional.leaky_relu(normed, 0.2).max(dim=2).values


@pytest.mark.parametrize("training", [True, False])
def test_edge_convolution_equals_the_published_form(training):
    torch.manual_seed(0)
    layer = EdgeConv(5, 7, k=4).double()
    with torch.no_grad():
        layer.norm.weight.normal_()  # negative ones take the other extreme
        layer.norm.bias.normal_()
        layer.norm.running_mean.normal_()
    layer.train(training)
    points = torch.randn(3, 15, 5, dtype=torch.float64) + 2
    start = {k: v.clone() for k, v in layer.state_dict().items()}
    weights = torch.randn(3, 15, 7, dtype=torch.float64)
    results = []
    for function in (
        lambda x: published_edge_conv(layer, x, nearest_neighbours(x.detach(), 4)),
        layer,
    ):
        layer.load_state_dict(start)
        layer.zero_grad()
        leaf = points.clone().requires_grad_()
        value = function(leaf)
        (value * weights).sum().backward()
        grads = [p.grad.clone() for p in layer.parameters()]
        buffers = [b.clone() for b in layer.buffers()]
        results.append([value.detach(), leaf.grad, *grads, *buffers])
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted)


def test_pointnet_starts_with_identity_transforms():
    student = create_student("pointnet").eval()
    matrix = student.input_transform(cloud())
    torch.testing.assert_close(matrix, torch.eye(3).expand(2, 3, 3))
