import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from pointmcd.shapes.mesh import Mesh
from pointmcd.views.framing import FILL, frame
from pointmcd.views.rig import Rig, get_rig

ANGLES = st.tuples(st.floats(-90, 90), st.floats(0, 360))


def project(points, rig):
    """Project points [P, 3] of the rig's frame: across and above [V, P], 1 at the edge."""
    frames = rig.frames
    seen = points[None] - frames.position[:, None]
    depth = np.einsum("vpc,vc->vp", seen, frames.forward)
    assert (depth > 0).all()
    across, above = (np.einsum("vpc,vc->vp", seen, axis) for axis in (frames.right, frames.up))
    return across / depth / rig.tangent, above / depth / rig.tangent


def farthest(mesh, rig):
    used = mesh.vertices[np.unique(mesh.faces)]
    across, above = project(frame(mesh, rig).apply(used), rig)
    return max(np.abs(across).max(), np.abs(above).max())


def soup(points):
    return Mesh(np.asarray(points, dtype=np.float64), np.arange(len(points)).reshape(-1, 3))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.lists(ANGLES, min_size=1, max_size=6), st.floats(5, 110))
def test_every_shape_fills_the_pictures_of_every_rig(seed, cameras, fov):
    random = np.random.default_rng(seed)
    points = random.normal(size=(9, 3)) * random.uniform(0.01, 10, size=3)
    rig = Rig("any", tuple(cameras), fov=fov, distance=random.uniform(0.1, 50))
    # Below the margin only where nearness to the camera is what bounds the scale.
    assert farthest(soup(points), rig) <= FILL + 1e-9


@pytest.mark.parametrize("name", ["ring12", "ring16"])
def test_some_picture_is_filled_to_the_margin(name):
    box = trimesh.creation.box((1, 2, 3))
    mesh = Mesh(np.asarray(box.vertices), np.asarray(box.faces))
    assert farthest(mesh, get_rig(name)) == pytest.approx(FILL)


def test_vertices_without_faces_do_not_count():
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [99, 99, 99]], dtype=np.float64)
    mesh = Mesh(points, np.array([[0, 1, 2]]))
    assert farthest(mesh, get_rig("ring12")) == pytest.approx(FILL)


def test_needle_that_points_at_a_lone_camera_stays_before_it():
    needle = soup([[0, 0, -1], [0, 0, 1], [1e-9, 0, 0]])
    rig = Rig("front", ((0.0, 0.0),))
    moved = frame(needle, rig).apply(needle.vertices)
    assert moved[:, 2].max() <= rig.distance * 0.75 + 1e-9


def test_framing_does_not_depend_on_place_and_size():
    random = np.random.default_rng(0)
    points, rig = random.normal(size=(9, 3)), get_rig("ring12")
    other = 5 + 0.01 * points
    np.testing.assert_allclose(
        frame(soup(points), rig).apply(points), frame(soup(other), rig).apply(other), atol=1e-9
    )
