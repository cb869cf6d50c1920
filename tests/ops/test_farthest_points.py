import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointmcd.ops.farthest_points import farthest_points


def naive(points, count):
    order, nearest = [0], np.full(len(points), np.inf, np.float32)
    for _ in range(count - 1):
        nearest = np.minimum(nearest, ((points - points[order[-1]]) ** 2).sum(axis=1))
        order.append(int(nearest.argmax()))
    return order


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    size=st.integers(1, 400),  # one bucket to four
    levels=st.sampled_from([2, 5, 10_000]),  # few levels: many ties
    stretch=st.sampled_from([1, 1e-3, 1e25]),  # the last: squares overflow
)
def test_equals_the_definition(seed, size, levels, stretch):
    random = np.random.default_rng(seed)
    points = random.integers(0, levels, (size, 3)).astype(np.float32)
    points[:, 0] *= np.float32(stretch)
    count = int(random.integers(1, size + 1))
    with np.errstate(over="ignore"):
        assert farthest_points(points, count).tolist() == naive(points, count)


def test_a_shorter_order_is_the_beginning_of_a_longer_one():
    points = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    assert np.array_equal(farthest_points(points, 50), farthest_points(points, 500)[:50])


def test_distinct_points_are_each_taken_once():
    points = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    assert sorted(farthest_points(points, 64)) == list(range(64))


@pytest.mark.parametrize("count", [0, 6])
def test_count_out_of_range(count):
    with pytest.raises(ValueError, match="1 to 5"):
        farthest_points(np.zeros((5, 3), np.float32), count)
