"""Spread over seeds, hierarchical bootstrap intervals, paired tests.

scipy.stats has the tests. Its `bootstrap` draws one level, shapes or seeds; ours draws both.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import binomtest, norm, wilcoxon

from pointmcd.typing import Array, Bools, Doubles, Floats, Indices, Integers

RESAMPLES = 10_000
_CONFIDENCE = 0.95
_RNG_SEED = 2024
#: Resamples drawn at a time, and numbers: bounds the memory at some tens of MB.
_CHUNK, _CHUNK_VALUES = 500, 1_250_000
#: Means of the same scores in another order differ by rounding, which is no difference.
_DECIMALS = 12


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (ddof 1) over seeds; no deviation with one seed."""

    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Return mean and standard deviation of one value per seed."""
        std = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(float(np.mean(values)), std)


@dataclass(frozen=True)
class PairedTest:
    """A test on shapes that one of two models does better on than the other.

    Attributes:
        gained: shapes that the first does better on.
        lost: shapes that the second does better on.
        p: two-sided probability of a result at least this uneven if both were equally good.
    """

    gained: int
    lost: int
    p: float


@dataclass(frozen=True)
class Interval:
    """A difference of two scores (fractions) and its 95% bootstrap interval."""

    mean: float
    low: float
    high: float


def score_interval(scores: Doubles) -> tuple[float, float]:
    """Return the 95% interval of the mean of scores [n] from 0 to 1, n at least 1.

    Wilson's (JASA 22, 1927), made for accuracies, and never empty. It is conservative for scores
    between 0 and 1, whose variance is smaller. Scores that are NaN do not count.
    """
    scores = scores[~np.isnan(scores)]  # of a shape without labelled points
    return mean_interval(float(np.mean(scores)), len(scores))


def mean_interval(mean: float, count: int) -> tuple[float, float]:
    """Return that interval from the mean and the number of the scores."""
    z = float(norm.ppf((1 + _CONFIDENCE) / 2))
    centre = (mean + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(mean * (1 - mean) / count + (z / (2 * count)) ** 2)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def class_interval(scores: Doubles, labels: Indices) -> tuple[float, float]:
    """Return the 95% interval of the mean over classes of mean scores [n], each class alike.

    Wilson's intervals of the classes, joined by the method of variance estimates recovery (Zou,
    Huang and Zhang, Computational Statistics & Data Analysis 53, 2009), so it is never empty
    either. Scores that are NaN, and classes without any other, do not count.
    """
    known = ~np.isnan(scores)
    of_classes = [scores[known & (labels == label)] for label in np.unique(labels[known])]
    means = np.array([each.mean() for each in of_classes])
    ends = np.array([mean_interval(each.mean(), len(each)) for each in of_classes])
    below, above = np.sqrt(((means[:, None] - ends) ** 2).sum(axis=0)) / len(means)
    return max(means.mean() - below, 0.0), min(means.mean() + above, 1.0)


def pooled_interval(counts: Integers, metric: Callable[[Doubles], Doubles]) -> tuple[float, float]:
    """Return the 95% interval of a metric of what is counted in all shapes, by the bootstrap.

    The Bayesian one (Rubin, Annals of Statistics 9, 1981): resamples weigh the shapes, so that a
    part which few shapes have is in all of them. Of a few shapes it is too narrow; where all have
    the same value, as of a perfect answer, it is Wilson's of that value.

    Args:
        counts: of each shape [n, ...], n at least 1.
        metric: of sums over shapes [..., *counts], a fraction [...] each.
    """
    shapes, draws = np.random.default_rng(_RNG_SEED), []
    side, number = counts.astype(np.float64)[None], len(counts)
    for size in _chunks(number):
        weights = _weighed_shapes(shapes, size, number)
        draws.append(_pooled_scores(side, np.ones((size, 1)), weights, metric))
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(draws), [tail, 1 - tail])
    if round(high - low, _DECIMALS) == 0:
        return mean_interval(float(metric(side[0].sum(axis=0))), number)
    return float(low), float(high)


def mcnemar(first: Bools, second: Bools) -> PairedTest:
    """Test whether two classifiers are right on the same share of shapes: exact McNemar test.

    Takes one prediction per shape and side: bool [n], right or wrong. Counts must not be pooled
    over seeds: the same shapes come back with every seed and an ambiguous one stays ambiguous, so
    the pooled discordant pairs are not independent, and p would come out far too small. Use one
    pair of seeds, or one vote over the seeds of each side.
    """
    gained, lost = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    p = float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0
    return PairedTest(gained, lost, p)


def signed_rank(first: Doubles, second: Doubles) -> PairedTest:
    """Test whether two models score alike on the same shapes: Wilcoxon's signed-rank test.

    Takes one score per shape and side, float64 [n]: of one pair of seeds, or averaged over the
    seeds of each side, for the reason given at `mcnemar`. Shapes without a difference are left out
    (Wilcoxon's own rule, `zero_method="wilcox"`); with no other, p is 1. Equal differences share
    their mean rank. p is exact up to 50 unequal differences, from the normal distribution above.
    """
    change = np.round(first - second, _DECIMALS)
    change = change[change != 0]
    p = float(wilcoxon(change, zero_method="wilcox").pvalue) if len(change) else 1.0
    return PairedTest(int(np.sum(change > 0)), int(np.sum(change < 0)), p)


def majority_vote(predictions: Indices, probabilities: Floats) -> Indices:
    """Return the class [n] that most seeds chose; ties go to the higher mean probability.

    Takes predicted classes [S, n] by seed and shape, and probabilities [S, n, K].
    """
    classes = np.arange(probabilities.shape[-1])
    votes = (predictions[..., None] == classes).sum(axis=0)
    # A mean probability is at most 1, so a tenth of it can only decide between equal counts.
    return np.asarray(np.argmax(votes + 0.1 * probabilities.mean(axis=0), axis=1))


def bootstrap_difference(
    first: Bools | Doubles,
    second: Bools | Doubles,
    first_seeds: Sequence[int],
    second_seeds: Sequence[int],
) -> Interval:
    """Return the difference in mean score, first minus second, with its bootstrap interval.

    Every resample draws test shapes (the same for both sides) and seeds, both with replacement,
    and takes the difference of the mean scores; the interval is the middle 95% of them. Where
    both sides have the same seeds, they also draw the same seeds: the difference is paired by
    seed. With few seeds the spread between trainings is known poorly, and the interval is rather
    too narrow; with one seed it holds nothing of that spread. Where all shapes differ alike, as
    those of equal predictions do, no resample differs, and the interval is as wide as Wilson's of
    a share of 0.

    Args:
        first: bool or float64 [S1, n], score per seed and shape: right or wrong, or a fraction.
        second: the same of the other side [S2, n].
        first_seeds: the S1 seeds, in the order of the rows.
        second_seeds: the S2 seeds.
    """
    means = (float(first.mean()), float(second.mean()))
    sides = [side.astype(np.float64) for side in (first, second)]
    return _bootstrap(sides, (first_seeds, second_seeds), means, _mean_scores, _drawn_shapes)


def bootstrap_pooled_difference(
    first: Integers,
    second: Integers,
    first_seeds: Sequence[int],
    second_seeds: Sequence[int],
    metric: Callable[[Doubles], Doubles],
) -> Interval:
    """Return the same of a metric that is not a mean over shapes, but of what is counted in all.

    Resamples weigh the shapes, as those of `pooled_interval` do.

    Args:
        first: counts [S1, n, ...] per seed and shape.
        second: the same of the other side [S2, n, ...].
        first_seeds: the S1 seeds, in the order of the rows.
        second_seeds: the S2 seeds.
        metric: of sums over shapes [..., *counts], a fraction [...] each.
    """
    sides = [side.astype(np.float64) for side in (first, second)]
    one, two = (float(metric(side.sum(axis=1)).mean()) for side in sides)
    score = partial(_pooled_scores, metric=metric)
    return _bootstrap(sides, (first_seeds, second_seeds), (one, two), score, _weighed_shapes)


def _bootstrap(
    sides: Sequence[Doubles],
    seeds: Sequence[Sequence[int]],
    values: tuple[float, float],
    score: Callable[[Doubles, Doubles, Array], Doubles],
    draw: Callable[[np.random.Generator, int, int], Array],
) -> Interval:
    """The difference of two values and its interval.

    `draw` draws the shapes of resamples [b, n]; `score` takes the side [S, n, ...], weights of its
    seeds [b, S] and these shapes, and returns the values [b] of the resamples.
    """
    shapes, count = np.random.default_rng(_RNG_SEED), sides[0].shape[1]
    # The seeds themselves key the draws: equal seeds are drawn alike (paired), others apart, and
    # exchanging the sides exchanges the draws, so that the result only changes its sign.
    generators = [np.random.default_rng([_RNG_SEED, *map(abs, own)]) for own in seeds]
    draws = []
    for size in _chunks(count):
        drawn = draw(shapes, size, count)
        one, two = (
            score(side, _drawn_seeds(generator, len(side), size), drawn)
            for side, generator in zip(sides, generators, strict=True)
        )
        draws.append(one - two)
    tail, mean = (1 - _CONFIDENCE) / 2, values[0] - values[1]
    low, high = np.quantile(np.concatenate(draws), [tail, 1 - tail])
    if round(high - low, _DECIMALS) == 0:
        # Resamples of shapes that all differ alike know no other kind: as many could be 0 of n.
        _, unseen = mean_interval(0.0, count)
        low, high = max(mean - unseen, -1.0), min(mean + unseen, 1.0)
    return Interval(mean, float(low), float(high))


def _chunks(shapes: int) -> Iterator[int]:
    """Yield how many resamples of so many shapes are drawn at a time; no number depends on it."""
    size = max(1, min(_CHUNK, _CHUNK_VALUES // shapes))
    for start in range(0, RESAMPLES, size):
        yield min(size, RESAMPLES - start)


def _drawn_shapes(generator: np.random.Generator, size: int, shapes: int) -> Indices:
    """Shapes [size, shapes] drawn with replacement."""
    return generator.integers(0, shapes, (size, shapes))


def _weighed_shapes(generator: np.random.Generator, size: int, shapes: int) -> Doubles:
    """Weights [size, shapes], none of which is 0."""
    return generator.exponential(size=(size, shapes))


def _drawn_seeds(generator: np.random.Generator, seeds: int, size: int) -> Doubles:
    """Weights [size, seeds] of seeds drawn with replacement; each row sums to 1."""
    return generator.multinomial(seeds, np.full(seeds, 1 / seeds), size) / seeds


def _mean_scores(scores: Doubles, weights: Doubles, columns: Indices) -> Doubles:
    """Mean scores [b] of resamples, of scores [S, n]."""
    return np.asarray(np.take_along_axis(weights @ scores, columns, axis=1).mean(axis=1))


def _pooled_scores(
    counts: Doubles, weights: Doubles, shapes: Doubles, metric: Callable[[Doubles], Doubles]
) -> Doubles:
    """Mean over seeds [b] of the metric of the counts [S, n, ...] of shapes with weights [b, n]."""
    sums = np.stack([np.tensordot(shapes, of_seed, axes=1) for of_seed in counts], axis=1)
    return np.asarray((weights * metric(sums)).sum(axis=1))
