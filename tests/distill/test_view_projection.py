import numpy as np
import pytest
import torch
from torch import nn

from pointmcd.distill.projection import ViewProjection, visible_embeddings
from pointmcd.students.base import PointFeatures

B, N, M, V, C, D = 3, 12, 7, 4, 5, 6


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def cloud(count=N):
    return torch.randn(B, count, C), torch.rand(B, N, V) < 0.4


def by_hand(branch, embeddings, visibility):
    """One view at a time: the max over what it sees (zero where it sees nothing), projected."""
    rows = []
    for b in range(B):
        for v in range(V):
            seen = [m for m in range(embeddings.shape[1]) if visibility[b, m, v]]
            zero = torch.zeros(C)
            rows.append(torch.stack([embeddings[b, m] for m in seen]).amax(0) if seen else zero)
    flat = torch.stack(rows) @ branch.linear.weight.T
    if branch.training:
        mean, var = flat.mean(0), flat.var(0, unbiased=False)
    else:
        mean, var = branch.norm.running_mean, branch.norm.running_var
    normed = (flat - mean) / (var + branch.norm.eps).sqrt()
    return (normed * branch.norm.weight + branch.norm.bias).view(B, V, -1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("signed", [True, False])
def test_descriptors_are_those_computed_by_hand(training, signed):
    branch = ViewProjection(C, D, signed=signed)
    nn.init.normal_(branch.norm.weight)
    nn.init.normal_(branch.norm.bias)
    branch.norm.running_mean.normal_()
    branch.train(training)
    embeddings, visibility = cloud()
    visibility[1, :, 2] = False  # a view that sees nothing
    visibility[2, :, 0] = True
    expected = by_hand(branch, embeddings, visibility)
    found = branch(PointFeatures(embeddings), visibility)
    assert found.shape == (B, V, D)
    assert torch.allclose(found, expected if signed else expected.relu(), atol=1e-5)


def test_only_signed_descriptors_may_be_negative():
    embeddings, visibility = cloud()
    signed, plain = ViewProjection(C, D, signed=True), ViewProjection(C, D)
    plain.load_state_dict(signed.state_dict())
    below = signed(PointFeatures(embeddings), visibility)
    above = plain(PointFeatures(embeddings), visibility)
    assert below.min() < 0
    assert torch.equal(above, below.relu())


def test_a_subset_of_points_has_the_visibility_of_those_points():
    embeddings, visibility = cloud(M)
    index = torch.stack([torch.randperm(N)[:M] for _ in range(B)])
    gathered = visible_embeddings(PointFeatures(embeddings, index), visibility)
    for b in range(B):
        for m in range(M):
            assert gathered[b, m].tolist() == visibility[b, index[b, m]].tolist()
    branch = ViewProjection(C, D)
    subset = branch(PointFeatures(embeddings, index), visibility)
    assert torch.equal(subset, branch(PointFeatures(embeddings), gathered))


def test_an_index_of_all_points_in_order_is_no_index():
    embeddings, visibility = cloud()
    index = torch.arange(N).expand(B, N)
    branch = ViewProjection(C, D)
    indexed = branch(PointFeatures(embeddings, index), visibility)
    assert torch.equal(indexed, branch(PointFeatures(embeddings), visibility))


def test_an_index_may_repeat_a_point():
    embeddings, visibility = cloud(M)
    index = torch.zeros(B, M, dtype=torch.int64)
    gathered = visible_embeddings(PointFeatures(embeddings, index), visibility)
    assert torch.equal(gathered, visibility[:, :1].expand(B, M, V))


def test_the_order_of_the_points_changes_nothing():
    embeddings, visibility = cloud()
    order = torch.randperm(N)
    branch = ViewProjection(C, D)
    before = branch(PointFeatures(embeddings), visibility)
    after = branch(PointFeatures(embeddings[:, order]), visibility[:, order])
    assert torch.equal(before, after)
    index = torch.stack([torch.randperm(N) for _ in range(B)])
    listed = embeddings.gather(1, index[:, :, None].expand(-1, -1, C))
    assert torch.equal(branch(PointFeatures(listed, index), visibility), before)


def test_the_order_of_the_views_is_kept_and_the_projection_shared():
    embeddings, visibility = cloud()
    order = torch.tensor([2, 0, 3, 1])
    branch = ViewProjection(C, D).eval()
    before = branch(PointFeatures(embeddings), visibility)
    after = branch(PointFeatures(embeddings), visibility[:, :, order])
    assert torch.allclose(after, before[:, order], atol=1e-6)


def test_gradients_reach_visible_points_alone():
    embeddings, visibility = cloud()
    visibility[0, 3] = False
    embeddings.requires_grad_()
    branch = ViewProjection(C, D, signed=True)
    branch(PointFeatures(embeddings), visibility).square().sum().backward()
    assert embeddings.grad[0, 3].abs().sum() == 0
    assert embeddings.grad.abs().sum() > 0
    assert branch.linear.weight.grad.abs().sum() > 0


def test_started_from_the_targets_the_descriptors_have_their_mean_and_deviation():
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor([0.01, 1.0, 30.0])
    targets = (torch.randn(40, 4, 3, generator=generator) + 2) * sizes
    branch = ViewProjection(8, 3, signed=True)
    flat = targets.flatten(0, 1)
    branch.start_from(flat.mean(dim=0).numpy(), flat.std(dim=0, unbiased=False).numpy())
    features = PointFeatures(torch.randn(64, 5, 8, generator=generator))
    descriptors = branch.train()(features, torch.ones(64, 5, 4, dtype=torch.bool)).flatten(0, 1)
    torch.testing.assert_close(descriptors.mean(dim=0), flat.mean(dim=0), rtol=1e-4, atol=1e-5)
    wanted = flat.std(dim=0, unbiased=False)
    torch.testing.assert_close(descriptors.std(dim=0, unbiased=False), wanted, rtol=1e-2, atol=1e-4)


def test_started_from_targets_that_never_vary_it_is_finite():
    branch = ViewProjection(8, 3)
    branch.start_from(np.zeros(3), np.zeros(3))
    features = PointFeatures(torch.randn(2, 5, 8))
    descriptors = branch(features, torch.ones(2, 5, 2, dtype=torch.bool))
    assert descriptors.isfinite().all()


def test_the_methods_projection_has_512_channels_and_no_bias():
    assert {name: tuple(p.shape) for name, p in ViewProjection(1024).named_parameters()} == {
        **{"linear.weight": (512, 1024), "norm.weight": (512,), "norm.bias": (512,)},
    }
