import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointmcd.shapes.deformation import SCALE, deform

GRID = np.stack(np.meshgrid(*[np.linspace(-1, 1, 9)] * 3), axis=-1).reshape(-1, 3)
BALL = GRID[np.linalg.norm(GRID, axis=1) <= 1]


@given(st.integers(0, 2**32 - 1))
def test_it_is_mild_and_turns_nothing_inside_out(seed):
    step = 1e-5
    columns = [
        (deform(BALL + step * axis, seed) - deform(BALL - step * axis, seed)) / (2 * step)
        for axis in np.eye(3)
    ]
    jacobians = np.stack(columns, axis=-1)
    assert np.linalg.det(jacobians).min() > 0
    stretch = np.linalg.svd(jacobians, compute_uv=False)
    assert stretch.min() > 0.25
    assert stretch.max() < 2.5


def test_seeds_are_different_deformations_and_repeat_themselves():
    before = BALL.copy()
    one, same, other = deform(BALL, 1), deform(BALL, 1), deform(BALL, 2)
    assert np.array_equal(one, same)
    assert np.array_equal(BALL, before)
    assert np.abs(one - other).max() > 0.05
    assert np.abs(one - BALL).max() > 0.05


def test_a_point_moves_alike_in_any_company():
    some = np.array([3, 70, 200])
    assert deform(BALL, 5)[some] == pytest.approx(deform(BALL[some], 5), abs=1e-12)
    assert deform(BALL[:0], 5).shape == (0, 3)


def test_axes_grow_as_often_as_they_shrink():
    tips = np.concatenate([np.eye(3), -np.eye(3)]) * 1e-3  # twist and taper vanish at the origin
    moved = np.stack([deform(tips, seed) for seed in range(400)])
    lengths = np.linalg.norm(moved[:, :3] - moved[:, 3:], axis=2) / 2e-3
    assert abs(np.log(lengths).mean()) < 0.05
    assert np.log(lengths).std() > 0.5 * np.log(SCALE) / np.sqrt(3)
