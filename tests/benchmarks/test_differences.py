"""Students that take back one difference from their paper each, and balls that are full."""

import pytest
import torch

from benchmarks.differences import balls
from benchmarks.differences.variants import (
    LearningSuppression,
    SquaredPenalty,
    UnorderedBalls,
    UnorderedGroups,
    WithoutClass,
    WithoutDropout,
    group_in_any_order,
)
from pointmcd.data.store import Store
from pointmcd.ops.ball_query import ball_group
from pointmcd.students.curvenet import CurveNet
from pointmcd.students.pointnet import PointNet, PointNetParts
from pointmcd.students.pointnet2 import PointNet2, PointNet2Parts


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


def transformed(student):
    """Output of PointNet whose feature transform is twice the identity."""
    torch.manual_seed(0)
    made = student().eval()
    made.feature_transform.matrix.bias.data.mul_(2)
    return made(torch.rand(2, 96, 3, generator=torch.Generator().manual_seed(1)))


def test_the_penalty_is_squared():
    plain, squared = map(transformed, (PointNet, SquaredPenalty))
    torch.testing.assert_close(squared.penalty, plain.penalty**2)  # alike for both shapes
    torch.testing.assert_close(squared.embeddings, plain.embeddings)
    torch.testing.assert_close(transformed(PointNet).penalty, plain.penalty)  # it is put back


def part_logits(student, label):
    """Logits of the parts of a cloud of one of two classes, by an untrained student."""
    torch.manual_seed(0)
    made = student()
    head = made.part_head(2, 5).eval()
    points = torch.rand(2, 96, 3, generator=torch.Generator().manual_seed(1))
    return head(points, made.eval()(points), torch.eye(2)[[label, label]])


def test_the_class_is_not_read():
    assert not torch.allclose(*(part_logits(PointNet2Parts, label) for label in (0, 1)))
    torch.testing.assert_close(*(part_logits(WithoutClass, label) for label in (0, 1)))


def test_nothing_is_dropped():
    def dropout(student):
        head = student().part_head(2, 5)
        return [part.p for part in head.modules() if isinstance(part, torch.nn.Dropout) and part.p]

    assert dropout(PointNetParts) == [0.2, 0.2]
    assert dropout(WithoutDropout) == []


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
