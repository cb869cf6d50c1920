import pytest
import torch
from torch import nn

from pointmcd.ops.ball_query import ball_group, ball_query
from pointmcd.ops.farthest_batch import sample_farthest
from pointmcd.ops.interpolation import interpolate
from pointmcd.ops.neighbours import gather_rows
from pointmcd.students.pointnet2 import Grouping, Level, Propagation, Scale
from pointmcd.students.registry import create_student

SEGMENTERS = ["pointnet2", "pointnet2-msg", "pointnet2-propagated"]


def cloud(batch=2, count=64, seed=0):
    points = torch.randn(batch, count, 3, generator=torch.Generator().manual_seed(seed))
    return points / points.norm(dim=2).amax(dim=1)[:, None, None]


def settled(name, dense=True):
    """A student whose batch-norm statistics and layers are no longer at their start."""
    torch.manual_seed(0)
    student = create_student(name, dense).train()
    for module in student.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.weight)
    for seed in range(3):
        student(cloud(seed=seed))
    return student.eval()


@pytest.mark.parametrize(
    ("count", "half", "kept"),
    [(1, 1, 1), (7, 3, 1), (40, 20, 5), (1024, 512, 128), (3000, 512, 128)],
)
def test_half_of_the_points_and_then_an_eighth_are_kept_up_to_512_and_128(count, half, kept):
    student, halves = create_student("pointnet2").eval(), []
    student.first.register_forward_hook(
        lambda _, given, found: halves.append(found.points.shape[:2])
    )
    features = student(cloud(1, count))
    assert halves == [(1, half)]
    assert features.embeddings.shape == (1, kept, 1024)
    assert features.index.shape == (1, kept)
    assert len(set(features.index[0].tolist())) == kept


def test_the_points_kept_are_farthest_points_of_each_level():
    student, points = create_student("pointnet2").eval(), cloud(2, 200)
    index = sample_farthest(points, 100)
    halves = gather_rows(points, index)
    kept = index[:, :1]  # the second level begins where the first did, as published
    for _ in range(24):
        distances = torch.cdist(halves, gather_rows(points, kept)).amin(dim=2)
        kept = torch.cat([kept, index.gather(1, distances.argmax(dim=1, keepdim=True))], dim=1)
    assert torch.equal(student(points).index, kept)


@pytest.mark.parametrize("dense", [False, True])
def test_groups_are_spread_over_the_ball_by_default_and_the_nearest_by_name(dense):
    """500 points of a disc fill every ball beyond its k."""
    angle, radius = torch.rand(2, 1, 500)
    points = torch.stack([angle.mul(6.28).cos(), angle.mul(6.28).sin()], dim=2)
    points = torch.cat([points * 0.3 * radius.sqrt()[..., None], torch.zeros(1, 500, 1)], dim=2)
    reach = {}
    for name, query in (("pointnet2", ball_group), ("pointnet2-nearest", ball_query)):
        grouping = create_student(name, dense).first.groupings[0]
        assert grouping.group is query
        ordered = gather_rows(points, sample_farthest(points, 500))
        index = grouping.group(ordered[:, :250], ordered, 0.2, grouping.scale.k)
        places = gather_rows(ordered, index)
        reach[name] = (places - ordered[:, :250, None]).norm(dim=3).amax(dim=2).mean()
    assert reach["pointnet2-nearest"] < 0.8 * reach["pointnet2"] < 0.8 * 0.2


def naive_grouping(layer, centres, below):
    """A group at a time, an edge at a time: [p_j - c_i, f_j] through the MLP, then the max."""
    index = ball_group(centres, below.points, layer.scale.radius, layer.scale.k)
    edges = []
    for b, groups in enumerate(index.tolist()):
        for centre, group in zip(centres[b], groups, strict=True):
            for j in group:
                relative = below.points[b, j] - centre
                edges.append(torch.cat([relative, below.features[b, j]]))
    rows = torch.stack(edges)
    linears = [m for m in layer.modules() if isinstance(m, nn.Linear)]
    norms = [m for m in layer.modules() if isinstance(m, nn.BatchNorm1d)]
    for linear, norm in zip(linears, norms, strict=True):
        rows = torch.relu(norm(linear(rows)))
    return rows.view(*index.shape, -1).max(dim=2).values


def naive_propagation(layer, above, below):
    """Interpolate, join, then the MLP."""
    carried = interpolate(above.features, above.points, below.points)
    rows = torch.cat([carried, below.features], dim=2).flatten(0, 1)
    for module in [layer.first, *layer.rest]:
        rows = torch.relu(module.norm(module.linear(rows)))
    return rows.view(*below.points.shape[:2], -1)


def compare(layer, training, functions, leaves):
    """Values, gradients and running statistics of both functions are equal."""
    torch.manual_seed(1)
    layer.double().train(training)
    for module in layer.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.weight)
            module.running_mean.normal_()
    start = {k: v.clone() for k, v in layer.state_dict().items()}
    results = []
    for function in functions:
        layer.load_state_dict(start)
        layer.zero_grad()
        copies = [leaf.clone().requires_grad_() for leaf in leaves]
        value = function(*copies)
        (value * torch.arange(value.numel()).view_as(value).sin()).sum().backward()
        grads = [p.grad.clone() for p in (*layer.parameters(), *copies)]
        results.append([value.detach(), *grads, *(b.clone() for b in layer.buffers())])
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("channels", [0, 4])
def test_a_grouping_equals_the_published_form(training, channels):
    torch.manual_seed(0)
    layer = Grouping(channels, Scale(0.8, 6, (5, 7, 8)))
    points, features = cloud(3, 20).double(), torch.randn(3, 20, channels, dtype=torch.float64)
    functions = (
        lambda p, f: naive_grouping(layer, p[:, :9], Level(p, f)),
        lambda p, f: layer(p[:, :9], Level(p, f)),
    )
    compare(layer, training, functions, [points, features])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("sources", [1, 9])
def test_a_propagation_equals_the_published_form(training, sources):
    torch.manual_seed(0)
    layer = Propagation(6, 2, (5, 4))
    points, skip = cloud(3, 20).double(), torch.randn(3, 20, 2, dtype=torch.float64)
    at, features = points[:, :sources], torch.randn(3, sources, 6, dtype=torch.float64)
    functions = (
        lambda f, s: naive_propagation(layer, Level(at, f), Level(points, s)),
        lambda f, s: layer(Level(at, f), Level(points, s)).features,
    )
    compare(layer, training, functions, [features, skip])


def test_an_embedding_sees_what_is_near_its_point_and_not_what_is_far():
    """Two blobs far apart: moving one changes the embeddings that sit in it and no others."""
    student = settled("pointnet2", dense=False)
    points = cloud(1, 64) * 0.3
    points[:, 32:] += 5
    moved = points.clone()
    moved[:, 40:] += torch.tensor([0.01, 0.02, 0])
    with torch.inference_mode():
        first, second = student(points), student(moved)
    for position, embedding in zip(first.index[0], first.embeddings[0], strict=True):
        same = (second.index[0] == position).nonzero().flatten()
        if position < 32:
            torch.testing.assert_close(second.embeddings[0, same[0]], embedding)
        elif len(same):
            assert not torch.allclose(second.embeddings[0, same[0]], embedding)
    assert (first.index < 32).any()
    assert (first.index >= 32).any()


@pytest.mark.parametrize("name", ["pointnet2", "pointnet2-msg"])
def test_permuted_points_keep_their_embeddings_and_local_follows(name):
    student, points = settled(name), cloud()
    order = torch.randperm(64)
    with torch.inference_mode():
        first, second = student(points), student(points[:, order])
    assert torch.equal(order[second.index], first.index)
    torch.testing.assert_close(second.embeddings, first.embeddings, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(second.local, first.local[:, order], rtol=1e-4, atol=1e-4)


def test_propagated_embeddings_are_those_of_the_kept_points_there_with_the_same_max():
    kept = create_student("pointnet2", propagate=False).eval()
    carried = create_student("pointnet2-propagated").eval()
    carried.load_state_dict(kept.state_dict())
    points = cloud()
    with torch.inference_mode():
        few, many = kept(points), carried(points)
    assert many.index is None
    assert many.embeddings.shape == (2, 64, 1024)
    there = many.embeddings[torch.arange(2)[:, None], few.index]
    torch.testing.assert_close(there, few.embeddings)
    torch.testing.assert_close(many.embeddings.amax(dim=1), few.embeddings.amax(dim=1))


@pytest.mark.parametrize("name", SEGMENTERS)
def test_segmentation_gives_local_features_and_gradients_reach_every_parameter(name):
    student = create_student(name, dense=True).train()
    features = student(cloud(4))
    assert features.local.shape == (4, 64, student.num_local)
    (features.local.square().mean() + features.embeddings.square().mean()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in student.parameters())


@pytest.mark.parametrize("name", SEGMENTERS)
@pytest.mark.parametrize("count", [1, 2, 17, 1100])
def test_segmentation_takes_any_number_of_points(name, count):
    with torch.inference_mode():
        features = create_student(name, dense=True).eval()(cloud(1, count))
    assert features.local.shape == (1, count, 128)
    assert features.local.isfinite().all()


@pytest.mark.parametrize("training", [True, False])
def test_clouds_of_one_place_give_finite_features_and_gradients(training):
    student = create_student("pointnet2", dense=True).train(training)
    features = student(torch.full((2, 40, 3), 0.3))
    (features.local.sum() + features.embeddings.sum()).backward()
    assert features.embeddings.isfinite().all()
    assert features.local.isfinite().all()
    assert all(p.grad.isfinite().all() for p in student.parameters())


def test_float64_agrees_with_float32():
    student, points = settled("pointnet2-msg"), cloud()
    with torch.inference_mode():
        single = student(points)
        double = student.double()(points.double())
    assert torch.equal(single.index, double.index)
    torch.testing.assert_close(single.local.double(), double.local, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(single.embeddings.double(), double.embeddings, rtol=1e-3, atol=1e-3)


def test_mixed_precision_groups_the_same_points_and_stays_near():
    student, points = settled("pointnet2"), cloud()
    with torch.inference_mode():
        wanted = student(points)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = student(points)
    assert torch.equal(found.index, wanted.index)
    for one, other in ((found.embeddings, wanted.embeddings), (found.local, wanted.local)):
        assert (one - other).norm() < 0.02 * other.norm()
