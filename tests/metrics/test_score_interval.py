"""Intervals of accuracies and mean scores on few shapes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from pointmcd.metrics.statistics import score_interval


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
