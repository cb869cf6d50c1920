import numpy as np
import pytest
from scipy.stats import norm

from pointmcd.metrics.statistics import (
    Spread,
    bootstrap_difference,
    bootstrap_pooled_difference,
    majority_vote,
    mcnemar,
    score_interval,
    signed_rank,
)


def right(*shares: tuple[bool, int]) -> np.ndarray:
    return np.concatenate([np.full(count, value) for value, count in shares])


def test_mcnemar_of_a_worked_example() -> None:
    # 9 shapes only the first got right, 1 only the second, 40 both:
    # p = 2 (C(10,0) + C(10,1)) / 2^10 = 22 / 1024
    first = right((True, 9), (False, 1), (True, 40))
    second = right((False, 9), (True, 1), (True, 40))
    found = mcnemar(first, second)
    assert (found.gained, found.lost) == (9, 1)
    assert found.p == pytest.approx(22 / 1024)


def test_mcnemar_without_discordant_shapes() -> None:
    same = right((True, 3), (False, 2))
    assert mcnemar(same, same).p == 1.0


def test_signed_rank_of_a_worked_example() -> None:
    # Differences 1, 2, 3, 4 and -5 tenths: the negative ranks add up to 5. Of the 2^5 signings,
    # ten have a sum of 5 or less: {}, 1, 2, 3, 1+2, 4, 1+3, 5, 1+4, 2+3. p = 2 * 10 / 32.
    first = np.array([0.1, 0.2, 0.3, 0.4, 0.0])
    second = np.array([0.0, 0.0, 0.0, 0.0, 0.5])
    found = signed_rank(first, second)
    assert (found.gained, found.lost) == (4, 1)
    assert found.p == pytest.approx(20 / 32)
    back = signed_rank(second, first)
    assert (back.gained, back.lost, back.p) == (1, 4, pytest.approx(20 / 32))


def test_signed_rank_leaves_out_shapes_without_a_difference() -> None:
    # Five shapes gain: only the signing without a minus is as uneven, p = 2 / 2^5.
    change = np.concatenate([[0.1, 0.2, 0.3, 0.4, 0.5], np.zeros(95)])
    found = signed_rank(0.4 + change, np.full(100, 0.4))
    assert (found.gained, found.lost) == (5, 0)
    assert found.p == pytest.approx(2 / 32)


@pytest.mark.parametrize("count", [0, 1, 100])
def test_signed_rank_without_differences(count: int) -> None:
    same = np.linspace(0, 1, count)
    # The mean of the same scores in another order, off by rounding alone.
    found = signed_rank(same, same + 1e-16)
    assert (found.gained, found.lost, found.p) == (0, 0, 1.0)


def test_signed_rank_of_many_ties() -> None:
    # 60 equal gains and 40 equal losses: all share the rank 50.5, the sum of squares of the ranks
    # is 100 * 50.5^2, so z = (60 - 40) * 50.5 / (50.5 * 10) = 2.
    change = np.repeat([0.25, -0.25], [60, 40])
    assert signed_rank(change, np.zeros(100)).p == pytest.approx(2 * norm.sf(2))


def test_interval_of_fractions_is_that_of_the_paired_differences() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.beta(8, 2, (1, 400)), generator.beta(7, 3, (1, 400))
    found = bootstrap_difference(first, second, [0], [0])
    change = first[0] - second[0]
    half = norm.ppf(0.975) * change.std() / 20
    assert found.mean == pytest.approx(change.mean())
    assert found.low == pytest.approx(change.mean() - half, abs=0.003)
    assert found.high == pytest.approx(change.mean() + half, abs=0.003)


def test_spread_needs_two_seeds() -> None:
    assert Spread.of([0.5]) == Spread(0.5, None)
    assert Spread.of([0.5, 0.7]).std == pytest.approx(0.02**0.5)


def test_vote_follows_the_majority_and_then_the_probability() -> None:
    predictions = np.array([[0, 0], [0, 1], [1, 2]])
    probabilities = np.full((3, 2, 3), 0.1, dtype=np.float32)
    probabilities[2, 0] = [0, 1, 0]  # sure, but outvoted
    probabilities[1, 1] = [0.1, 0.8, 0.1]  # surest of three that differ
    assert majority_vote(predictions, probabilities).tolist() == [0, 1]


def test_interval_with_one_seed_matches_the_paired_normal_interval() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.random((2, 1, 400)) < np.array([0.8, 0.6])[:, None, None]
    found = bootstrap_difference(first, second, [0], [0])
    change = first[0].astype(float) - second[0]
    half = norm.ppf(0.975) * change.std() / 20
    assert found.mean == pytest.approx(change.mean())
    assert found.low == pytest.approx(change.mean() - half, abs=0.005)
    assert found.high == pytest.approx(change.mean() + half, abs=0.005)


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]])
def test_no_interval_is_empty(seeds: list[int]) -> None:
    # Equal predictions on 8 shapes do not prove that the models are equal on all others.
    same = np.tile(np.array([True, False] * 4), (len(seeds), 1))
    found = bootstrap_difference(same, same, seeds, seeds)
    _, unseen = score_interval(np.zeros(8))
    assert (found.mean, found.low, found.high) == (0.0, -unseen, unseen)
    every, none = np.ones((len(seeds), 8), dtype=bool), np.zeros((len(seeds), 8), dtype=bool)
    far = bootstrap_difference(every, none, seeds, seeds)
    assert (far.mean, far.low, far.high) == (1.0, 1.0 - unseen, 1.0)


def test_pairing_by_seed_takes_out_what_seeds_share() -> None:
    # Seeds differ much from each other, the sides by exactly one shape in ten within each seed.
    base = np.zeros((4, 100), dtype=bool)
    for seed, count in enumerate((20, 40, 60, 80)):
        base[seed, :count] = True
    better = base.copy()
    better[:, 90:] = True
    paired = bootstrap_difference(better, base, range(4), range(4))
    apart = bootstrap_difference(better, base, range(4), range(4, 8))
    assert paired.mean == apart.mean == pytest.approx(0.1)
    assert apart.high - apart.low > 2 * (paired.high - paired.low)


@pytest.mark.parametrize("other_seeds", [[0, 1, 2], [3, 4, 5]])
def test_exchanging_sides_changes_the_sign_only(other_seeds: list[int]) -> None:
    first, second = np.random.default_rng(1).random((2, 3, 50)) < 0.6
    one = bootstrap_difference(first, second, [0, 1, 2], other_seeds)
    two = bootstrap_difference(second, first, other_seeds, [0, 1, 2])
    assert two.mean == pytest.approx(-one.mean)
    assert (two.low, two.high) == (pytest.approx(-one.high), pytest.approx(-one.low))


@pytest.mark.parametrize("other_seeds", [[0, 1, 2], [3, 4]])
def test_pooled_counts_of_one_each_are_mean_scores(other_seeds: list[int]) -> None:
    generator = np.random.default_rng(1)
    first = generator.random((3, 40)) < 0.6
    second = generator.random((len(other_seeds), 40)) < 0.5
    seeds = ([0, 1, 2], other_seeds)
    counts = [np.stack([side, np.ones(side.shape)], axis=2) for side in (first, second)]
    found = bootstrap_pooled_difference(*counts, *seeds, lambda sums: sums[..., 0] / sums[..., 1])
    mean = bootstrap_difference(first, second, *seeds)
    assert found.mean == pytest.approx(mean.mean)
    assert (found.low, found.high) == pytest.approx((mean.low, mean.high), abs=0.02)


@pytest.mark.parametrize("pooled", [False, True])
def test_no_number_depends_on_how_many_resamples_are_drawn_at_a_time(pooled, monkeypatch) -> None:
    """So that of many shapes fewer may be, and memory stays bounded."""
    first, second = np.random.default_rng(1).random((2, 3, 50)) < 0.6

    def interval():
        if pooled:
            counts = [np.stack([side, np.ones(side.shape)], axis=2) for side in (first, second)]
            seeds = ([0, 1, 2], [3, 4, 5])
            return bootstrap_pooled_difference(*counts, *seeds, lambda s: s[..., 0] / s[..., 1])
        return bootstrap_difference(first, second, [0, 1, 2], [0, 1, 2])

    wanted = interval()
    monkeypatch.setattr("pointmcd.metrics.statistics._CHUNK_VALUES", 777)
    assert interval() == wanted


def test_pooled_metric_is_of_all_shapes_weighed() -> None:
    # The first is right on one shape of many points; the mean over shapes would be 1/2 as well.
    right, points = np.array([[90, 0]]), np.array([[90, 10]])
    first, second = (np.stack([hits, points], axis=2) for hits in (right, points - right))
    found = bootstrap_pooled_difference(first, second, [0], [0], lambda s: s[..., 0] / s[..., 1])
    assert found.mean == pytest.approx(0.9 - 0.1)
    # The weight of one of two shapes is uniform in 0 to 1, w: 9 w / (9 w + 1 - w), twice, less 1.
    share = 9 * np.array([0.025, 0.975]) / (9 * np.array([0.025, 0.975]) + [0.975, 0.025])
    assert (found.low, found.high) == pytest.approx(tuple(2 * share - 1), abs=0.03)
