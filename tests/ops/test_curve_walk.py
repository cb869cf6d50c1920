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


def path(score, start, length, training=False):
    return walk(LINE, BESIDE, torch.tensor([start]), length, score, halves, training).path.tolist()


@pytest.mark.parametrize("training", [True, False])
def test_a_walk_goes_where_the_scores_rise_and_leaves_its_start(training):
    rising = preferring([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    assert path(rising, [1, 2], 4, training) == [[[2, 3, 4, 5], [3, 4, 5, 6]]]


def test_a_curve_does_not_turn_back(monkeypatch):
    bait = preferring([1.0, 3.0, 9.0, 2.0, 1.0, 1.0, 1.0])
    assert path(bait, [1], 4) == [[[2, 3, 4, 5]]]
    monkeypatch.setattr(curve_walk, "crossover_factor", lambda *_: 1.0)
    assert path(bait, [1], 4) == [[[2, 1, 2, 1]]]


def test_of_equal_scores_the_first_neighbour_is_taken():
    assert path(preferring([0.0] * 7), [4], 1) == [[[3]]]


def test_the_descriptor_is_a_running_mix_of_the_points_so_far():
    seen = []

    def score(candidates, descriptor):
        seen.append(descriptor.item())
        return candidates.squeeze(3)

    def quarter(points, descriptor):
        return torch.tensor([0.25, 0.75]).expand(*points.shape[:2], 2)

    walk(LINE, BESIDE, torch.tensor([[2]]), 4, score, quarter, training=False)
    second = 0.25 * 3 + 0.75 * 2
    third = 0.25 * 4 + 0.75 * second
    assert seen == [2, second, third, 0.25 * 5 + 0.75 * third]


def random_walk(training, length=6):
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(2, 30, 4, generator=generator, dtype=torch.float64).requires_grad_()
    neighbours = torch.rand(2, 30, 30, generator=generator).topk(5).indices
    start = torch.arange(8).expand(2, -1)
    weight = torch.ones(4, dtype=torch.float64, requires_grad=True)
    score = lambda candidates, descriptor: candidates @ weight + descriptor.sum(2)[:, :, None]  # noqa: E731
    curves = walk(features, neighbours, start, length, score, halves, training)
    return features, neighbours, weight, curves


@pytest.mark.parametrize("training", [True, False])
def test_curves_are_connected_and_carry_the_features_of_their_points(training):
    features, neighbours, _, curves = random_walk(training)
    assert curves.path.shape == (2, 8, 6)
    begun = (neighbours[:, :8] == curves.path[:, :, :1]).any(dim=2)
    assert begun.all()
    for here, there in zip(curves.path.unbind(2), curves.path[:, :, 1:].unbind(2), strict=False):
        assert (gather_rows(neighbours, here) == there[:, :, None]).any(dim=2).all()
    torch.testing.assert_close(curves.features, gather_rows(features, curves.path))


def test_training_draws_nothing_takes_the_points_of_evaluation_and_the_scores_learn():
    state = torch.get_rng_state()
    _, _, weight, first = random_walk(training=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.path, random_walk(training=False)[3].path)
    first.features.square().sum().backward()
    assert weight.grad.isfinite().all()
    assert (weight.grad != 0).all()


def test_one_step_gives_the_gradient_of_the_softmax():
    """Straight through: the value is the chosen point's, the gradient that of the soft choice."""
    _, _, weight, curves = random_walk(training=True, length=1)
    target = torch.randn(2, 8, 4, dtype=torch.float64)
    (curves.features[:, :, 0] * target).sum().backward()
    features, neighbours, soft_weight, _ = random_walk(training=False, length=1)
    start = torch.arange(8).expand(2, -1)
    candidates = gather_rows(features, gather_rows(neighbours, start)).detach()
    descriptor = gather_rows(features, start).detach()
    scores = candidates @ soft_weight + descriptor.sum(2)[:, :, None]
    soft = scores.softmax(dim=2)
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
