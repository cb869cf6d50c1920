"""Logits of points: beside the formula in plain Python, and what has no say."""

import math

import pytest
import torch

from pointmcd.data.dataset import NO_LOGIT, Batch
from pointmcd.distill.objective import Setup, read_terms
from pointmcd.errors import ConfigError
from pointmcd.students.base import PointFeatures

B, N, P = 3, 5, 4
FEATURES = PointFeatures(torch.zeros(B, N, 2))


def loss_of(text, logits, theirs):
    (term,) = read_terms([text])
    one = term.kind(term.options, Setup(2, {}, lambda _: None, lambda _: None))
    batch = Batch(torch.zeros(B, N, 3), torch.zeros(B), None, None, {"point_logits": theirs})
    return one(FEATURES, logits, batch)


@pytest.fixture
def theirs():
    """Logits of a class with the parts 1 and 2, of one with 0 to 3, and points that none sees."""
    torch.manual_seed(0)
    logits = 2 * torch.randn(B, N, P)
    logits[0, :, [0, 3]] = NO_LOGIT
    logits[1, 2] = NO_LOGIT
    logits[2] = NO_LOGIT
    return logits


def softmax(row, temperature):
    powers = [math.exp(value / temperature) for value in row]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_beside_the_formula(theirs, temperature):
    logits = torch.randn(B, N, P)
    every = []
    for ours, wanted in zip(
        logits.flatten(0, 1).tolist(), theirs.flatten(0, 1).tolist(), strict=True
    ):
        known = [i for i in range(P) if wanted[i] > NO_LOGIT]
        if known:
            q = softmax([ours[i] for i in known], temperature)
            p = softmax([wanted[i] for i in known], temperature)
            every.append(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))
    assert len(every) == 9
    found = loss_of(f"point_logits:1,temperature={temperature}", logits, theirs)
    assert float(found) == pytest.approx(temperature**2 * sum(every) / len(every), rel=1e-5)


def test_gradients_reach_the_parts_of_the_class_at_points_that_are_seen(theirs):
    logits = torch.randn(B, N, P, requires_grad=True)
    loss_of("point_logits", logits, theirs).backward()
    assert torch.isfinite(logits.grad).all()
    assert torch.equal(logits.grad != 0, theirs > NO_LOGIT)


def test_equal_logits_and_no_point_at_all(theirs):
    assert float(loss_of("point_logits", theirs + 1, theirs)) == pytest.approx(0, abs=1e-6)
    logits = torch.randn(B, N, P, requires_grad=True)
    loss = loss_of("point_logits", logits, torch.full((B, N, P), NO_LOGIT))
    loss.backward()
    assert float(loss.detach()) == 0
    assert not logits.grad.any()


def test_logits_of_whole_shapes_are_refused(theirs):
    with pytest.raises(ConfigError, match="point_logits: is for --task segmentation"):
        loss_of("point_logits", torch.zeros(B, P), theirs)
