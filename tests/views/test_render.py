import numpy as np
import pytest
import trimesh

from pointmcd.datasets.folder import list_shapes, load_shape
from pointmcd.datasets.furniture import furniture10
from pointmcd.shapes.mesh import Mesh
from pointmcd.views.raycast import Raycaster
from pointmcd.views.render import face_maps, render_views
from pointmcd.views.rig import Rig, get_rig

FRONT = Rig("front", ((0.0, 0.0),), size=64)
CROSS = Rig("cross", ((0.0, 0.0), (0.0, 90.0), (0.0, 180.0), (90.0, 0.0)), size=64)


def mesh_of(made):
    return Mesh(np.asarray(made.vertices, dtype=np.float64), np.asarray(made.faces))


def square(turned=False):
    vertices = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], dtype=np.float64)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return Mesh(vertices, faces[:, ::-1] if turned else faces)


def test_shapes_and_types():
    pictures = render_views(Raycaster(mesh_of(trimesh.creation.box()), CROSS))
    assert pictures.shape == (4, 64, 64)
    assert pictures.dtype == np.uint8


def test_plate_fills_the_picture_but_for_the_margin():
    picture = render_views(Raycaster(square(), FRONT))[0]
    rows, columns = np.nonzero(picture < 255)
    margin = 0.02 * 64
    for places in (rows, columns):
        assert places.min() == pytest.approx(margin, abs=1)
        assert 63 - places.max() == pytest.approx(margin, abs=1)


def test_greys_stand_out_from_the_background():
    pictures = render_views(Raycaster(mesh_of(trimesh.creation.icosphere(2)), get_rig("ring12")))
    inside = pictures[
        face_maps(Raycaster(mesh_of(trimesh.creation.icosphere(2)), get_rig("ring12"))) >= 0
    ]
    assert 40 <= inside.min() < 80
    assert 200 < np.percentile(inside, 95) <= 215
    assert pictures[0, 0, 0] == 255


def test_both_sides_are_lit_alike():
    there = render_views(Raycaster(square(), CROSS))
    turned = render_views(Raycaster(square(turned=True), CROSS))
    np.testing.assert_array_equal(there, turned)
    middle = there[:, 32, 32]
    assert middle[0] == middle[2] < 255


def test_light_comes_from_up_left():
    picture = render_views(Raycaster(mesh_of(trimesh.creation.icosphere(4)), FRONT))[0]
    assert picture[20, 20] > picture[44, 44]
    assert picture[20, 32] > picture[44, 32]
    assert picture[32, 20] > picture[32, 44]


def test_pictures_are_not_mirrored_or_upside_down():
    letter = trimesh.util.concatenate(  # an L: a stem at the left, a foot at the bottom
        [
            trimesh.creation.box(
                (0.2, 2, 0.2), trimesh.transformations.translation_matrix((-1, 0, 0))
            ),
            trimesh.creation.box(
                (2, 0.2, 0.2), trimesh.transformations.translation_matrix((0, -1, 0))
            ),
        ]
    )
    shape = render_views(Raycaster(mesh_of(letter), FRONT))[0] < 255
    assert shape[:, :20].mean() > 3 * shape[:, 44:].mean() > 0
    assert shape[44:].mean() > 3 * shape[:20].mean() > 0


def test_edges_are_smooth():
    disc = mesh_of(trimesh.creation.cylinder(1, 0.01, sections=200))
    picture = render_views(Raycaster(disc, FRONT))[0].astype(float)
    face = picture[32, 32]
    between = (picture > face + 5) & (picture < 250)
    assert between.sum() > 60  # about one pixel in each row and column of the rim
    coverage = ((255 - picture) / (255 - face)).sum()
    assert coverage == pytest.approx(np.pi * (0.96 * 32) ** 2, rel=0.01)


def test_flat_faces_get_no_further_rays():
    picture = render_views(Raycaster(square(), FRONT))[0]
    assert len(np.unique(picture[4:-4, 4:-4])) == 1


def test_face_maps_name_the_face_that_is_seen():
    box = mesh_of(trimesh.creation.box())
    caster = Raycaster(box, CROSS)
    maps = face_maps(caster)
    assert maps.shape == (4, 64, 64)
    for view, direction in enumerate(-CROSS.frames.forward):
        seen = np.unique(maps[view][maps[view] >= 0])
        np.testing.assert_allclose(caster.normals[seen] @ direction, 1, atol=1e-6)
    assert maps[0, 0, 0] == -1


def test_real_shape_is_rendered_alike_twice():
    chair = next(s for s in list_shapes(furniture10()) if s.label == "chair")
    mesh, rig = load_shape(chair), get_rig("ring12")
    first, second = (render_views(Raycaster(mesh, rig)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (first < 255).any(axis=(1, 2)).all()
