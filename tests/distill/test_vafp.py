import numpy as np
import pytest
import torch

from pointmcd.data.dataset import Batch
from pointmcd.distill.objective import Setup, read_terms
from pointmcd.distill.statistics import channel_statistics
from pointmcd.students.base import PointFeatures

B, N, V, C, D = 3, 12, 4, 5, 6
NOTHING = torch.zeros(B, 0)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def objective(text, targets):
    (term,) = read_terms([text])
    stored = targets.numpy()
    setup = Setup(C, {"descriptors": stored.shape[1:]}, lambda _: channel_statistics(stored), None)
    return term.kind(term.options, setup)


def batch_of(targets):
    visibility = torch.rand(B, N, V) < 0.4
    return Batch(torch.randn(B, N, 3), torch.zeros(B), None, visibility, {"descriptors": targets})


def entries(a, b):
    return [(x, y) for x, y in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)]


def naive_l1(a, b):
    gaps = [abs(x - y) for x, y in entries(a, b)]
    return sum(gaps) / len(gaps)


def naive_smooth_l1(a, b):
    gaps = [abs(x - y) for x, y in entries(a, b)]
    return sum(g * g / 2 if g < 1 else g - 0.5 for g in gaps) / len(gaps)


def naive_cosine(a, b):
    rows = list(zip(a.flatten(0, 1), b.flatten(0, 1), strict=True))
    return sum(1 - float(x @ y / (x.norm() * y.norm())) for x, y in rows) / len(rows)


@pytest.mark.parametrize(
    ("distance", "naive"),
    [("l1", naive_l1), ("smooth_l1", naive_smooth_l1), ("cosine", naive_cosine)],
)
def test_each_distance_is_its_formula(distance, naive):
    targets = 2 * torch.randn(B, V, D)
    vafp = objective(f"vafp,distance={distance}", targets)
    features, batch = PointFeatures(torch.randn(B, N, C)), batch_of(targets)
    descriptors = vafp.projection(features, batch.visibility).detach()
    loss = vafp(features, NOTHING, batch)
    assert loss.shape == ()
    assert float(loss.detach()) == pytest.approx(naive(descriptors, targets), rel=1e-5)
    agreement = float(vafp.agreement(features, NOTHING, batch))
    assert agreement == pytest.approx(1 - naive_cosine(descriptors, targets), rel=1e-5)
    same = batch._replace(teacher={"descriptors": descriptors})
    assert float(vafp(features, NOTHING, same)) == pytest.approx(0, abs=1e-6)


def test_standardised_targets_have_zero_mean_and_unit_variance_where_they_vary():
    targets = torch.randn(B, V, D).abs() * torch.tensor([0.01, 1, 30, 5, 2, 1]) + 3
    targets[..., 5] = 7
    vafp = objective("vafp,distance=l1,standardise=true", targets)
    assert vafp.projection.signed  # a ReLU could not reach them
    features, batch = PointFeatures(torch.randn(B, N, C)), batch_of(targets)
    flat = targets.flatten(0, 1)
    scale = flat.std(dim=0, unbiased=False)
    scale[5] = 1
    standard = (targets - flat.mean(dim=0)) / scale
    descriptors = vafp.projection(features, batch.visibility)
    expected = (descriptors - standard).abs().mean()
    assert float(vafp(features, NOTHING, batch)) == pytest.approx(float(expected), rel=1e-4)
    assert not {"mean", "scale"} & vafp.state_dict().keys()


@pytest.mark.parametrize(("least", "signed"), [(0.0, False), (-0.1, True)])
def test_only_targets_below_zero_take_the_relu_away(least, signed):
    targets = torch.rand(B, V, D)
    targets[0, 0, 0] = least
    assert objective("vafp", targets).projection.signed is signed


@pytest.mark.parametrize("start", ["plain", "targets"])
def test_where_the_projection_starts(start):
    targets = 5 * torch.rand(B, V, D) + 2
    norm = objective(f"vafp,start={start}", targets).projection.norm
    flat = targets.flatten(0, 1)
    mean, deviation = (flat.mean(0), flat.std(0, unbiased=False)) if start == "targets" else (0, 1)
    assert torch.allclose(norm.bias, mean + torch.zeros(D), atol=1e-5)
    assert torch.allclose(norm.weight, deviation + torch.zeros(D), atol=1e-5)


def test_a_descriptor_of_zeros_has_a_cosine_loss_with_finite_gradient():
    targets = torch.rand(B, V, D)
    vafp = objective("vafp", targets)
    embeddings = torch.zeros(B, N, C, requires_grad=True)
    batch = batch_of(targets)
    with torch.no_grad():
        vafp.projection.norm.weight.zero_()
        vafp.projection.norm.bias.zero_()
    loss = vafp(PointFeatures(embeddings), NOTHING, batch)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(1)
    assert torch.isfinite(embeddings.grad).all()


def test_the_encoders_own_features_may_be_the_target():
    (term,) = read_terms(["vafp:2,target=features"])
    assert term.outputs == ("features",)
    stored = np.random.default_rng(0).random((B, V, 9)).astype(np.float32)
    setup = Setup(C, {"features": (V, 9)}, lambda _: channel_statistics(stored), None)
    vafp = term.kind(term.options, setup)
    batch = batch_of(None)._replace(teacher={"features": torch.from_numpy(stored)})
    assert vafp(PointFeatures(torch.randn(B, N, C)), NOTHING, batch).isfinite()
