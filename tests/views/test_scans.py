"""Views and visibility of clouds as scanners make them."""

import numpy as np
import pytest

from benchmarks.hidden_points.scans import Scanner, scan
from pointmcd.datasets.folder import list_shapes, load_shape
from pointmcd.datasets.furniture import furniture10
from pointmcd.views.hidden_points import hidden_point_removal
from pointmcd.views.raycast import Raycaster, visible_points
from pointmcd.views.rig import Rig
from pointmcd.views.splats import splat_views

FRONT = Rig("front", ((20.0, 30.0), (20.0, 120.0)), size=64)
THREE = ((20.0, 30.0), (20.0, 150.0), (20.0, 270.0))
COUNT = 3000


@pytest.fixture(scope="module")
def meshes():
    shapes = list_shapes(furniture10())
    return [load_shape(next(s for s in shapes if s.label == c)) for c in ("chair", "sofa")]


def agreement(mesh, made):
    """IoU of removal on the whole scan with exact visibility, over the shape's own points."""
    caster = Raycaster(mesh, FRONT)
    exact = visible_points(caster, made.clean, made.face)
    seen = hidden_point_removal(caster.framing.apply(made.points), FRONT.frames.position)
    seen = seen[: len(exact)]
    return (seen & exact).sum() / (seen | exact).sum()


def test_one_viewpoint_scans_what_it_sees(meshes):
    made = scan(meshes[0], Scanner(), COUNT)
    assert made.points.shape == made.clean.shape
    assert len(made.points) > 1000
    caster = Raycaster(meshes[0], Rig("scanner", Scanner().cameras))
    assert visible_points(caster, made.clean, made.face).all()
    np.testing.assert_array_equal(made.points, made.clean)


def test_noise_runs_along_the_rays_and_foreign_points_come_last(meshes):
    scanner = Scanner(THREE, noise=0.01, outliers=0.02, floor=0.3, clutter=0.1)
    made = scan(meshes[0], scanner, COUNT, other=meshes[1])
    own = len(made.clean)
    moved = np.linalg.norm(made.points[:own] - made.clean, axis=1)
    # The absolute value of a normal variate is 0.8 deviations on average.
    assert 0.007 < moved.mean() < 0.009
    assert len(made.points) == own + sum(round(share * own) for share in (0.02, 0.3, 0.1))


@pytest.mark.parametrize(
    "scanner",
    [
        Scanner(),
        Scanner(THREE[:2], noise=0.005),
        Scanner(THREE, noise=0.01, outliers=0.02),
        Scanner(THREE, noise=0.005, floor=0.5, clutter=0.2),
    ],
    ids=["one", "two", "outliers", "clutter"],
)
def test_scans_are_drawn_and_judged(meshes, scanner):
    for mesh in meshes:
        made = scan(mesh, scanner, COUNT, other=meshes[0])
        drawn = splat_views(made.points, FRONT)
        assert drawn.shown.max() < len(made.points)
        assert ((drawn.shown >= 0).mean(axis=(1, 2)) > 0.03).all()
        assert agreement(mesh, made) > 0.4


@pytest.mark.parametrize("reach", [4.0, 50.0, 1e6])
def test_outliers_leave_size_and_visibility(meshes, reach):
    clean = scan(meshes[0], Scanner(THREE, noise=0.005), COUNT)
    dirty = scan(meshes[0], Scanner(THREE, noise=0.005, outliers=0.01, reach=reach), COUNT)
    np.testing.assert_array_equal(dirty.points[: len(clean.points)], clean.points)
    sizes = [splat_views(made.points, FRONT).framing.scale for made in (clean, dirty)]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)
    assert agreement(meshes[0], dirty) > agreement(meshes[0], clean) - 0.05


def test_what_stands_together_is_framed_wherever_it_is():
    plate = np.random.default_rng(0).uniform(-1, 1, (2000, 3)) * [1, 1, 0]
    both = np.concatenate([plate, plate[:500] + np.array([0, 0, 30.0])])
    drawn = splat_views(both, FRONT)
    middle = drawn.framing.apply(both.mean(axis=0))
    assert np.abs(middle).max() < FRONT.distance
    assert drawn.framing.scale < 0.2 * splat_views(plate, FRONT).framing.scale
    assert (drawn.shown >= 0).any(axis=(1, 2)).all()
