"""Turning shapes from one axis that is up to another."""

from itertools import product

import numpy as np
import pytest

from pointmcd.shapes.axes import AXES, turn, upright


@pytest.mark.parametrize(("source", "target"), [*product(AXES, AXES)])
def test_up_becomes_up_and_nothing_is_mirrored(source, target):
    basis = np.eye(3, dtype=np.float32)
    turned = turn(basis, source, target)
    np.testing.assert_array_equal(turned[AXES.index(source)], basis[AXES.index(target)])
    assert np.linalg.det(turned) == 1
    points = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    back = turn(turn(points, source, target), target, source)
    np.testing.assert_array_equal(back, points)
    assert turn(points, source, target).dtype == np.float32


def test_it_is_the_rotation_of_the_cameras():
    points = np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
    for up in AXES:
        np.testing.assert_allclose(turn(points, "y", up), points @ upright(up).T, rtol=1e-6)


def test_normals_turn_and_colours_stay():
    table = np.arange(18, dtype=np.float32).reshape(2, 9)
    turned = turn(table, "z", "y", ("normals", "colours"))
    np.testing.assert_array_equal(turned[:, :3], turn(table[:, :3], "z", "y"))
    np.testing.assert_array_equal(turned[:, 3:6], turn(table[:, 3:6], "z", "y"))
    np.testing.assert_array_equal(turned[:, 6:], table[:, 6:])
    np.testing.assert_array_equal(table, np.arange(18, dtype=np.float32).reshape(2, 9))
