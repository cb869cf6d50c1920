"""Points [B, N, 3 + F]: every student reads extra channels, and by coordinates it goes."""

from functools import partial
from itertools import product

import pytest
import torch
from tiny_student import TinyStudent
from torch import nn

from pointmcd.errors import ConfigError
from pointmcd.students.check import check_student
from pointmcd.students.dgcnn import EdgeConv
from pointmcd.students.part_heads import PartHead
from pointmcd.students.registry import create_student, list_students
from pointmcd.tasks.segmentation import Segmenter

EVERY = pytest.mark.parametrize(("name", "dense"), list(product(list_students(), (False, True))))
RANGES = torch.tensor([[0, 2], [2, 5]]).numpy()


def cloud(extra, batch=2, count=48):
    generator = torch.Generator().manual_seed(extra)
    points = torch.randn(batch, count, 3, generator=generator)
    points = points / points.norm(dim=2).amax(dim=1)[:, None, None]
    return torch.cat([points, torch.rand(batch, count, extra, generator=generator)], dim=2)


@EVERY
def test_it_keeps_the_contract(name, dense):
    check_student(partial(create_student, name, dense, extra_channels=6), num_points=64)


@EVERY
def test_without_extra_channels_nothing_changes(name, dense):
    states = []
    for options in ({}, {"extra_channels": 0}):
        torch.manual_seed(0)
        states.append(create_student(name, dense, **options).state_dict())
    one, other = states
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert one.keys() == create_student(name, dense, extra_channels=3).state_dict().keys()


@EVERY
def test_extra_channels_that_weigh_nothing_change_nothing(name, dense):
    """Their own weights at 0, the same for all others: coordinates tell neighbours and groups."""
    torch.manual_seed(0)
    plain, more = create_student(name, dense), create_student(name, dense, extra_channels=6)
    state = more.state_dict()
    for key, value in plain.state_dict().items():
        wide = state[key].zero_()
        if wide.shape == value.shape:
            wide.copy_(value)
            continue
        assert key.endswith("linear.weight")
        # One block for each of what the layer joins: [x_j - x_i, x_i], or [p_i, p_j, p_j - p_i].
        blocks = max(value.shape[1] // 3, 1)
        for block in range(blocks):
            wide[:, 9 * block : 9 * block + 3] = value[:, 3 * block : 3 * block + 3]
    points = cloud(6)
    with torch.inference_mode():
        wanted = plain.eval()(points[:, :, :3].contiguous())
        found = more.eval()(points)
    torch.testing.assert_close(found.embeddings, wanted.embeddings, rtol=1e-4, atol=1e-5)
    if wanted.index is not None:
        assert torch.equal(found.index, wanted.index)


@EVERY
def test_extra_channels_count(name, dense):
    torch.manual_seed(0)
    student = create_student(name, dense, extra_channels=3).train()
    points = cloud(3).requires_grad_()
    first = student(points).embeddings
    first.square().mean().backward()
    assert (points.grad[:, :, 3:] != 0).any()
    with torch.no_grad():
        other = student(torch.cat([points[:, :, :3], 1 - points[:, :, 3:]], dim=2)).embeddings
    assert not torch.allclose(first, other)


def test_the_first_layers_are_as_wide_as_published():
    """PointNet++ with normals: 3 + 3 channels into the first MLP, and 3 + 3 beside the last one."""
    student = create_student("pointnet2", dense=True, extra_channels=3)
    assert student.first.groupings[0].first.linear.in_features == 6
    head = student.part_head(16, 50)
    assert isinstance(head, PartHead)
    assert head.local.in_features == student.num_local + 6
    assert create_student("pointnet", extra_channels=3).first[0].linear.in_features == 6
    assert create_student("pointnet", extra_channels=3).input_transform.channels == 3
    assert create_student("dgcnn", extra_channels=3).edges[0].linear.in_features == 12


def test_neighbours_in_the_first_channels():
    edge = EdgeConv(6, 8, 2).eval()
    points = torch.zeros(1, 4, 6)
    points[0, :, 0] = torch.tensor([0.0, 1.0, 5.0, 6.0])  # pairs by coordinates
    points[0, :, 3] = torch.tensor([0.0, 9.0, 0.0, 9.0])  # other pairs by what is behind
    pairs = torch.tensor([[[0, 1], [1, 0], [2, 3], [3, 2]]])
    torch.testing.assert_close(edge(points, by=3), edge.convolve(points, pairs))
    assert not torch.allclose(edge(points), edge(points, by=3))


@pytest.mark.parametrize("name", list_students())
def test_part_heads_take_the_same_points(name):
    student = create_student(name, dense=True, extra_channels=3)
    model = Segmenter(student, 2, RANGES).eval()
    with torch.inference_mode():
        assert model(cloud(3), torch.tensor([0, 1])).shape == (2, 48, 5)


def test_a_head_without_local_features_carries_by_coordinates():
    student = create_student("pointnet2", extra_channels=3).eval()
    model = Segmenter(student, 2, RANGES, published=False).eval()
    with torch.inference_mode():
        assert model(cloud(3, count=200), torch.tensor([0, 1])).isfinite().all()


class Wide(TinyStudent):
    def __init__(self, extra_channels=0):
        super().__init__()


class Any(nn.Module):
    num_features = 4

    def __init__(self, **options):
        super().__init__()
        self.extra_channels = options.get("extra_channels", 0)


def test_a_student_that_reads_coordinates_alone():
    with pytest.raises(
        ConfigError, match=r"TinyStudent: reads points \[B, N, 3\] alone; leave out"
    ):
        create_student("tiny_student:TinyStudent", extra_channels=3)
    with pytest.raises(ConfigError, match="must keep extra_channels as an attribute"):
        create_student(f"{__name__}:Wide", extra_channels=3)
    assert create_student(f"{__name__}:Any", extra_channels=3).extra_channels == 3
    assert create_student("tiny_student:TinyStudent").num_features
