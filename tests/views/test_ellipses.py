"""The kernels of splats against plain numpy, which draws every ellipse at every place."""

import numpy as np
import pytest
from scipy import ndimage

from pointmcd.datasets.folder import list_shapes, load_shape
from pointmcd.datasets.furniture import furniture10
from pointmcd.shapes.sampling import sample_surface
from pointmcd.views.ellipses import draw_ellipses, place_ellipses
from pointmcd.views.holes import small_holes
from pointmcd.views.rig import Rig
from pointmcd.views.splats import splat_views

TANGENT = 0.27
ONE = Rig("one", ((20.0, 40.0),), size=40)


def drawn_plainly(centres, axes, lengths, greys, tangent, size):
    """Depths and greys [size, size], the definition of `splat_views`, place by place."""
    pixel = 2 * tangent / size
    across = (np.arange(size) + 0.5) * pixel - tangent
    u, v = np.meshgrid(across, -across)
    rays = np.stack([u, v, np.ones_like(u)], axis=-1)
    found = []
    for centre, (along, aside, normal), length in zip(centres, axes, lengths, strict=True):
        turned = rays @ normal
        steep = np.abs(turned) > 0.05
        depth = np.where(steep, normal @ centre / np.where(steep, turned, 1), centre[2])
        way = depth[..., None] * rays - centre
        reach = ((way @ along) / length[0]) ** 2 + ((way @ aside) / length[1]) ** 2
        meets = steep & (reach <= 1)
        spot = centre[:2] / centre[2]
        touches = np.hypot(u - spot[0], v - spot[1]) <= 2.2 * pixel
        depth = np.where(meets, depth, np.where(touches, centre[2], np.inf))
        found.append((depth, np.where(meets, reach, 1)))
    nearest = np.min([depth for depth, _ in found], axis=0)
    weights, shades = np.zeros_like(nearest), np.zeros_like(nearest)
    for (depth, reach), length, grey in zip(found, lengths, greys, strict=True):
        shown = np.isfinite(depth) & (depth <= nearest + length[1])
        weight = np.where(shown, (1 - reach) ** 2 + 1e-4, 0)
        weights, shades = weights + weight, shades + weight * grey
    return nearest, shades / np.where(weights > 0, weights, 1)


def ellipses(count, seed, longest=0.4):
    random = np.random.default_rng(seed)
    centres = random.uniform(-1, 1, (count, 3)) + np.array([0, 0, 4.0])
    axes = np.linalg.qr(random.normal(size=(count, 3, 3)))[0]
    lengths = np.sort(random.uniform(0.01, longest, (count, 2)))[:, ::-1]
    return centres, axes, lengths, random.uniform(40, 215, count)


def drawn(*made, size):
    canvas = np.full((3, size, size), np.nan, dtype=np.float32)
    draw_ellipses(place_ellipses(*made), TANGENT, canvas)
    near, weights, shades = canvas
    with np.errstate(divide="ignore"):
        return 1 / near, shades / np.where(weights > 0, weights, 1)


@pytest.mark.parametrize("longest", [0.011, 0.1, 0.4])
@pytest.mark.parametrize("seed", range(4))
def test_ellipses_are_drawn_as_plainly(seed, longest):
    made = ellipses(60, seed, longest)
    depths, greys = drawn(*made, size=90)
    wanted, shades = drawn_plainly(*made, TANGENT, 90)
    np.testing.assert_array_equal(np.isfinite(depths), np.isfinite(wanted))
    assert np.isfinite(wanted).mean() > 0.02
    np.testing.assert_allclose(depths, wanted, rtol=1e-6)
    np.testing.assert_allclose(greys, shades, atol=0.01)


def test_ellipses_beyond_the_borders_and_edge_on():
    centres, axes, lengths, greys = ellipses(40, 9)
    centres[:20, :2] += np.sign(centres[:20, :2])  # partly or wholly outside
    # The normal at right angles to the way to the centre: seen as a line.
    way = centres[20:30] / np.linalg.norm(centres[20:30], axis=1, keepdims=True)
    side = np.cross(way, [0, 1.0, 0])
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    axes[20:30] = np.stack([way, np.cross(way, side), side], axis=1)
    axes[30] = np.eye(3)
    lengths[31] = 1e-12  # a point
    made = centres, axes, lengths, greys
    wanted, shades = drawn_plainly(*made, TANGENT, 90)
    depths, found = drawn(*made, size=90)
    np.testing.assert_allclose(depths, wanted, rtol=1e-6)
    np.testing.assert_allclose(found, shades, atol=0.01)


def test_ellipses_as_long_as_they_are_far_draw_nothing_that_they_do_not_meet():
    """Few points before a wide lens; cut short, their ellipses cover a part of themselves."""
    centres, axes, lengths, greys = ellipses(12, 3)
    lengths = lengths + 5.0
    depths, _ = drawn(centres, axes, lengths, greys, size=60)
    wanted, _ = drawn_plainly(centres, axes, lengths, greys, TANGENT, 60)
    covered = np.isfinite(depths)
    assert covered.mean() > 0.5
    assert np.isfinite(wanted[covered]).all()
    one = drawn(centres[:1], axes[:1], lengths[:1], greys[:1], size=60)[0]
    plainly = drawn_plainly(centres[:1], axes[:1], lengths[:1], greys[:1], TANGENT, 60)[0]
    met = np.isfinite(one)
    np.testing.assert_allclose(one[met], plainly[met], rtol=1e-5)


def holes_plainly(drawn, most):
    labels, count = ndimage.label(~drawn)
    small = np.bincount(labels.reshape(-1), minlength=count + 1) < most
    small[0] = False
    small[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = False
    rows, columns = np.nonzero(small[labels])
    _, (row, column) = ndimage.distance_transform_edt(~drawn, return_indices=True)
    size = len(drawn)
    return rows * size + columns, row[rows, columns] * size + column[rows, columns]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("most", [0, 2, 30, np.inf])
def test_holes_are_those_of_scipy(seed, most):
    random = np.random.default_rng(seed)
    blurred = ndimage.gaussian_filter(random.normal(size=(80, 80)), seed / 2)
    picture = blurred > np.quantile(blurred, (0.3, 0.6)[seed % 2])
    wanted, nearest = holes_plainly(picture, most)
    holes, found = small_holes(picture, most)
    np.testing.assert_array_equal(holes, wanted)
    np.testing.assert_array_equal(found, nearest)
    assert most < np.inf or len(holes) > 0


@pytest.mark.parametrize("picture", [np.zeros((5, 5)), np.ones((5, 5)), np.eye(1)])
def test_plain_pictures_have_no_holes(picture):
    assert len(small_holes(picture > 0, np.inf)[0]) == 0


@pytest.mark.parametrize("label", ["chair", "lamp", "vessel"])
def test_pictures_are_those_of_plain_numpy_but_for_rounding(label, monkeypatch):
    """At most one pixel in a thousand is off, by one grey."""
    shape = next(s for s in list_shapes(furniture10()) if s.label == label)
    points = sample_surface(load_shape(shape), 500, 0)[0]
    calls = []
    monkeypatch.setattr(
        "pointmcd.views.splats.place_ellipses",
        lambda *made: calls.append(made) or place_ellipses(*made),
    )
    found = splat_views(points, ONE)
    (made,) = calls
    nearest, greys = drawn_plainly(*made, ONE.tangent, 3 * ONE.size)
    reach = np.median(made[2][:, 0]) / (ONE.distance * ONE.tangent) * 3 * ONE.size / 2
    holes, source = holes_plainly(np.isfinite(nearest), np.pi * reach**2)
    greys = np.where(np.isfinite(nearest), greys, 255)
    greys.flat[holes], nearest.flat[holes] = greys.flat[source], nearest.flat[source]
    wanted = greys.reshape(ONE.size, 3, ONE.size, 3).mean(axis=(1, 3))
    off = np.abs(found.pictures[0] - np.rint(wanted))
    assert off.max() <= 1
    assert (off > 0).mean() < 1e-3
    np.testing.assert_allclose(found.inverse_depths[0], 1 / nearest[1::3, 1::3], rtol=1e-6)
