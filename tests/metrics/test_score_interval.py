"""Intervals of accuracies and mean scores on few shapes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pointmcd.metrics.statistics import class_interval, score_interval


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_of_right_and_wrong_it_is_wilsons(counts):
    right, count = counts
    scores = np.repeat([1.0, 0.0], [right, count - right])
    wanted = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert score_interval(scores) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_it_holds_the_mean_and_is_never_empty(scores):
    low, high = score_interval(np.array(scores))
    assert 0 <= low < high <= 1
    assert low - 1e-9 <= np.mean(scores) <= high + 1e-9


def test_all_right_on_few_shapes_is_not_certain():
    assert score_interval(np.array([0.5, np.nan, 1])) == score_interval(np.array([0.5, 1]))
    assert score_interval(np.ones(10))[0] == pytest.approx(0.722, abs=1e-3)


@given(
    st.lists(
        st.tuples(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0])), st.integers(0, 3)),
        min_size=1,
        max_size=40,
    )
)
def test_of_the_mean_over_classes(rows):
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    mean = np.mean([scores[labels == label].mean() for label in np.unique(labels)])
    low, high = class_interval(scores, labels)
    assert 0 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= 1
    assert high - low > 0.01
    unlabelled = np.append(scores, np.nan), np.append(labels, 7)
    assert class_interval(*unlabelled) == (low, high)


def test_of_one_class_is_that_of_its_mean():
    scores = np.array([1.0, 0, 1, 1, 0.5])
    assert class_interval(scores, np.zeros(5, int)) == pytest.approx(score_interval(scores))


def test_of_classes_covers_the_true_mean_in_95_of_100_samples():
    """Three classes of 4, 10 and 40 shapes, right in 90, 60 and 20% of the cases."""
    generator, counts, truth = np.random.default_rng(0), [4, 10, 40], np.array([0.9, 0.6, 0.2])
    labels, covered = np.repeat([0, 1, 2], counts), 0
    for _ in range(1000):
        scores = (generator.random(54) < truth[labels]).astype(float)
        low, high = class_interval(scores, labels)
        covered += low <= truth.mean() <= high
    assert 930 <= covered <= 985
