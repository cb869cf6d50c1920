import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointmcd.errors import FormatError
from pointmcd.shapes import polygons
from pointmcd.shapes.polygons import triangulate

ELL = [(0, 0), (4, 0), (4, 1), (1, 1), (1, 4), (0, 4)]
ARROW = [(0, 0), (2, -2), (1, 0), (2, 2)]
#: A square of side 4 with a square hole of side 2, reached along one edge and back.
KEYHOLE = [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0), (1, 1), (1, 3), (3, 3), (3, 1), (1, 1)]
COMB = [*((i, 9 * (i % 2)) for i in range(9)), (8, -1), (0, -1)]


def arrays(rings):
    """Polygons of their own corners each, as `triangulate` takes them."""
    vertices = np.concatenate([np.reshape(ring, (-1, np.shape(ring)[-1])) for ring in rings])
    if vertices.shape[1] == 2:
        vertices = np.pad(vertices, ((0, 0), (0, 1)))
    counts = np.asarray([len(ring) for ring in rings])
    return vertices.astype(np.float64), np.arange(len(vertices)), counts


def crosses(vertices, faces):
    first, second, third = np.moveaxis(vertices[faces], 1, 0)
    return np.cross(second - first, third - first) / 2


def newell(points):
    """Area of a closed ring as a vector along its normal."""
    points = points - points[0]
    return np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0) / 2


def check_filled(vertices, corners, counts):
    """Check that the triangles of each polygon turn as it does and have its area, no more."""
    faces, polygon = triangulate(vertices, corners, counts)
    assert (np.diff(polygon) >= 0).all()
    for i, ring in enumerate(np.split(corners, np.cumsum(counts)[:-1])):
        parts = crosses(vertices, faces[polygon == i])
        expected = newell(vertices[ring])
        size = np.linalg.norm(expected)
        assert set(faces[polygon == i].ravel()) <= set(ring)
        assert np.linalg.norm(parts, axis=1).sum() == pytest.approx(size, rel=1e-6)
        np.testing.assert_allclose(parts.sum(axis=0), expected, atol=1e-6 * size)


@pytest.mark.parametrize("ring", [ELL, ARROW, KEYHOLE, COMB], ids=["ell", "arrow", "hole", "comb"])
@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("way", [1, -1])
def test_concave_polygons_from_any_corner_either_way_round(ring, turn, way):
    check_filled(*arrays([np.roll(ring, turn, axis=0)[::way]]))


def test_areas_by_hand():
    faces, polygon = triangulate(*arrays([ELL, ARROW, KEYHOLE]))
    areas = np.linalg.norm(crosses(arrays([ELL, ARROW, KEYHOLE])[0], faces), axis=1)
    np.testing.assert_allclose(np.bincount(polygon, areas), [7, 2, 12])


@st.composite
def rings(draw):
    """Simple polygons around a centre, some corners twice and on edges, anywhere in space."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(3, 40))
    angles = (np.arange(count) + random.uniform(0, 0.9, count)) * 2 * np.pi / count
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) * random.uniform(0.2, 1, (count, 1))
    if draw(st.booleans()):
        ring = np.stack([ring, (ring + np.roll(ring, -1, axis=0)) / 2], axis=1).reshape(-1, 2)
    if draw(st.booleans()):
        ring = np.repeat(ring, random.integers(1, 3, len(ring)), axis=0)
    basis, _ = np.linalg.qr(random.normal(size=(3, 3)))
    return np.roll(ring, random.integers(len(ring)), axis=0) @ basis[:2] + random.uniform(-5, 5, 3)


@settings(max_examples=150, deadline=None)
@given(st.lists(rings(), min_size=1, max_size=5))
def test_triangles_have_the_area_and_the_direction_of_their_polygons(drawn):
    check_filled(*arrays(drawn))


@settings(max_examples=50, deadline=None)
@given(rings(), st.integers(-300, 300))
def test_size_does_not_matter(ring, exponent):
    vertices, corners, counts = arrays([ring])
    faces, _ = triangulate(vertices, corners, counts)
    scaled, _ = triangulate(vertices * 2.0 ** (exponent * 3), corners, counts)
    np.testing.assert_array_equal(scaled, faces)


def test_a_polygon_that_is_not_plane():
    vertices, corners, counts = arrays([ELL])
    vertices[:, 2] = [0, 0.1, 0, 0.1, 0, 0.1]
    faces, _ = triangulate(vertices, corners, counts)
    assert np.abs(crosses(vertices, faces)[:, 2]).sum() == pytest.approx(7)


@pytest.mark.parametrize(
    "ring",
    [
        [(0, 0), (1, 1), (1, 0), (0, 1)],
        [(0, 0), (0, 0), (0, 0), (0, 0)],
        [(0, 0), (1, 0), (2, 0), (3, 0), (1, 0)],
        [(np.nan, 0), (1, 0), (1, 1), (0, 1)],
        [(-1e308, 0), (1e308, 0), (np.inf, 1), (0, 1e308)],
    ],
    ids=["bow tie", "one place", "one line", "nan", "inf"],
)
def test_polygons_without_an_area_become_fans(ring):
    faces, polygon = triangulate(*arrays([ring]))
    assert faces.tolist() == [[0, i, i + 1] for i in range(1, len(ring) - 1)]
    assert polygon.tolist() == [0] * len(faces)


def test_a_star_that_crosses_itself_gives_triangles():
    pentagram = [(np.sin(t), np.cos(t)) for t in np.arange(5) * np.pi * 0.8]
    faces, _ = triangulate(*arrays([pentagram]))
    assert 1 <= len(faces) <= 3


def test_points_and_lines_give_no_triangle():
    vertices = arrays([ELL])[0]
    corners = np.array([0, 1, 2, 0, 1, 3, 5, 4, 3])
    faces, polygon = triangulate(vertices, corners, np.array([3, 0, 2, 1, 3]))
    assert faces.tolist() == [[0, 1, 2], [5, 4, 3]]
    assert polygon.tolist() == [0, 4]
    none = np.zeros(0, dtype=np.int64)
    assert triangulate(vertices, none, none)[0].shape == (0, 3)


@pytest.mark.parametrize("corner", [-1, 6, 2**62])
def test_corners_outside_the_range(corner):
    vertices, corners, counts = arrays([ELL])
    corners[3] = corner
    with pytest.raises(FormatError, match="outside the range"):
        triangulate(vertices, corners, counts)


def test_very_large_polygons_only_where_they_are_convex(monkeypatch):
    monkeypatch.setattr(polygons, "MAX_CORNERS", 5)
    angles = np.arange(20) * np.pi / 10
    assert len(triangulate(*arrays([np.stack([np.cos(angles), np.sin(angles)], 1)]))[0]) == 18
    with pytest.raises(FormatError, match="6 corners"):
        triangulate(*arrays([np.roll(ELL, 2, axis=0)]))
