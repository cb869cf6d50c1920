import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from pointmcd.ops.nearest import nearest_neighbours


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # numba and torch
@pytest.mark.parametrize(("count", "channels", "k"), [(60, 3, 7), (150, 16, 20), (64, 1, 64)])
def test_the_same_as_scikit_learn(dtype, count, channels, k):
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(3, count, channels, dtype=dtype, generator=generator)
    found = nearest_neighbours(points, k)
    for cloud, index in zip(points.numpy(), found.tolist(), strict=True):
        wanted = NearestNeighbors(n_neighbors=k).fit(cloud).kneighbors(cloud)[1].tolist()
        assert [set(row) for row in wanted] == [set(row) for row in index]
        assert all(len(set(row)) == k for row in index)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 4])
def test_a_cloud_smaller_than_k_gives_all_its_points(dtype, count):
    index = nearest_neighbours(torch.randn(2, count, 3, dtype=dtype), 20)
    assert index.sort(dim=2).values.tolist() == [[list(range(count))] * count] * 2


def test_each_point_is_among_its_own_neighbours():
    index = nearest_neighbours(torch.randn(2, 50, 3), 5)
    assert (index == torch.arange(50)[None, :, None]).any(dim=2).all()


def test_coinciding_points_have_distinct_neighbours():
    points = torch.zeros(1, 70, 4)
    points[0, 40:] = 1
    index = nearest_neighbours(points, 6)[0]
    assert all(len(set(row)) == 6 for row in index.tolist())
    assert (index[:40] < 40).all()
    assert (index[40:] >= 40).all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, 1e30])
def test_points_that_are_no_numbers_still_give_indices(bad):
    points = torch.randn(1, 30, 3)
    points[0, 3] = bad
    index = nearest_neighbours(points, 8)
    assert index.min() >= 0
    assert index.max() < 30


def test_threads_and_the_company_in_a_batch_change_nothing():
    points = torch.randn(4, 130, 8)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = nearest_neighbours(points, 9)
        torch.set_num_threads(2)
        assert torch.equal(nearest_neighbours(points, 9), one)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(nearest_neighbours(points[2:3], 9), one[2:3])


def test_no_clouds():
    assert nearest_neighbours(torch.randn(0, 5, 3), 2).shape == (0, 5, 2)
