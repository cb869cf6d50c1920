from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.speed.published.curvenet import aggregate
from pointmcd.ops.farthest_batch import sample_farthest
from pointmcd.ops.neighbours import gather_rows
from pointmcd.students._curves import CurveAggregation, CurveGrouping
from pointmcd.students._lpfa import LPFA, FirstLPFA, Graph
from pointmcd.students.base import PointFeatures
from pointmcd.students.curvenet import Level
from pointmcd.students.curvenet_parts import AttentionGate, CurvePartHead
from pointmcd.students.registry import create_student


def cloud(batch=2, count=64, seed=0, dtype=torch.float32):
    points = torch.randn(batch, count, 3, generator=torch.Generator().manual_seed(seed))
    return (points / points.norm(dim=2).amax(dim=1)[:, None, None]).to(dtype)


def settled(dense, dtype=torch.float32):
    """A student whose batch-norm statistics and layers are no longer at their start."""
    torch.manual_seed(0)
    student = create_student("curvenet", dense).to(dtype)
    for module in student.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.weight)
    student.train()
    for seed in range(3):
        student(cloud(seed=seed, dtype=dtype))
    return student.eval()


def outputs(features):
    return [x for x in (features.embeddings, features.local) if x is not None]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_local_aggregation_equals_the_published_form(first, training):
    torch.manual_seed(0)
    layer = (FirstLPFA(6) if first else LPFA(6)).double().train(training)
    for module in layer.modules():
        if isinstance(module, nn.BatchNorm1d):
            for tensor in (module.weight, module.bias, module.running_mean):
                nn.init.normal_(tensor)
    graph = Graph.of(cloud(3, 15, dtype=torch.float64), 4)
    features = torch.randn(3, 15, 6, dtype=torch.float64)
    start = {k: v.clone() for k, v in layer.state_dict().items()}
    weights = torch.randn(3, 15, 6, dtype=torch.float64)
    ours = (lambda leaf: layer(graph)) if first else (lambda leaf: layer(leaf, graph))

    def published(leaf):
        return aggregate(layer, None if first else leaf, graph.points, graph.near)

    results = []
    for function in (published, ours):
        layer.load_state_dict(start)
        layer.zero_grad()
        leaf = features.clone().requires_grad_()
        value = function(leaf)
        (value * weights).sum().backward()
        grads = [p.grad.clone() for p in layer.parameters()]
        buffers = [b.clone() for b in layer.buffers()]
        results.append([value.detach(), *([] if first else [leaf.grad]), *grads, *buffers])
    for wanted, found in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted)


def test_curves_start_where_attention_is_highest_and_carry_scaled_features():
    torch.manual_seed(0)
    layer = CurveGrouping(6, curves=4, length=3).eval()
    features, neighbours = torch.randn(2, 9, 6), torch.randint(0, 9, (2, 9, 5))
    curves = layer(features, neighbours)
    attention = torch.sigmoid(features @ layer.attention.weight[0])
    start = attention.argsort(dim=1, descending=True)[:, :4]
    for b in range(2):
        for first, path, carried in zip(start[b], curves.path[b], curves.features[b], strict=True):
            assert path[0] in neighbours[b, first]
            torch.testing.assert_close(carried, features[b, path] * attention[b, path, None])
            assert all(there in neighbours[b, here] for here, there in pairwise(path))


def test_aggregation_equals_loops_over_points_and_curves():
    torch.manual_seed(0)
    layer = CurveAggregation(6).double().eval()
    features, curves = torch.randn(1, 5, 6).double(), torch.randn(1, 4, 3, 6).double()
    logits = curves[0] @ layer.attention.weight[0]  # [4, 3]
    along = torch.stack([logits[i].softmax(0) @ curves[0, i] for i in range(4)])
    across = torch.stack([logits[:, j].softmax(0) @ curves[0, :, j] for j in range(3)])
    for n in range(5):
        read = []
        for pooled, key, value in zip((along, across), layer.keys, layer.values, strict=True):
            reduced = pooled @ key.weight.T
            mapping = (reduced @ (layer.query.weight @ features[0, n])).softmax(0)
            read.append(mapping @ (reduced @ value.weight.T))
        wanted = F.leaky_relu(features[0, n] + layer.fuse(torch.cat(read)[None])[0], 0.2)
        torch.testing.assert_close(layer(features, curves)[0, n], wanted)


def test_a_ball_keeps_the_largest_features():
    points = cloud(2, 20)
    level = Level(Graph.of(points, 4), torch.arange(20).expand(2, -1), torch.randn(2, 20, 3))
    kept = level.kept(5, radius=0.6, k=20)
    assert torch.equal(kept.graph.points, gather_rows(points, kept.index))
    for b in range(2):
        for m in range(5):
            inside = (points[b] - kept.graph.points[b, m]).norm(dim=1) <= 0.6
            assert torch.equal(kept.features[b, m], level.features[b, inside].amax(dim=0))


def test_points_are_in_farthest_point_order_and_are_put_back():
    points = cloud(2, 40)
    levels = create_student("curvenet").eval().encoder(points)
    order = sample_farthest(points, 40)
    assert torch.equal(levels[0].index, order)
    assert torch.equal(levels[0].restored(levels[0].graph.points), points)
    assert [level.index.shape[1] for level in levels] == [40, 10, 2]
    for level in levels:
        assert torch.equal(level.index, order[:, : level.index.shape[1]])
        assert torch.equal(level.graph.points, gather_rows(points, level.index))


def test_a_gate_weighs_each_point_of_the_skip_link():
    torch.manual_seed(0)
    gate = AttentionGate(6, 4).eval()
    carried, own = torch.randn(2, 9, 6), torch.randn(2, 9, 4)
    for b in range(2):
        for n in range(9):
            both = gate.carried(carried[b, n][None]) + gate.own(own[b, n][None])
            weight = torch.sigmoid(gate.weight(F.leaky_relu(both, 0.2))[0, 0])
            torch.testing.assert_close(gate(carried, own)[b, n], own[b, n] * weight)


def test_the_head_for_parts_excites_channels_shape_by_shape():
    torch.manual_seed(0)
    head = CurvePartHead(5, num_classes=2, num_parts=3, k=4).eval()
    points, local, onehot = cloud(2, 12), torch.randn(2, 12, 5), torch.eye(2)
    found = torch.cat([points, local, onehot[:, None].expand(-1, 12, -1)], 2)
    graph = Graph.of(points, 4)
    for block in head.blocks:
        found = block(found, graph)
    found = F.leaky_relu(head.layer(found), 0.2)
    wanted = []
    for shape in found:
        squeezed = F.leaky_relu(head.squeeze(shape.mean(dim=0)[None]), 0.2)
        wanted.append(head.classifier(shape * torch.sigmoid(head.excite(squeezed))))
    features = PointFeatures(points, local=local)
    torch.testing.assert_close(head(points, features, onehot), torch.stack(wanted))


def test_a_graphs_curves_must_move_on():
    graph = Graph.of(cloud(2, 9), 4)
    here = torch.arange(9)[None, :, None]
    assert (graph.near == here).any(dim=2).all()
    assert not (graph.others == here).any()
    assert graph.near.shape == graph.others.shape == (2, 9, 4)
    assert Graph.of(cloud(1, 2), 4).others.tolist() == [[[1], [0]]]
    assert Graph.of(cloud(1, 1), 4).others.tolist() == [[[0]]]


@pytest.mark.parametrize("dense", [False, True])
def test_kept_points_and_their_index(dense):
    student = create_student("curvenet", dense).eval()
    with torch.inference_mode():
        features = student(cloud(2, 1024))
    assert features.embeddings.shape == (2, 64, student.num_features)
    assert features.index.shape == (2, 64)
    assert all(len(set(row)) == 64 for row in features.index.tolist())
    if dense:
        assert features.local.shape == (2, 1024, student.num_local)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("count", [1, 2, 17, 4096])
def test_any_number_of_points(dense, count):
    student = create_student("curvenet", dense).eval()
    with torch.inference_mode():
        features = student(cloud(1, count))
    assert features.embeddings.shape[1] == max(count // 16, 1)
    assert all(x.isfinite().all() for x in outputs(features))


@pytest.mark.parametrize("dense", [False, True])
def test_gradients_reach_every_parameter_and_the_walk_learns(dense):
    torch.manual_seed(0)
    student = create_student("curvenet", dense).train()
    sum(x.square().mean() for x in outputs(student(cloud(4, 128)))).backward()
    for name, parameter in student.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if ".agent.linear" in name or ".mixer.linear" in name or "grouping.attention" in name:
            assert parameter.grad.count_nonzero() > 0, name


@pytest.mark.parametrize("dense", [False, True])
def test_coinciding_points_give_finite_features_and_gradients(dense):
    torch.manual_seed(0)
    student = create_student("curvenet", dense).train()
    loss = sum(x.square().sum() for x in outputs(student(torch.full((2, 40, 3), 0.3))))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in student.parameters())


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_permuted_points_give_the_same_pooled_embeddings(dense, dtype):
    student, points = settled(dense, dtype), cloud(2, 200, dtype=dtype)
    order = torch.randperm(200)
    with torch.inference_mode():
        first, second = student(points), student(points[:, order])
    assert first.embeddings.dtype == dtype
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(second.embeddings.amax(1), first.embeddings.amax(1), **close)
    if dense:
        torch.testing.assert_close(second.local, first.local[:, order], **close)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dense", [False, True])
def test_it_draws_no_random_numbers(dense, training):
    student, points = settled(dense).train(training), cloud(2, 100)
    state = torch.get_rng_state()
    with torch.inference_mode():
        first, second = outputs(student(points)), outputs(student(points))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_training_repeats():
    def trained():
        student = create_student("curvenet").train()
        student.load_state_dict(start)
        optimiser = torch.optim.SGD(student.parameters(), lr=0.01)
        for step in range(2):
            optimiser.zero_grad()
            student(cloud(2, 64, seed=step)).embeddings.square().mean().backward()
            optimiser.step()
        return torch.cat([p.detach().flatten() for p in student.parameters()])

    start = create_student("curvenet").state_dict()
    assert torch.equal(trained(), trained())
