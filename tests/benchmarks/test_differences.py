"""Students that take back one difference from their paper each, and balls that are full."""

import pytest
import torch

from benchmarks.differences import balls
from benchmarks.differences.variants import (
    LearningSuppression,
    UnorderedBalls,
    UnorderedGroups,
    group_in_any_order,
)
from pointmcd.data.store import Store
from pointmcd.ops.ball_query import ball_group
from pointmcd.students.curvenet import CurveNet
from pointmcd.students.pointnet2 import PointNet2


def values_and_gradients(student):
    """Embeddings of a fixed cloud by an untrained student, and the gradients of its weights."""
    torch.manual_seed(0)
    made = student().train()
    points = torch.rand(2, 96, 3, generator=torch.Generator().manual_seed(1)) / 5  # full balls
    embeddings = made(points).embeddings
    embeddings.square().mean().backward()
    return embeddings.detach(), {name: p.grad for name, p in made.named_parameters()}


@pytest.fixture(scope="module")
def ours():
    return values_and_gradients(CurveNet)


def test_suppression_learns_at_the_same_values(ours):
    values, gradients = values_and_gradients(LearningSuppression)
    torch.testing.assert_close(values, ours[0])
    assert any(not torch.allclose(gradients[name], grad) for name, grad in ours[1].items())


def test_balls_in_another_order_pool_other_points(ours):
    assert not torch.allclose(values_and_gradients(UnorderedBalls)[0], ours[0])
    torch.testing.assert_close(values_and_gradients(CurveNet)[0], ours[0])  # it is put back
    plain, unordered = (values_and_gradients(one)[0] for one in (PointNet2, UnorderedGroups))
    assert not torch.allclose(plain, unordered)


def test_an_arbitrary_order_loses_no_point():
    points = torch.rand(2, 96, 3, generator=torch.Generator().manual_seed(1))
    members = group_in_any_order(points[:, :7], points, 0.3, 96).sort(dim=2).values
    wanted = ball_group(points[:, :7], points, 0.3, 96).sort(dim=2).values
    for one, two in zip(members.flatten(0, 1), wanted.flatten(0, 1), strict=True):
        assert one.unique().equal(two.unique())  # where a ball is not full, all are taken


def test_full_balls_are_counted(tiny_store):
    rows = [*balls.counted(Store(tiny_store), "pointnet2", 64)]
    assert [row[2:4] for row in rows] == [["0.2", 32], ["0.4", 64]]
    assert rows[1][4] == "0.0%"  # of 64 points
