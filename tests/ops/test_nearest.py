import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from pointmcd.ops.nearest import nearest_neighbours


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # numba and torch
@pytest.mark.parametrize(
    ("count", "channels", "k"),
    [(60, 3, 7), (150, 16, 20), (64, 1, 64), (300, 3, 20), (333, 8, 64), (400, 2, 65)],
)
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


@pytest.mark.parametrize("count", [30, 300])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, 1e30])
def test_points_that_are_no_numbers_still_give_indices(bad, count):
    points = torch.randn(2, count, 3)
    points[0, 3] = bad
    points[1] = bad
    index = nearest_neighbours(points, 8)
    assert index.min() >= 0
    assert index.max() < count


def test_many_ties_give_as_many_distinct_neighbours():
    points = torch.randint(0, 2, (2, 500, 3)).float()
    index = nearest_neighbours(points, 20)
    assert all(len(set(row)) == 20 for cloud in index.tolist() for row in cloud)
    near = points[0][index[0]]  # 500 points at 8 corners: all neighbours coincide
    assert torch.equal(near, points[0][:, None].expand_as(near))


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


@pytest.mark.parametrize(("count", "channels", "k"), [(1, 3, 4), (37, 5, 7), (40, 1, 40)])
def test_triton_finds_the_same_neighbours(count, channels, k, triton_device):
    points = torch.randn(2, count, channels, generator=torch.Generator().manual_seed(0))
    wanted = nearest_neighbours(points.double(), k).sort(dim=2).values
    found = nearest_neighbours(points.to(triton_device), k).cpu()
    assert torch.equal(found.sort(dim=2).values, wanted)
    if count > 1:
        assert torch.equal(found[:, :, 0], torch.arange(count).expand(2, count))


@pytest.mark.parametrize("bad", [0.0, torch.nan, torch.inf, -torch.inf, 1e30])
def test_triton_s_neighbours_are_distinct(bad, triton_device):
    points = torch.randn(2, 21, 3)
    points[0, 3], points[1] = bad, bad
    index = nearest_neighbours(points.to(triton_device), 8).cpu()
    assert all(len(set(row)) == 8 for cloud in index.tolist() for row in cloud)
    assert index.min() >= 0
    assert index.max() < 21


def test_triton_takes_the_first_of_equals(triton_device):
    points = torch.ones(1, 9, 2, device=triton_device)
    assert nearest_neighbours(points, 3).tolist() == [[[0, 1, 2]] * 9]
