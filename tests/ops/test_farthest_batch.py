import pytest
import torch

from pointmcd.ops.farthest_batch import _sample_torch, sample_farthest


def naive_from_centroid(points, count):
    """The definition, one cloud at a time: start farthest from the centroid, never twice."""
    rows = []
    for cloud in points:
        order = [int((cloud - cloud.mean(dim=0)).norm(dim=1).argmax())]
        while len(order) < min(count, len(cloud)):
            distances = torch.cdist(cloud, cloud[order]).amin(dim=1)
            distances[order] = -1
            order.append(int(distances.argmax()))
        rows.append(order)
    return torch.tensor(rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # numba and torch paths
@pytest.mark.parametrize("count", [1, 2, 13, 30, 100, None])
def test_batches_equal_the_definition(dtype, count):
    points = torch.randn(3, 30, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = sample_farthest(points, count)
    assert torch.equal(found, naive_from_centroid(points.double(), count or 30))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_paths_agree_on_ties(dtype):
    points = torch.randint(0, 3, (4, 50, 3), generator=torch.Generator().manual_seed(0))
    assert torch.equal(sample_farthest(points.to(dtype), 50), sample_farthest(points.double(), 50))


def test_permuted_clouds_give_the_same_points():
    points = torch.randn(2, 200, 3)
    order = torch.randperm(200)
    assert torch.equal(order[sample_farthest(points[:, order], 40)], sample_farthest(points, 40))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coinciding_points_are_each_taken_once(dtype):
    points = torch.zeros(2, 9, 3, dtype=dtype)
    points[:, 4:] = 1
    found = sample_farthest(points, 9)
    assert found.sort(dim=1).values.tolist() == [list(range(9))] * 2
    assert (found[:, :2] < 4).sum(dim=1).tolist() == [1, 1]  # one of each place first


def test_no_gradient_is_asked_of_the_order():
    found = sample_farthest(torch.randn(1, 8, 3, requires_grad=True), 3)
    assert found.dtype == torch.int64
    assert not found.requires_grad


def test_a_cloud_of_one_point():
    assert sample_farthest(torch.zeros(2, 1, 3), 4).tolist() == [[0], [0]]


@pytest.mark.parametrize(("size", "count"), [(0, 2), (5, 0)])
def test_nothing_to_sample_is_an_error(size, count):
    with pytest.raises(ValueError, match="1 or more"):
        sample_farthest(torch.zeros(1, size, 3), count)


class Sampled(torch.nn.Module):
    def forward(self, points):
        return sample_farthest(points, torch.sym_min(40, points.shape[1] // 2))


def written(path, points=None):
    """As an ONNX file of any batch, and of any number of points but where it is given."""
    pytest.importorskip("onnxruntime")
    from pointmcd.onnx_file import OnnxModule, write_onnx
    from pointmcd.ops.farthest_onnx import translations

    sizes = {0: torch.export.Dim("batch")}
    if points is None:
        sizes[1] = torch.export.Dim("points", min=2)
    examples = (torch.randn(3, points or 50, 3),)
    write_onnx(Sampled(), examples, path, "x", sizes=(sizes,), translations=translations())
    return OnnxModule(path, "x")


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    return written(tmp_path_factory.mktemp("onnx") / "farthest.onnx")


@pytest.mark.parametrize("shape", [(1, 2), (1, 3), (2, 9), (4, 81), (1, 500)])
@pytest.mark.parametrize("kind", ["normal", "grid", "one place"])
def test_in_onnx_the_same_points_are_taken(traced, shape, kind):
    points = torch.randn(*shape, 3, generator=torch.Generator().manual_seed(0))
    if kind == "grid":  # ties, and points that coincide
        points = points.round()
    elif kind == "one place":
        points = torch.ones_like(points)
    assert torch.equal(traced(points), Sampled()(points))


def test_in_onnx_of_one_size_the_batch_stays_open_and_the_loop_one_operation(tmp_path):
    one_size = written(tmp_path / "x.onnx", points=300)
    for batch in (1, 2, 5):
        points = torch.randn(batch, 300, 3, generator=torch.Generator().manual_seed(0))
        assert torch.equal(one_size(points), Sampled()(points))
    assert (tmp_path / "x.onnx").stat().st_size < 30_000  # no loop unrolled


def damaged(kind, batch, count):
    """Random clouds, clouds full of ties, or clouds with NaN."""
    points = torch.randn(batch, count, 3, generator=torch.Generator().manual_seed(count))
    if kind == "ties":
        return points.round()
    if kind == "nan":
        points[0, count // 2] = torch.nan
        points[-1, 0, 1] = torch.inf
    return points


@pytest.mark.parametrize("kind", ["random", "ties", "nan"])
@pytest.mark.parametrize(("count", "taken"), [(1, 4), (2, 2), (37, 37), (64, 20)])
def test_triton_takes_the_same_points(kind, count, taken, triton_device):
    points = damaged(kind, 2, count)
    wanted = sample_farthest(points.double(), taken)  # torch
    found = sample_farthest(points.to(triton_device), taken).cpu()
    assert torch.equal(found, wanted)
    assert all(len(set(row)) == min(count, taken) for row in found.tolist())


@pytest.mark.parametrize("kind", ["random", "ties", "nan"])
@pytest.mark.parametrize(
    ("count", "taken"), [(17, 17), (64, 40), pytest.param(100, 100, marks=pytest.mark.slow)]
)
def test_triton_takes_the_same_points_of_clouds_too_large_for_registers(
    kind, count, taken, triton_device, monkeypatch
):
    from pointmcd.ops.gpu import farthest

    monkeypatch.setattr(farthest, "MOST_POINTS", 16)
    monkeypatch.setattr(farthest, "TILE", 32)
    test_triton_takes_the_same_points(kind, count, taken, triton_device)


def test_triton_in_slices_of_another_layout(triton_device):
    points = torch.randn(3, 21, 5)[:, :, 1:4].to(triton_device)
    order = sample_farthest(points, 6)
    plain = order.clone()
    _sample_torch(points, plain)
    assert torch.equal(order, plain)
