"""Augmentation, voting and corruptions move points; normals stay square to the surface."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pointmcd.data.augment import Augmentation
from pointmcd.evaluation.voting import vote
from pointmcd.robustness.registry import CORRUPTIONS, corrupted

BOTH = ("normals", "colours")
RNG = np.random.default_rng(4)


def sphere(count=200):
    """A sphere with its normals, and colours that are each point's own: [N, 9], float32."""
    points = RNG.normal(size=(count, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return np.column_stack([points, points, (points + 1) / 2]).astype(np.float32)


def plane(normal, count=50):
    """Points on a plane through the origin, [N, 6]."""
    across = np.linalg.svd(normal[None])[2][1:]
    points = RNG.uniform(-1, 1, (count, 2)) @ across
    return np.column_stack([points, np.tile(normal, (count, 1))]).astype(np.float32)


directions = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1)


@given(directions, st.integers(0, 1000), st.sampled_from(["none", "up", "any"]))
def test_normals_of_a_plane_stay_square_to_it(direction, seed, rotation):
    normal = np.array(direction) / np.linalg.norm(direction)
    augmentation = Augmentation(0, 2.5, 0.3, rotation=rotation)
    moved = augmentation.draw(np.random.default_rng(seed)).apply(plane(normal), ("normals",))
    inside = moved[1:, :3] - moved[:1, :3]
    np.testing.assert_allclose(np.linalg.norm(moved[:, 3:], axis=1), 1, atol=1e-5)
    assert np.abs((inside * moved[:1, 3:]).sum(axis=1)).max() < 1e-4


@given(st.integers(0, 1000), st.sampled_from(["none", "up", "any"]))
def test_normals_of_a_sphere_are_those_of_the_ellipsoid(seed, rotation):
    augmentation = Augmentation(0, 2.5, 0.3, rotation=rotation)
    before = sphere()
    moved = augmentation.draw(np.random.default_rng(seed)).apply(before, BOTH)
    # The plain points move as they do without features, bit for bit.
    plain = augmentation.draw(np.random.default_rng(seed)).apply(before[:, :3].copy())
    np.testing.assert_array_equal(moved[:, :3], plain)
    np.testing.assert_array_equal(moved[:, 6:], before[:, 6:])
    # Of x^T A x = 1 around the centre the gradient is A x; A from the points themselves.
    centre = np.linalg.lstsq(np.column_stack([before[:, :3], np.ones(200)]), plain, rcond=None)[0]
    inverse = np.linalg.inv(centre[:3])
    gradient = (plain - centre[3]) @ inverse @ inverse.T
    gradient /= np.linalg.norm(gradient, axis=1, keepdims=True)
    np.testing.assert_allclose(moved[:, 3:6], gradient, atol=1e-3)


def test_points_without_a_normal_keep_none():
    rows = sphere(4)
    rows[2, 3:6] = 0
    moved = Augmentation(0, 2.0, rotation="any").draw(np.random.default_rng(0)).apply(rows, BOTH)
    assert moved[2, 3:6].tolist() == [0, 0, 0]
    assert np.isfinite(moved).all()


class Recorder(nn.Module):
    def forward(self, points):
        self.seen = [*getattr(self, "seen", []), points]
        return points.sum(dim=1)


def test_a_vote_sees_ellipsoids_with_their_normals():
    model, points = Recorder(), torch.from_numpy(sphere())[None]
    vote(model, 4, BOTH)
    model(points)
    first, *others = model.seen
    assert torch.equal(first, points) or torch.allclose(first, points, atol=1e-6)
    for seen in others:
        factor = (seen[..., :3] / points[..., :3])[0, 0]
        assert not torch.allclose(factor, torch.ones(3))
        wanted = nn.functional.normalize(points[..., :3] / factor, dim=2)
        torch.testing.assert_close(seen[..., 3:6], wanted, rtol=1e-3, atol=1e-4)
        assert torch.equal(seen[..., 6:], points[..., 6:])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_take_features_along(name):
    rows = sphere(300)
    found = corrupted(rows, "a", name, 4, BOTH)
    np.testing.assert_array_equal(found[:, :3], corrupted(rows[:, :3], "a", name, 4))
    assert found.shape == rows.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found[:, 3:6], axis=1), 1, atol=1e-4)
    if name in ("uniform", "gaussian", "impulse"):
        np.testing.assert_array_equal(found[:, 3:], rows[:, 3:])
    elif name in ("rotation", "shear", "ffd", "rbf", "inverse-rbf"):
        np.testing.assert_array_equal(found[:, 6:], rows[:, 6:])
        assert not np.allclose(found[:, 3:6], rows[:, 3:6], atol=1e-3)
    else:  # whole rows of the cloud, some of them again
        assert {row.tobytes() for row in found[:, 3:]} <= {row.tobytes() for row in rows[:, 3:]}
        kept = (found[:, 3:6] * (found[:, :3] - found[:, :3].mean(axis=0))).sum(axis=1)
        assert (kept > 0).mean() > 0.6


def test_a_rotation_turns_normals_as_points():
    rows = sphere(300)
    found = corrupted(rows, "a", "rotation", 5, BOTH)
    matrix = np.linalg.lstsq(rows[:, :3], found[:, 3:6], rcond=None)[0]
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-4)
    whole = rows[:, :3] @ matrix
    moved = whole - whole.mean(axis=0)
    np.testing.assert_allclose(found[:, :3], moved / np.linalg.norm(moved, axis=1).max(), atol=1e-4)
