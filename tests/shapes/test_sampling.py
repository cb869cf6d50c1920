import itertools

import numpy as np
import pytest

from pointmcd.datasets.folder import list_shapes, load_shape
from pointmcd.shapes.mesh import Mesh
from pointmcd.shapes.sampling import sample_surface

TRIANGLE = Mesh(np.asarray([(0, 0, 0), (1, 0, 0), (0, 1, 0)], dtype=float), np.asarray([(0, 1, 2)]))


@pytest.fixture(scope="module")
def chair(furniture_root):
    return load_shape(next(s for s in list_shapes(furniture_root) if s.label == "chair"))


def test_same_arguments_same_points(chair):
    first, second = sample_surface(chair, 256, 3), sample_surface(chair, 256, 3)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], sample_surface(chair, 256, 4)[0])


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_one_triangle_and_any_count(count):
    points, face = sample_surface(TRIANGLE, count, 0)
    assert (points.dtype, face.dtype) == (np.float32, np.int64)
    assert points.shape == (count, 3)
    assert (face == 0).all()
    assert (points[:, :2] >= 0).all()
    assert (points.sum(axis=1) <= 1 + 1e-6).all()
    assert len(np.unique(points, axis=0)) == count


def test_count_below_one():
    with pytest.raises(ValueError, match="at least 1"):
        sample_surface(TRIANGLE, 0, 0)


def test_points_lie_on_their_faces(chair):
    points, face = sample_surface(chair, 512, 0)
    first, second, third = np.moveaxis(chair.vertices[chair.faces[face]], 1, 0)
    normal = np.cross(second - first, third - first)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    assert np.abs(((points - first) * normal).sum(axis=1)).max() < 1e-5


def test_area_decides_and_faces_without_area_get_nothing():
    vertices = np.asarray([(0, 0, 0), (3, 0, 0), (0, 1, 0), (0, 0, 5), (1, 0, 5), (0, 1, 5)])
    mesh = Mesh(vertices / 5, np.asarray([(0, 0, 1), (0, 1, 2), (3, 4, 5), (3, 3, 3)]))
    _, face = sample_surface(mesh, 4000, 0)
    share = np.bincount(face, minlength=4) / len(face)
    np.testing.assert_allclose(share, [0, 0.75, 0.25, 0], atol=0.02)


def test_mean_tends_to_the_centroid_of_the_surface(chair):
    points, _ = sample_surface(chair, 2048, 0)
    assert np.abs(points.mean(axis=0)).max() < 0.03


def naive_gaps(points):
    """Distance of each point to the nearest one before it."""
    return [np.linalg.norm(points[:i] - points[i], axis=1).min() for i in range(1, len(points))]


def test_every_beginning_is_a_good_sample(chair):
    points, _ = sample_surface(chair, 1024, 0)
    gaps = naive_gaps(points.astype(np.float64))
    assert all(earlier >= later - 1e-6 for earlier, later in itertools.pairwise(gaps))
    random = np.random.default_rng(0).permutation(points)[:128]

    # The largest hole that 128 points leave is far smaller than chance would leave.
    def hole(sample):
        return max(np.linalg.norm(sample - point, axis=1).min() for point in points)

    assert hole(points[:128]) < 0.7 * hole(random)
