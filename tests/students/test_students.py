from functools import partial
from itertools import product

import pytest
import torch
from torch import nn

from benchmarks.speed.published.edge_convolution import edge_convolution
from pointmcd.distill.projection import visible_embeddings
from pointmcd.errors import ConfigError
from pointmcd.plugs import Plugs
from pointmcd.students.base import PointFeatures
from pointmcd.students.check import check_student
from pointmcd.students.dgcnn import EdgeConv
from pointmcd.students.pointnet import orthogonality
from pointmcd.students.registry import (
    create_student,
    list_students,
    register_student,
    student_recipe,
)

STUDENTS = list_students()
EVERY = pytest.mark.parametrize(("name", "dense"), list(product(STUDENTS, (False, True))))


def cloud(batch=2, count=48, seed=0):
    points = torch.randn(batch, count, 3, generator=torch.Generator().manual_seed(seed))
    return points / points.norm(dim=2).amax(dim=1)[:, None, None]


def settled(name, dense):
    """A student whose batch-norm statistics and layers are no longer at their start."""
    torch.manual_seed(0)
    student = create_student(name, dense)
    for module in student.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.weight)
    student.train()
    for seed in range(3):
        student(cloud(seed=seed))
    return student.eval()


def tensors(features):
    """What a student gives, without what it has not."""
    return {k: v for k, v in vars(features).items() if v is not None}


def per_point(features, points):
    """Every per-point tensor [B, N, ...] that is in the order of the points."""
    found = {} if features.local is None else {"local": features.local}
    return found if features.index is not None else found | {"embeddings": features.embeddings}


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "pointnet",
        "pointnet2",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("dgcnn", "curvenet")),
    ],
)
def test_it_keeps_the_contract(name, dense):
    check_student(partial(create_student, name, dense))


@pytest.mark.parametrize("count", [1, 2, 17, 4096])
@EVERY
def test_any_number_of_points_and_a_batch_of_one(name, dense, count):
    student, points = create_student(name, dense).eval(), cloud(1, count)
    with torch.inference_mode():
        features = student(points)
    kept = count if features.index is None else features.index.shape[1]
    assert features.embeddings.shape == (1, kept, student.num_features)
    assert features.local is None or features.local.shape == (1, count, student.num_local)
    assert all(tensor.isfinite().all() for tensor in tensors(features).values())


@EVERY
def test_gradients_reach_every_parameter(name, dense):
    student = create_student(name, dense).train()
    features = student(cloud(4))
    loss = features.embeddings.square().mean()
    for more in (features.penalty, features.local):
        loss = loss if more is None else loss + more.square().mean()
    loss.backward()
    assert [n for n, p in student.named_parameters() if p.grad is None] == []
    assert all(p.grad.isfinite().all() for p in student.parameters())


@EVERY
def test_permuting_points_permutes_what_is_in_their_order_and_leaves_the_pooled(name, dense):
    student, points = settled(name, dense), cloud()
    order = torch.randperm(points.shape[1], generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        first, second = student(points), student(points[:, order])
    pooled = [features.embeddings.amax(dim=1) for features in (first, second)]
    torch.testing.assert_close(pooled[1], pooled[0], rtol=1e-4, atol=1e-4)
    moved = per_point(second, points)
    for key, tensor in per_point(first, points).items():
        torch.testing.assert_close(moved[key], tensor[:, order], rtol=1e-4, atol=1e-4)
    if first.index is not None:  # the same points are kept
        assert torch.equal(order[second.index].sort(dim=1)[0], first.index.sort(dim=1)[0])


class Tensors(nn.Module):
    """A student whose outputs are plain tensors: what an exported program returns."""

    def __init__(self, student):
        super().__init__()
        self.student = student

    def forward(self, points):
        features = self.student(points)
        every = (features.embeddings, features.index, features.local)
        return tuple(tensor for tensor in every if tensor is not None)


QUICKLY_EXPORTED = ("pointnet",)


@pytest.mark.parametrize(
    ("name", "dense"),
    [
        pytest.param(*case, marks=() if case[0] in QUICKLY_EXPORTED else pytest.mark.slow)
        for case in product(STUDENTS, (False, True))
    ],
)
def test_exported_it_gives_the_same(name, dense):
    """As a program of torch's own operations, without our kernels and autograd functions."""
    student = Tensors(settled(name, dense))
    with torch.no_grad():
        program = torch.export.export(student, (cloud(count=16),), strict=False).module()
        points = cloud(count=16, seed=9)
        for wanted, found in zip(student(points), program(points), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_unknown_student_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"did you mean pointnet.*dgcnn, pointnet"):
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
        lambda x: edge_convolution(x.transpose(1, 2), layer).transpose(1, 2),
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


def test_the_penalty_is_the_distance_from_orthogonality():
    quarter_turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    assert orthogonality(torch.stack([torch.eye(3), quarter_turn])) == 0
    # I - 2I 2I = -3I has norm 3 sqrt 3; the mean of 0 and that over two clouds.
    found = orthogonality(torch.stack([torch.eye(3), 2 * torch.eye(3)]))
    torch.testing.assert_close(found, torch.tensor(1.5 * 3**0.5))


def test_pointnet_starts_with_identity_transforms():
    student = create_student("pointnet").eval()
    matrix = student.input_transform(cloud())
    torch.testing.assert_close(matrix, torch.eye(3).expand(2, 3, 3))


def test_a_students_own_training_values_by_task():
    of_classes = {"epochs": 500, "batch_size": 64}
    assert student_recipe("pointnet") == {
        "classification": of_classes,
        "pretrain": of_classes,
        "segmentation": {"epochs": 200, "task_weight": 0.1, "label_smoothing": 0.05},
    }
    assert student_recipe("dgcnn") == {}


def test_a_dense_form_serves_dense_tasks_alone(monkeypatch):
    for kind in ("_STUDENTS", "_DENSE"):  # what is registered here is forgotten after
        plugs = Plugs("student", "pointmcd.students")
        monkeypatch.setattr(f"pointmcd.students.registry.{kind}", plugs)

    @register_student("two-forms")
    class Whole(Own):
        pass

    @register_student("two-forms", dense=True)
    class Dense(Own):
        pass

    assert type(create_student("two-forms")) is Whole
    assert type(create_student("two-forms", dense=True)) is Dense
    assert type(create_student(f"{__name__}:Own", dense=True)) is Own
    with pytest.raises(ConfigError, match="student two-forms: the name is taken"):
        register_student("two-forms", dense=True)(Own)
