import numpy as np
import pytest

from pointmcd.views.neighbourhoods import roughness, strays


def plate(count, noise=0.0):
    random = np.random.default_rng(0)
    flat = np.column_stack([random.uniform(-1, 1, (count, 2)), np.zeros(count)])
    return flat + noise * random.normal(size=flat.shape)


def ball(count):
    points = np.random.default_rng(1).normal(size=(count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def test_clean_planes_are_smooth_and_noise_is_rough():
    assert roughness(plate(3000)) < 1e-9
    rough = [roughness(plate(3000, noise)) for noise in (0.002, 0.01, 0.05)]
    assert rough == sorted(rough)
    assert rough[0] > 0.01
    assert 0.2 < rough[2] < 0.35


def test_curved_is_not_rough_where_it_is_dense():
    assert roughness(ball(20_000)) < 0.02


def test_size_and_place_change_no_roughness():
    cloud = plate(500, 0.01)
    assert roughness(cloud * 37 + [5, -2, 9]) == pytest.approx(roughness(cloud), rel=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2, 5, 6, 7])
def test_few_points(count):
    points = np.random.default_rng(count).normal(size=(count, 3))
    assert 0 <= roughness(points) <= 1
    assert not strays(points).any()


def test_points_on_a_line_are_smooth():
    assert roughness(np.linspace(0, 1, 50)[:, None] * [1.0, 2.0, 3.0]) < 1e-6


def test_lone_points_are_strays_and_groups_are_not():
    far = np.array([[9.0, 0, 0], [0, -7.0, 2.0]])
    group = 5 + 0.01 * ball(12)
    marked = strays(np.concatenate([plate(1000), far, group]))
    assert np.flatnonzero(marked).tolist() == [1000, 1001]


def test_a_clean_cloud_has_no_strays_nor_one_of_uneven_density():
    assert not strays(plate(2000)).any()
    dense, sparse = plate(4000) * 0.1, plate(1000) + np.array([0, 0, 1.0])
    assert not strays(np.concatenate([dense, sparse])).any()


def test_where_most_points_coincide_none_is_a_stray():
    assert not strays(np.concatenate([np.zeros((300, 3)), ball(20)])).any()
