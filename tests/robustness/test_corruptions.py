"""The fifteen corruptions: what each does to a cloud, and what none may do."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from pointmcd.errors import ConfigError
from pointmcd.robustness import corruptions
from pointmcd.robustness.registry import (
    CORRUPTIONS,
    SEVERITIES,
    corrupted,
    parse_names,
)
from pointmcd.shapes.axes import turn

NAMES = tuple(CORRUPTIONS)


def sphere(count, seed=0):
    """Points on the unit sphere, in no order."""
    points = np.random.default_rng(seed).normal(size=(count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def made(name, severity, points, seed=0):
    corrupt, strengths = CORRUPTIONS[name]
    return corrupt(points.copy(), strengths[severity - 1], np.random.default_rng(seed))


def kept(points, after):
    """Which of the points stand among those after."""
    return cKDTree(after).query(points)[0] < 1e-12


def test_there_are_fifteen_of_five_severities():
    assert len(NAMES) == 15
    assert {len(strengths) for _, strengths in CORRUPTIONS.values()} == {5}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_as_many_points_come_out_finite_in_the_unit_sphere(name, count):
    points = sphere(count).astype(np.float32)
    before = points.copy()
    for severity in SEVERITIES:
        after = corrupted(points, "chair/1", name, severity)
        assert after.shape == (count, 3)
        assert after.dtype == np.float32
        np.testing.assert_allclose(after.mean(axis=0), 0, atol=1e-5)
        farthest = np.linalg.norm(after, axis=1).max()
        assert farthest == pytest.approx(1, abs=1e-5) or len(np.unique(after, axis=0)) == 1
    assert (points == before).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", ["one place", "line", "plane"])
def test_flat_clouds_are_corrupted_too(name, shape):
    points = sphere(50) * {"one place": (0, 0, 0), "line": (1, 0, 0), "plane": (1, 1, 0)}[shape]
    for severity in (1, 5):
        assert np.isfinite(corrupted(points, "flat", name, severity)).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_for_a_shape_whatever_came_before(name):
    points = sphere(60)
    first = corrupted(points, "chair/1", name, 5)
    corrupted(points, "chair/2", name, 5)
    assert (corrupted(points, "chair/1", name, 5) == first).all()
    assert (corrupted(points, "chair/2", name, 5) != first).any()
    assert (corrupted(points, "chair/1", name, 4) != first).any()


@pytest.mark.parametrize("name", NAMES)
def test_the_most_severe_differs_more_than_the_least(name):
    points = sphere(3000 if name == "lidar" else 400)
    mild, hard = (
        np.mean([_strangeness(name, points, made(name, s, points, seed)) for seed in range(8)])
        for s in (1, 5)
    )
    assert hard > 1.2 * mild > 0


def _strangeness(name, points, after):
    """How much a cloud differs: of density by which points are lost or crowded, else by shifts."""
    if name == "density-increase":
        return np.std(cKDTree(after).query_ball_point(points, 0.2, return_length=True))
    if name == "lidar":  # how far it is from the surface seen to the next beam
        seen = corruptions.hidden_point_removal(points, 3 * after.mean(0, keepdims=True))[:, 0]
        return cKDTree(after).query(points[seen])[0].mean()
    if name in NAMES[:5]:
        return (~kept(points, after)).mean()
    return np.abs(after - points).mean()


def test_one_camera_sees_one_side_of_a_ball():
    points = sphere(1500)
    after = made("occlusion", 5, points)
    toward = after.mean(axis=0) / np.linalg.norm(after.mean(axis=0))
    assert (after @ toward > 0).mean() > 0.9
    assert kept(after, points).all()


@pytest.mark.parametrize("name", ["lidar", "rotation", "gaussian"])
def test_a_shape_that_lies_is_corrupted_as_one_that_stands(name):
    table = np.concatenate([sphere(400), sphere(400), np.full((400, 3), 0.5)], axis=1)
    table, features = table.astype(np.float32), ("normals", "colours")
    wanted = corrupted(table, "chair/1", name, 3, features)
    lying = turn(table, "y", "z", features)
    found = corrupted(lying, "chair/1", name, 3, features, up="z")
    np.testing.assert_array_equal(found, turn(wanted, "y", "z", features))


def test_lidar_leaves_stripes_of_one_side():
    points = sphere(4000)
    after = made("lidar", 5, points)
    assert kept(after, points).all()
    toward = after.mean(axis=0)
    assert (after @ toward > 0).mean() > 0.95
    assert 0.03 < kept(points, after).mean() < 0.4 * 0.6


def test_cutout_leaves_holes_and_density_decrease_thins():
    points = sphere(1000)
    for severity in SEVERITIES:
        left = kept(points, made("cutout", severity, points)).sum()
        assert left == 1000 - 80 * severity
    assert 1000 - 120 < kept(points, made("density-decrease", 1, points)).sum() < 1000 - 60


def test_what_is_kept_keeps_its_order():
    """The first points of a cloud in farthest-point order stay a good sample."""
    points = sphere(500)
    for name in ("occlusion", "lidar", "density-decrease", "cutout"):
        mask = kept(points, after := made(name, 3, points))
        assert (after[: mask.sum()] == points[mask]).all()


def test_density_increase_moves_a_share_into_regions_on_the_surface():
    points = sphere(1000)
    after = made("density-increase", 5, points)
    moved = (after != points).any(axis=1)
    assert 0.4 < moved.mean() <= 0.5
    assert np.linalg.norm(after, axis=1).min() > 0.98
    # Three regions, of 5% each.
    assert kept_regions(after[moved], points) < 0.25


def kept_regions(moved, points):
    """Share of the points that have a moved one nearby."""
    return (cKDTree(moved).query(points)[0] < 0.05).mean()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_keeps_its_measure(severity):
    points, place = sphere(2000), severity - 1
    shift = made("uniform", severity, points) - points
    assert np.abs(shift).max() <= CORRUPTIONS["uniform"][1][place]
    assert np.abs(shift).max() > 0.9 * CORRUPTIONS["uniform"][1][place]
    shift = made("gaussian", severity, points) - points
    assert shift.std() == pytest.approx(CORRUPTIONS["gaussian"][1][place], rel=0.1)
    for name in ("impulse", "upsampling", "background"):
        changed = (made(name, severity, points) != points).any(axis=1)
        assert changed.mean() == pytest.approx(CORRUPTIONS[name][1][place], abs=1e-3)
    after = made("impulse", severity, points)
    changed = (after != points).any(axis=1)
    np.testing.assert_allclose(np.abs(after - points)[changed], 0.1)


def test_a_turn_keeps_distances_and_has_its_angle():
    points = sphere(200)
    after = made("rotation", 3, points)
    np.testing.assert_allclose(after @ after.T, points @ points.T, atol=1e-12)
    turn = np.linalg.lstsq(points, after, rcond=None)[0]
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) == pytest.approx(15)


def test_a_shear_is_linear_and_keeps_the_axes_scale():
    points = sphere(200)
    slant = np.linalg.lstsq(points, made("shear", 5, points), rcond=None)[0]
    np.testing.assert_allclose(np.diag(slant), 1)
    assert 0.05 < np.abs(slant - np.eye(3)).max() <= 0.25


def test_free_form_reproduces_a_constant_shift(monkeypatch):
    class Same:
        def uniform(self, low, high, size):
            return np.full(size, high)

    points = sphere(100)
    np.testing.assert_allclose(corruptions.ffd(points, 0.2, Same()) - points, 0.2)


@pytest.mark.parametrize("name", ["rbf", "inverse-rbf"])
def test_a_radial_basis_moves_its_control_points_as_drawn(name):
    sides = np.linspace(-1, 1, 3)
    lattice = np.stack(np.meshgrid(sides, sides, sides), axis=-1).reshape(-1, 3)
    shifts = np.random.default_rng(0).uniform(-0.15, 0.15, lattice.shape)
    np.testing.assert_allclose(made(name, 3, lattice) - lattice, shifts, atol=1e-9)


@pytest.mark.parametrize("name", NAMES[10:])
def test_transformations_treat_every_point_alike(name):
    """A point moves by where it is, and neighbours stay neighbours."""
    points = sphere(300)
    after = made(name, 5, points)
    order = np.random.default_rng(1).permutation(300)
    np.testing.assert_allclose(made(name, 5, points[order]), after[order], atol=1e-12)


def test_names_are_parsed():
    assert parse_names("all") == NAMES
    assert parse_names("shear, lidar,shear") == ("lidar", "shear")
    for wrong in ("", "fog", "all,shear", "shear,"):
        with pytest.raises(ConfigError, match="use all, or some of occlusion"):
            parse_names(wrong)
