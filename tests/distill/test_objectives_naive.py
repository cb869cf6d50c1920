"""Each objective beside its formula, written out in plain Python."""

import itertools
import math

import numpy as np
import pytest
import torch

from pointmcd.data.dataset import Batch
from pointmcd.distill.objective import Setup, read_terms
from pointmcd.distill.statistics import channel_statistics
from pointmcd.errors import ConfigError
from pointmcd.students.base import PointFeatures

B, N, V, C, D, K = 4, 12, 3, 5, 6, 7


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def teacher():
    """What a teacher of classification exports, and its classifier."""
    descriptors, shape = torch.randn(B, V, D) + 1, torch.randn(B, D)
    view_logits = 2 * torch.randn(B, V, K)
    return {"descriptors": descriptors, "shape": shape, "view_logits": view_logits}


CLASSIFIER = torch.randn(K, D, generator=torch.Generator().manual_seed(5))


def objective(text, teacher):
    (term,) = read_terms([text])
    sizes = {name: tensor.shape[1:] for name, tensor in teacher.items()}
    weights = {"heads.classifier.weight": CLASSIFIER}
    setup = Setup(
        C, sizes, lambda name: channel_statistics(teacher[name].numpy()), weights.__getitem__
    )
    return term.kind(term.options, setup)


@pytest.fixture
def features():
    return PointFeatures(torch.randn(B, N, C, requires_grad=True))


@pytest.fixture
def batch(teacher):
    visibility = torch.rand(B, N, V) < 0.4
    return Batch(torch.randn(B, N, 3), torch.zeros(B), None, visibility, teacher)


def loss_of(one, features, batch):
    loss = one(features, torch.zeros(B, 0), batch)
    loss.backward()
    assert torch.isfinite(features.embeddings.grad).all()
    assert features.embeddings.grad.abs().sum() > 0
    return float(loss.detach())


def cosine(a, b):
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def standardised(targets):
    rows = targets.reshape(-1, targets.shape[-1])
    return (targets - rows.mean(0)) / rows.std(0)


def described(one, features, batch):
    return one.projection(features, batch.visibility).detach().numpy()


def softmax(row):
    odds = np.exp(np.asarray(row) - max(row))
    return odds / odds.sum()


def test_centred_cosine(teacher, features, batch):
    one = objective("vafp,distance=centred_cosine,start=plain", teacher)
    ours, theirs = described(one, features, batch), teacher["descriptors"].numpy()
    mean = theirs.reshape(-1, D).mean(0)
    pairs = itertools.product(range(B), range(V))
    expected = np.mean([1 - cosine(ours[b, v] - mean, theirs[b, v] - mean) for b, v in pairs])
    assert loss_of(one, features, batch) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_contrast(teacher, features, batch, temperature):
    one = objective(f"contrast,temperature={temperature}", teacher)
    ours, theirs = described(one, features, batch), standardised(teacher["descriptors"].numpy())
    total = 0.0
    for b, v in itertools.product(range(B), range(V)):
        right = cosine(ours[b, v], theirs[b, v]) / temperature
        wrong = [
            cosine(ours[b, v], theirs[other, view]) / temperature
            for other, view in itertools.product(range(B), range(V))
            if other != b
        ]
        total += math.log(sum(math.exp(x) for x in [right, *wrong])) - right
    assert loss_of(one, features, batch) == pytest.approx(total / (B * V), rel=1e-4)


def test_contrast_is_least_for_the_true_pairs(teacher, features, batch):
    one = objective("contrast,standardise=false", teacher)
    one.pairs = lambda *_: (teacher["descriptors"], teacher["descriptors"])
    right = one(features, None, batch)
    one.pairs = lambda *_: (teacher["descriptors"].roll(1, 0), teacher["descriptors"])
    assert right < one(features, None, batch)


def test_similarities(teacher, features, batch):
    one = objective("similarities,rows=10,temperature=0.5", teacher)
    ours, theirs = described(one, features, batch), standardised(teacher["descriptors"].numpy())
    queue = one.queue.numpy().copy()
    total = 0.0
    for b, v in itertools.product(range(B), range(V)):
        mine = softmax([cosine(ours[b, v], row) / 0.5 for row in queue])
        wanted = softmax([cosine(theirs[b, v], row) / 0.5 for row in queue])
        total += (wanted * np.log(wanted / mine)).sum()
    assert loss_of(one, features, batch) == pytest.approx(total / (B * V), rel=1e-4)
    rows = theirs.reshape(-1, D) / np.linalg.norm(theirs.reshape(-1, D), axis=1, keepdims=True)
    assert np.allclose(one.queue, rows[:10], atol=1e-6)  # the latest first, no more than fit
    one.eval()
    kept = one.queue.clone()
    one(features, None, batch)
    assert torch.equal(one.queue, kept)


def test_view_logits(teacher, features, batch):
    one = objective("view_logits", teacher)
    ours = described(one, features, batch) @ CLASSIFIER.numpy().T
    theirs, total = teacher["view_logits"].numpy(), 0.0
    for b, v in itertools.product(range(B), range(V)):
        mine, wanted = (
            softmax((x - x.mean()) / x.std(ddof=1) / 2) for x in (ours[b, v], theirs[b, v])
        )
        total += (wanted * np.log(wanted / mine)).sum()
    assert loss_of(one, features, batch) == pytest.approx(4 * total / (B * V), rel=1e-4)
    assert "classifier" not in dict(one.named_parameters())  # the teacher's stays as it is


def test_shape(teacher, features, batch):
    one = objective("shape", teacher)
    ours = one.linear(features.embeddings.amax(dim=1)).detach().numpy()
    expected = np.mean([1 - cosine(a, b) for a, b in zip(ours, teacher["shape"], strict=True)])
    assert loss_of(one, features, batch) == pytest.approx(expected, rel=1e-4)
    found = float(one.agreement(features, None, batch).detach())
    assert found == pytest.approx(1 - expected, rel=1e-4)


def smooth(a, b):
    gap = abs(a - b)
    return gap * gap / 2 if gap < 1 else gap - 0.5


@pytest.mark.parametrize(("distances", "angles"), [(1, 2), (0, 1), (3, 0)])
def test_relations(teacher, features, batch, distances, angles):
    one = objective(f"relations,distances={distances},angles={angles}", teacher)
    both = features.embeddings.detach().amax(dim=1).numpy(), teacher["shape"].numpy()
    pairs = list(itertools.combinations(range(B), 2))
    triples = list(itertools.permutations(range(B), 3))
    lengths = [[np.linalg.norm(rows[i] - rows[j]) for i, j in pairs] for rows in both]
    units = [np.array(x) / np.mean(x) for x in lengths]
    corners = [[cosine(r[i] - r[j], r[k] - r[j]) for i, j, k in triples] for r in both]
    expected = distances * np.mean([smooth(a, b) for a, b in zip(*units, strict=True)])
    expected += angles * np.mean([smooth(a, b) for a, b in zip(*corners, strict=True)])
    assert loss_of(one, features, batch) == pytest.approx(expected, rel=1e-4)


def test_relations_of_equal_shapes_have_finite_gradients(teacher, batch):
    one = objective("relations", teacher)
    equal = torch.ones(B, N, C, requires_grad=True)
    loss_of_equal = one(PointFeatures(equal), None, batch)
    loss_of_equal.backward()
    assert torch.isfinite(loss_of_equal)
    assert torch.isfinite(equal.grad).all()


def test_relations_of_one_shape_or_two():
    """One has no other to lie to, and two make no angle."""
    rows, targets = torch.randn(2, N, C, requires_grad=True), torch.randn(2, D)
    for count, options in ((1, ""), (2, ",distances=0")):
        one = objective(f"relations{options}", {"shape": targets})
        batch = Batch(
            torch.randn(count, N, 3), torch.zeros(count), None, None, {"shape": targets[:count]}
        )
        loss = one(PointFeatures(rows[:count]), None, batch)
        loss.backward()
        assert float(loss.detach()) == 0
        assert torch.isfinite(rows.grad).all()
    # Of two, the one distance is its own mean.
    one = objective("relations", {"shape": targets})
    batch = Batch(torch.randn(2, N, 3), torch.zeros(2), None, None, {"shape": targets})
    assert float(one(PointFeatures(rows), None, batch).detach()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        *("contrast,temperature=0", "similarities,rows=1", "similarities,temperature=nan"),
        *("relations,angles=-1", "relations,distances=inf", "view_logits,temperature=-2"),
    ],
)
def test_options_that_cannot_be_meant(text):
    with pytest.raises(ConfigError, match=r"must be"):
        read_terms([text])
