import numpy as np
import pytest
import trimesh
from scipy.ndimage import binary_erosion

from pointmcd.datasets.folder import list_shapes, load_shape
from pointmcd.datasets.furniture import furniture10
from pointmcd.shapes.mesh import Mesh
from pointmcd.shapes.sampling import sample_surface
from pointmcd.views.raycast import Raycaster
from pointmcd.views.render import face_maps, render_views
from pointmcd.views.rig import Rig
from pointmcd.views.splats import splat_views
from pointmcd.views.surfels import fit_surfels

FRONT = Rig("front", ((0.0, 0.0),), size=64)
TWO = Rig("two", ((30.0, 30.0), (-30.0, 160.0)), size=96)


def plate(count, seed=0):
    flat = np.random.default_rng(seed).uniform(-1, 1, (count, 2))
    return np.column_stack([flat, np.zeros(count)])


def ball(count, seed=0):
    made = trimesh.creation.icosphere(4)
    mesh = Mesh(np.asarray(made.vertices, dtype=np.float64), np.asarray(made.faces))
    return mesh, sample_surface(mesh, count, seed)[0]


@pytest.mark.parametrize("count", [1000, 10_000, 60_000])
def test_plates_have_no_holes_at_any_density(count):
    drawn = splat_views(plate(count), FRONT)
    inside = drawn.shown[0, 5:-5, 5:-5]
    assert (inside < 0).mean() < 0.001
    assert np.ptp(drawn.pictures[0, 6:-6, 6:-6].astype(int)) <= 1


@pytest.mark.parametrize("label", ["bed", "vehicle", "sofa", "chair"])
def test_pictures_are_like_those_of_the_mesh(label):
    mesh = load_shape([s for s in list_shapes(furniture10()) if s.label == label][4])
    caster = Raycaster(mesh, TWO)
    drawn = splat_views(sample_surface(mesh, 3000, 0)[0], TWO)
    there, shape = drawn.shown >= 0, face_maps(caster) >= 0
    assert (there & shape).sum() / (there | shape).sum() > 0.85
    inside = binary_erosion(shape, np.ones((1, 7, 7)))
    assert (inside & ~there).sum() < 0.003 * shape.sum()
    difference = np.abs(drawn.pictures.astype(float) - render_views(caster))[inside]
    assert np.median(difference) < 15


def test_greys_are_those_of_the_mesh():
    mesh, points = ball(4000)
    drawn = splat_views(points, FRONT).pictures[0].astype(float)
    rendered = render_views(Raycaster(mesh, FRONT))[0].astype(float)
    middle = (slice(10, -10), slice(10, -10))
    inside = binary_erosion(rendered < 250, np.ones((7, 7)))[middle]
    assert np.abs(drawn - rendered)[middle][inside].max() < 15
    assert drawn[0, 0] == 255


def test_pixels_show_the_nearest_point_on_the_near_side():
    _, points = ball(3000)
    drawn = splat_views(points, FRONT)
    rows, columns = np.nonzero(drawn.shown[0] >= 0)
    seen = points[drawn.shown[0, rows, columns]]
    assert (seen[:, 2] > 0.1).all()
    # Where the point lands in the picture, against where it is shown.
    way = drawn.framing.apply(seen) - [0, 0, FRONT.distance]
    column = (way[:, 0] / -way[:, 2] / FRONT.tangent + 1) * 32
    row = (1 - way[:, 1] / -way[:, 2] / FRONT.tangent) * 32
    apart = np.hypot(column - columns - 0.5, row - rows - 0.5)
    assert np.median(apart) < 1.5
    assert apart.max() < 8


def test_the_near_of_two_plates_is_shown():
    up = np.array([0, 0, 0.3])
    near, far = plate(2000) + up, plate(2000, 1) - up
    shown = splat_views(np.concatenate([far, near]), FRONT).shown[0, 8:-8, 8:-8]
    assert (shown >= 2000).mean() > 0.98


def test_nothing_is_cut_off_at_the_borders():
    _, points = ball(500)
    pictures = splat_views(points, TWO).pictures
    for border in (pictures[:, 0], pictures[:, -1], pictures[:, :, 0], pictures[:, :, -1]):
        assert (border == 255).all()
    assert (pictures < 255).any(axis=(1, 2)).all()


def test_both_sides_size_and_place_make_no_difference():
    _, points = ball(800)
    first = splat_views(points, TWO)
    other = splat_views(points * 37.0 + [5, -2, 9], TWO)
    np.testing.assert_allclose(other.pictures.astype(int), first.pictures, atol=12)
    assert (other.shown == first.shown).mean() > 0.99


def test_shapes_and_types_and_repetition():
    drawn, again = (splat_views(plate(50), TWO) for _ in range(2))
    assert drawn.pictures.shape == drawn.shown.shape == (2, 96, 96)
    assert (drawn.pictures.dtype, drawn.shown.dtype) == (np.uint8, np.int32)
    np.testing.assert_array_equal(drawn.pictures, again.pictures)
    np.testing.assert_array_equal(drawn.shown, again.shown)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 11])
def test_a_few_points_are_dots(count):
    points = np.random.default_rng(count).normal(size=(count, 3))
    drawn = splat_views(points, FRONT)
    assert (drawn.shown[0] >= 0).any()
    assert drawn.shown.max() < count


def test_points_at_one_place_and_on_a_line():
    assert (splat_views(np.ones((20, 3)), FRONT).shown >= 0).sum() <= 30
    line = np.linspace(-1, 1, 200)[:, None] * [1.0, 0, 0]
    shown = splat_views(line, FRONT).shown[0] >= 0
    assert shown.any(axis=0).sum() > 55
    assert shown.any(axis=1).sum() < 6


def test_doubled_points_are_drawn_as_one():
    single, doubled = plate(400), np.repeat(plate(400), 5, axis=0)
    np.testing.assert_array_equal(
        splat_views(doubled, FRONT).pictures, splat_views(single, FRONT).pictures
    )


def test_surfels_lie_in_the_surface():
    _, points = ball(3000)
    surfels = fit_surfels(points)
    outward = surfels.centres / np.linalg.norm(surfels.centres, axis=1, keepdims=True)
    assert np.abs((surfels.axes[:, 2] * outward).sum(axis=1)).min() > 0.97
    turned = surfels.axes @ surfels.axes.transpose(0, 2, 1)
    np.testing.assert_allclose(turned, np.tile(np.eye(3), (len(turned), 1, 1)), atol=1e-9)
    assert (surfels.lengths[:, 0] >= surfels.lengths[:, 1]).all()


def test_surfels_of_a_rod_are_as_narrow_as_it():
    random = np.random.default_rng(0)
    angle = random.uniform(0, 2 * np.pi, 500)
    around = 0.004 * np.column_stack([np.cos(angle), np.sin(angle)])
    surfels = fit_surfels(np.column_stack([random.uniform(-1, 1, 500), around]))
    assert np.abs(surfels.axes[:, 0, 0]).min() > 0.9
    assert np.median(surfels.lengths[:, 1]) < 0.01
