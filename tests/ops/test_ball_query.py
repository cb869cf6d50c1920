import pytest
import torch
from torch import nn

from pointmcd.ops.ball_query import (
    _group_torch,
    _query_numba,
    _query_torch,
    ball_group,
    ball_query,
)


def naive(centres, points, radius, k):
    """Sorted distances of the k nearest within the radius, each centre by itself."""
    found = []
    for cloud_centres, cloud in zip(centres, points, strict=True):
        distances = (cloud_centres[:, None] - cloud[None]).norm(dim=2).sort(dim=1).values
        nearest = distances[:, :k]
        found.append(torch.where(nearest <= radius, nearest, distances[:, :1]))
    return torch.stack(found).sort(dim=2).values


def distances_of(index, centres, points):
    places = points[torch.arange(len(points))[:, None, None], index]
    return (places - centres[:, :, None]).norm(dim=3).sort(dim=2).values


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # numba and torch paths
@pytest.mark.parametrize(("radius", "k"), [(0.3, 8), (1.0, 5), (2.0, 64), (torch.inf, 3)])
def test_equals_the_definition(dtype, radius, k):
    torch.manual_seed(0)
    points, centres = torch.randn(3, 64, 3, dtype=dtype), torch.randn(3, 20, 3, dtype=dtype)
    index = ball_query(centres, points, radius, k)
    assert index.shape == (3, 20, k)
    wanted = naive(centres, points, radius, k)
    torch.testing.assert_close(distances_of(index, centres, points), wanted)


class Query(nn.Module):
    def __init__(self, query):
        super().__init__()
        self.query = query

    def forward(self, centres, points):
        return self.query(centres, points, 0.8, 6)


@pytest.mark.parametrize("query", [ball_query, ball_group])
def test_an_exported_program_finds_the_same_points(query):
    centres, points, layer = torch.randn(2, 7, 3), torch.randn(2, 40, 3), Query(query)
    program = torch.export.export(layer, (centres, points), strict=False).module()
    points = torch.randn(2, 40, 3)
    assert torch.equal(program(centres, points), layer(centres, points))


def test_a_cloud_of_one_point():
    assert ball_query(torch.ones(1, 2, 3), torch.zeros(1, 1, 3), 0.5, 4).tolist() == [[[0], [0]]]


def test_both_paths_find_the_same_points():
    points = torch.randn(2, 80, 3)
    for radius, k in [(0.4, 6), (1.0, 30)]:
        ours, reference = (f(points, points, radius, k) for f in (_query_numba, _query_torch))
        assert torch.equal(ours.sort(dim=2).values, reference.sort(dim=2).values)


@pytest.mark.parametrize("query", [_query_numba, _query_torch])
def test_ties_at_the_last_place_fill_the_row_without_repeats(query):
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)[None]
    index = query(torch.zeros(1, 1, 3), corners, 2.0, 5)
    assert len(set(index.flatten().tolist())) == 5


@pytest.mark.parametrize("query", [_query_numba, _query_torch])
def test_short_rows_repeat_the_nearest(query):
    points = torch.tensor([[[5.0, 0, 0], [0, 0, 0], [0.5, 0, 0], [4, 0, 0]]])
    centres = torch.tensor([[[0.1, 0, 0], [100, 0, 0]]])
    index = query(centres, points, 1.0, 4).sort(dim=2).values
    assert index[0, 0].tolist() == [1, 1, 1, 2]
    assert index[0, 1].tolist() == [0, 0, 0, 0]  # an empty ball: the nearest of all


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_point_finds_itself_far_from_the_origin(dtype):
    points = torch.randn(2, 50, 3, dtype=dtype) + 100
    index = ball_query(points, points, 1e-9, 4)
    assert torch.equal(index, torch.arange(50)[None, :, None].expand(2, 50, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_duplicates_and_clouds_smaller_than_k(dtype):
    points = torch.zeros(1, 5, 3, dtype=dtype)
    index = ball_query(points[:, :2], points, 0.1, 8)
    assert index.shape == (1, 2, 5)
    assert index[0, 0].sort().values.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("query", [ball_query, ball_group])
@pytest.mark.parametrize(("count", "k"), [(0, 3), (4, 0)])
def test_nothing_to_find_is_an_error(query, count, k):
    with pytest.raises(ValueError, match=f"k is {k} of {count}"):
        query(torch.zeros(1, 1, 3), torch.zeros(1, count, 3), 0.1, k)


def naive_group(centres, points, radius, k):
    """A centre at a time, a point at a time; padded by the first, or by the nearest of all."""
    found = []
    for cloud_centres, cloud in zip(centres, points, strict=True):
        for centre in cloud_centres:
            distances = [float((centre - point).norm()) for point in cloud]
            inside = [j for j, distance in enumerate(distances) if distance <= radius]
            row = inside[:k] or [distances.index(min(distances))]
            found.append(row + [row[0]] * (k - len(row)))
    return torch.tensor(found).view(*centres.shape[:2], k)


GROUPS = pytest.mark.parametrize(
    "group", [lambda *given: _query_numba(*given, first=True), _group_torch]
)


@GROUPS
@pytest.mark.parametrize(("radius", "k"), [(0.3, 8), (1.0, 5), (2.0, 64), (torch.inf, 3)])
def test_a_group_is_the_first_points_in_the_ball(group, radius, k):
    torch.manual_seed(0)
    points, centres = torch.randn(3, 64, 3), torch.randn(3, 20, 3)
    wanted = naive_group(centres, points, radius, k)
    assert torch.equal(group(centres, points, radius, k), wanted)
    assert torch.equal(ball_group(centres.double(), points.double(), radius, k), wanted)


@GROUPS
def test_a_group_of_ties_few_or_none(group):
    points = torch.tensor([[[5.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1]]])
    centres = torch.tensor([[[0.0, 0, 0], [5, 0, 0], [7, 0, 0]]])
    assert group(centres, points, 1.0, 3).tolist() == [[[1, 2, 3], [0, 0, 0], [0, 0, 0]]]
    assert group(centres, points, 1.0, 5)[0, 0].tolist() == [1, 2, 3, 4, 1]
    assert group(centres, points[:, 1:], 0.1, 2)[0, 2].tolist() == [0, 0]  # the nearest, once more
    assert ball_group(centres, points[:, :1], 0.1, 4).tolist() == [[[0], [0], [0]]]


def odd_clouds(kind, near, count):
    """Centres and clouds: random, full of ties, or with NaN."""
    generator = torch.Generator().manual_seed(count)
    points = torch.randn(2, count, 3, generator=generator)
    centres = torch.cat([points[:, :2], torch.randn(2, near, 3, generator=generator)], dim=1)
    if kind == "ties":
        points, centres = points.round(), centres.round()
    elif kind == "nan":
        points[0, count // 2], centres[1, 1] = torch.nan, torch.nan
        points[1, 0, 2] = torch.inf
    return centres, points


@pytest.mark.parametrize("kind", ["random", "ties", "nan"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("radius", "k", "count"), [(0.5, 5, 21), (1.0, 4, 3), (torch.inf, 3, 17)])
def test_triton_finds_the_same_points(first, kind, radius, k, count, triton_device, monkeypatch):
    from pointmcd.ops.gpu import ball_query as gpu

    monkeypatch.setattr(gpu, "_POINTS", 16)  # several tiles
    centres, points = odd_clouds(kind, 1, count)
    wanted = _query_numba(centres, points, radius, min(k, count), first=first)
    query = ball_group if first else ball_query
    found = query(centres.to(triton_device), points.to(triton_device), radius, k).cpu()
    assert torch.equal(found, wanted)  # ties too
