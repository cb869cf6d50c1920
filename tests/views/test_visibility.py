import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from pointmcd.datasets.folder import list_shapes, load_shape
from pointmcd.datasets.furniture import furniture10
from pointmcd.shapes.mesh import Mesh
from pointmcd.shapes.sampling import sample_surface
from pointmcd.views.raycast import Raycaster, visible_points
from pointmcd.views.render import face_maps
from pointmcd.views.rig import Rig, get_rig

AROUND = Rig("around", ((0.0, 0.0), (0.0, 180.0), (0.0, 90.0), (90.0, 0.0)))


def mesh_of(*made):
    joined = trimesh.util.concatenate(list(made))
    return Mesh(np.asarray(joined.vertices, dtype=np.float64), np.asarray(joined.faces))


def box(size, at=(0, 0, 0)):
    return trimesh.creation.box(size, trimesh.transformations.translation_matrix(at))


CONVEX = {
    "cube": box((1, 1, 1)),
    "plank": box((2, 0.05, 1)),
    "ball": trimesh.creation.icosphere(3),
    "cone": trimesh.creation.cone(1, 2),
}


@pytest.mark.parametrize("name", CONVEX)
@pytest.mark.parametrize("rig", ["ring12", "ring16"])
@pytest.mark.parametrize("with_face", [True, False])
def test_convex_shapes_show_exactly_the_faces_turned_to_the_camera(name, rig, with_face):
    mesh = mesh_of(CONVEX[name])
    points, face = sample_surface(mesh, 1000, 1)
    caster = Raycaster(mesh, get_rig(rig))
    seen = visible_points(caster, points, face if with_face else None)
    assert seen.shape == (1000, len(caster.rig))
    to_camera = caster.rig.frames.position[None] - caster.framing.apply(points)[:, None]
    to_camera /= np.linalg.norm(to_camera, axis=2, keepdims=True)
    cosine = np.einsum("pvc,pc->pv", to_camera, caster.normals[face])
    clear = np.abs(cosine) > 0.02
    assert clear.mean() > 0.95
    np.testing.assert_array_equal(seen[clear], (cosine > 0)[clear])


def test_plate_before_a_wall_hides_exactly_its_shadow():
    mesh = mesh_of(box((2, 2, 0.1)), box((0.5, 0.5, 0.02), at=(0, 0, 0.5)))
    random = np.random.default_rng(0)
    wall = np.column_stack([random.uniform(-0.95, 0.95, (2000, 2)), np.full(2000, 0.05)])
    caster = Raycaster(mesh, AROUND)
    camera = caster.rig.frames.position[0] / caster.framing.scale + caster.framing.centre
    seen = visible_points(caster, wall)[:, 0]
    # Where the way to the camera crosses the plate's near and far plane.
    crossings = [
        wall + (plane - wall[:, 2:]) / (camera[2] - wall[:, 2:]) * (camera - wall)
        for plane in (0.49, 0.51)
    ]
    reach = np.stack([np.abs(crossing[:, :2]).max(axis=1) for crossing in crossings])
    clear = np.abs(reach - 0.25).min(axis=0) > 1e-3
    np.testing.assert_array_equal(seen[clear], (reach.min(axis=0) > 0.25)[clear])
    assert 0.02 < (~seen).mean() < 0.2


def test_box_in_a_closed_box_sees_nothing():
    inner = box((0.5, 0.5, 0.5))
    points, face = sample_surface(mesh_of(inner), 500, 0)
    caster = Raycaster(mesh_of(inner, box((1, 1, 1))), get_rig("ring16"))
    assert not visible_points(caster, points, face).any()


def test_open_plate_is_seen_from_both_sides():
    plate = Mesh(np.array([[-1.0, -1, 0], [1, -1, 0], [0, 1, 0]]), np.array([[0, 1, 2]]))
    points, face = sample_surface(plate, 200, 0)
    seen = visible_points(Raycaster(plate, AROUND), points, face)
    assert seen[:, :2].all()


def test_doubled_faces_do_not_hide_each_other():
    sphere = trimesh.creation.icosphere(2)
    turned = sphere.copy()
    turned.invert()
    points, face = sample_surface(mesh_of(sphere), 500, 0)
    rig = get_rig("ring12")
    once = visible_points(Raycaster(mesh_of(sphere), rig), points, face)
    twice = visible_points(Raycaster(mesh_of(sphere, turned), rig), points, face)
    assert (once != twice).mean() < 0.002


def test_thin_wall_hides_its_far_side():
    mesh = mesh_of(box((1, 1, 1e-3)))
    far = np.column_stack(
        [np.random.default_rng(0).uniform(-0.4, 0.4, (300, 2)), np.full(300, -5e-4)]
    )
    seen = visible_points(Raycaster(mesh, AROUND), far)
    assert not seen[:, 0].any()
    assert seen[:, 1].all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_an_occluder_never_makes_a_point_visible(seed, extra):
    random = np.random.default_rng(seed)
    corners = random.uniform(-1, 1, size=(3 * (8 + extra), 3))
    # A frame of far corners keeps the framing the same with and without the occluders.
    rim = np.array([[-1, -1, -1], [1, 1, 1], [1, -1, -1], [-1, 1, 1], [1, 1, -1], [-1, -1, 1]])
    vertices = np.concatenate([rim, corners])
    faces = np.arange(len(vertices)).reshape(-1, 3)
    few, many = Mesh(vertices, faces[:10]), Mesh(vertices, faces)
    points, face = sample_surface(few, 100, seed)
    rig = get_rig("ring16")
    before = visible_points(Raycaster(few, rig), points, face)
    after = visible_points(Raycaster(many, rig), points, face)
    assert not (after & ~before).any()


def test_real_shape_agrees_with_the_pixels_that_show_its_points():
    """A point in a pixel whose middle shows the point's own face is visible."""
    vessel = next(s for s in list_shapes(furniture10()) if s.label == "vessel")
    mesh, rig = load_shape(vessel), get_rig("ring12")
    caster = Raycaster(mesh, rig)
    points, face = sample_surface(mesh, 500, 0)
    seen, maps = visible_points(caster, points, face), face_maps(caster)
    frames, agree = rig.frames, []
    for view in range(len(rig)):
        way = caster.framing.apply(points) - frames.position[view]
        depth = way @ frames.forward[view] * rig.tangent
        column = ((way @ frames.right[view] / depth + 1) * rig.size / 2).astype(int)
        row = ((1 - way @ frames.up[view] / depth) * rig.size / 2).astype(int)
        own = maps[view][row, column] == face
        agree.append(seen[own, view])
        assert seen[:, view].any()
    assert np.concatenate(agree).mean() > 0.99


def seen_past_every_face(caster, points):
    """Return bool [P, V], points that no face hides: every ray against every face.

    Möller and Trumbore's intersection in double precision; a face within 1e-5 of the way from the
    point is the point's own surface.
    """
    first, second, third = caster.vertices[caster.faces].astype(np.float64).transpose(1, 0, 2)
    one, other = second - first, third - first
    normal = np.cross(one, other)
    targets = caster.framing.apply(points)
    from_corner = targets[:, None] - first
    seen = []
    for position in caster.rig.frames.position:
        way = position - targets
        with np.errstate(divide="ignore", invalid="ignore"):
            against = -way @ normal.T
            across = np.cross(from_corner, way[:, None])
            u = np.einsum("fc,pfc->pf", other, across) / against
            v = -np.einsum("fc,pfc->pf", one, across) / against
            distance = np.einsum("pfc,fc->pf", from_corner, normal) / against
            hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (distance > 1e-5) & (distance < 1)
        seen.append(~hit.any(axis=1))
    return np.stack(seen, axis=1)


def furniture(name):
    shape = next(s for s in list_shapes(furniture10()) if s.name == name)
    mesh = load_shape(shape)
    return Raycaster(mesh, get_rig("ring12")), *sample_surface(mesh, 500, 0)


def test_a_face_that_lies_on_the_points_own_does_not_hide_it():
    """Of this lamp one visible point in six lies on two faces, and the ray meets the other one."""
    caster, points, face = furniture("lamp/test/lamp_0001")
    wanted = seen_past_every_face(caster, points)
    np.testing.assert_array_equal(visible_points(caster, points, face), wanted)
    np.testing.assert_array_equal(visible_points(caster, points), wanted)


def test_a_point_is_seen_where_a_grazing_ray_meets_its_own_face_too_early():
    caster, points, face = furniture("lamp/test/lamp_0004")
    wanted = seen_past_every_face(caster, points)
    known, unknown = visible_points(caster, points, face), visible_points(caster, points)
    assert not (unknown & ~known).any()
    assert (wanted & ~known).sum() < (wanted & ~unknown).sum() / 2
