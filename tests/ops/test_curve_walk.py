import pytest
import torch

from pointmcd.ops import curve_walk
from pointmcd.ops.curve_walk import crossover_factor, walk
from pointmcd.ops.neighbours import gather_rows

#: Points on a line, their places as features; each knows the one before and the one after.
LINE = torch.arange(7.0)[None, :, None]
BESIDE = torch.tensor([[[1, 1], [0, 2], [1, 3], [2, 4], [3, 5], [4, 6], [5, 5]]])


def halves(points, descriptor):
    return points.new_full((*points.shape[:2], 2), 0.5)


def preferring(table):
    """A score that looks at a candidate's place alone."""
    values = torch.tensor(table)
    return lambda candidates, descriptor: values[candidates.squeeze(3).long()]


def path(score, start, length, sampled=False):
    return walk(LINE, BESIDE, torch.tensor([start]), length, score, halves, sampled).path.tolist()


def test_a_walk_goes_where_the_scores_rise():
    rising = preferring([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    assert path(rising, [1, 3], 4) == [[[1, 2, 3, 4], [3, 4, 5, 6]]]


def test_a_curve_does_not_turn_back(monkeypatch):
    bait = preferring([1.0, 3.0, 9.0, 2.0, 1.0, 1.0, 1.0])
    assert path(bait, [1], 5) == [[[1, 2, 3, 4, 5]]]
    monkeypatch.setattr(curve_walk, "crossover_factor", lambda *_: 1.0)
    assert path(bait, [1], 5) == [[[1, 2, 1, 2, 1]]]


def test_a_curve_of_one_point_is_its_start():
    assert path(preferring([0.0] * 7), [4], 1) == [[[4]]]


def test_the_descriptor_is_a_running_mix_of_the_points_before():
    seen = []

    def score(candidates, descriptor):
        seen.append(descriptor.item())
        return candidates.squeeze(3)

    def quarter(points, descriptor):
        return torch.tensor([0.25, 0.75]).expand(*points.shape[:2], 2)

    walk(LINE, BESIDE, torch.tensor([[2]]), 5, score, quarter, sampled=False)
    assert seen == [2, 2, 0.25 * 3 + 0.75 * 2, 0.25 * 4 + 0.75 * 2.25]


def random_walk(sampled, seed=0, length=6):
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(2, 30, 4, generator=generator, dtype=torch.float64).requires_grad_()
    neighbours = torch.rand(2, 30, 30, generator=generator).topk(5).indices
    start = torch.arange(8).expand(2, -1)
    weight = torch.ones(4, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(seed)
    score = lambda candidates, descriptor: candidates @ weight + descriptor.sum(2)[:, :, None]  # noqa: E731
    curves = walk(features, neighbours, start, length, score, halves, sampled)
    return features, neighbours, weight, curves


@pytest.mark.parametrize("sampled", [True, False])
def test_curves_are_connected_and_carry_the_features_of_their_points(sampled):
    features, neighbours, _, curves = random_walk(sampled)
    assert curves.path.shape == (2, 8, 6)
    for here, there in zip(curves.path.unbind(2), curves.path[:, :, 1:].unbind(2), strict=False):
        assert (gather_rows(neighbours, here) == there[:, :, None]).any(dim=2).all()
    torch.testing.assert_close(curves.features, gather_rows(features, curves.path))


def test_sampling_follows_the_seed_and_the_scores_learn():
    _, _, weight, first = random_walk(sampled=True)
    assert torch.equal(first.path, random_walk(sampled=True)[3].path)
    assert not torch.equal(first.path, random_walk(sampled=True, seed=1)[3].path)
    first.features.square().sum().backward()
    assert weight.grad.isfinite().all()
    assert (weight.grad != 0).all()


def test_one_step_gives_the_gradient_of_the_softmax():
    """Straight through: the value is the chosen point's, the gradient that of the soft choice."""
    _, _, weight, curves = random_walk(sampled=True, length=2)
    target = torch.randn(2, 8, 4, dtype=torch.float64)
    (curves.features[:, :, 1] * target).sum().backward()
    features, neighbours, soft_weight, _ = random_walk(sampled=False, length=2)
    start = torch.arange(8).expand(2, -1)
    candidates = gather_rows(features, gather_rows(neighbours, start)).detach()
    descriptor = gather_rows(features, start).detach()
    torch.manual_seed(0)
    scores = candidates @ soft_weight + descriptor.sum(2)[:, :, None]
    soft = torch.nn.functional.gumbel_softmax(scores, dim=2)
    ((soft[:, :, :, None] * candidates).sum(2) * target).sum().backward()
    torch.testing.assert_close(weight.grad, soft_weight.grad)


def test_crossover_factor():
    current = torch.tensor([[[1.0, 0.0]]])
    candidates = torch.tensor([[[[2.0, 0.0], [1.0, 5.0], [0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]]])
    factor = crossover_factor(current, torch.zeros(1, 1, 2), candidates).flatten()
    torch.testing.assert_close(factor, torch.tensor([1.0, 1.0, 0.0, 1 - 0.5**0.5, 1.0]))
    first_step = crossover_factor(current, current, candidates)
    assert (first_step == 1).all()


def test_rows_come_from_each_clouds_own_table():
    values = torch.arange(12.0).view(2, 3, 2)
    index = torch.tensor([[[2, 0]], [[1, 1]]])
    assert gather_rows(values, index).tolist() == [[[[4, 5], [0, 1]]], [[[8, 9], [8, 9]]]]
