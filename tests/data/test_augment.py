import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointmcd.data.augment import Augmentation

seeds = st.integers(0, 2**31)


@given(seeds, st.integers(0, 500), st.integers(0, 10**6))
def test_chance_depends_on_seed_epoch_and_shape_alone(seed, epoch, index):
    def draw(*key):
        generator = Augmentation(key[0]).generator(*key[1:])
        return generator.integers(0, 2**62, 4).tolist()

    assert draw(seed, epoch, index) == draw(seed, epoch, index)
    others = [(seed + 1, epoch, index), (seed, epoch + 1, index), (seed, epoch, index + 1)]
    assert all(draw(*other) != draw(seed, epoch, index) for other in others)


def test_epoch_and_shape_are_not_interchangeable():
    augmentation = Augmentation(0)
    first, second = augmentation.generator(1, 2), augmentation.generator(2, 1)
    assert first.random() != second.random()


@given(seeds, st.floats(1, 3), st.floats(0, 1))
def test_scale_and_shift_stay_within_their_bounds(seed, scale, shift):
    augmentation = Augmentation(seed, scale=scale, shift=shift)
    corners = np.array([[0, 0, 0], [1, 1, 1], [-1, 0.5, 0]], np.float32)
    moved = augmentation.draw(augmentation.generator(0, 0)).apply(corners)
    offsets, factors = moved[0], moved[1] - moved[0]
    assert moved.dtype == np.float32
    assert (np.abs(offsets) <= shift + 1e-6).all()
    assert (factors >= 1 / scale - 1e-6).all()
    assert (factors <= scale + 1e-6).all()
    expected = corners[2] * factors + offsets
    assert np.allclose(moved[2], expected, atol=1e-5)


def test_the_range_of_the_scale_is_used_up():
    augmentation = Augmentation(0, scale=1.5, shift=0.0)
    one = np.ones((1, 3), np.float32)
    factors = np.concatenate(
        [augmentation.draw(augmentation.generator(0, i)).apply(one) for i in range(300)]
    )
    assert factors.min() < 0.7
    assert factors.max() > 1.45
    assert (factors.std(axis=1) > 0.01).mean() > 0.9  # each axis has a factor of its own


def test_scale_one_and_no_shift_leave_the_points_as_they_are():
    augmentation = Augmentation(3, scale=1.0, shift=0.0)
    points = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    assert np.array_equal(augmentation.draw(augmentation.generator(5, 6)).apply(points), points)


def test_without_resampling_the_first_points_are_taken():
    augmentation = Augmentation(0)
    assert augmentation.choose(augmentation.generator(0, 0), 50, 7).tolist() == list(range(7))


@given(seeds, st.integers(1, 60), st.data())
def test_resampling_draws_distinct_points_in_ascending_order(seed, available, data):
    count = data.draw(st.integers(1, available))
    augmentation = Augmentation(seed, resample=True)
    chosen = augmentation.choose(augmentation.generator(0, 0), available, count)
    assert len(chosen) == count
    assert (np.diff(chosen) > 0).all()
    assert chosen[0] >= 0
    assert chosen[-1] < available


def test_resampling_reaches_every_point_evenly():
    augmentation = Augmentation(0, resample=True)
    drawn = [augmentation.choose(augmentation.generator(e, 0), 20, 5) for e in range(400)]
    counts = np.bincount(np.concatenate(drawn), minlength=20)
    assert counts.sum() == 2000
    assert counts.min() > 60
    assert counts.max() < 145


def test_a_negative_seed_has_no_generator():
    with pytest.raises(ValueError, match="non-negative"):
        Augmentation(-1).generator(0, 0)
