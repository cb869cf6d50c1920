import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from pointmcd.ops.cross_entropy import smoothed_cross_entropy


def naive(logits, labels, smoothing):
    """By hand: the true class has 1 - eps, each of the other K - 1 classes eps / (K - 1)."""
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        normaliser = math.log(sum(math.exp(value) for value in row))
        for k, value in enumerate(row):
            weight = 1 - smoothing if k == label else smoothing / (len(row) - 1)
            total -= weight * (value - normaliser)
    return total / len(labels)


def sample(batch, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(batch, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(classes, (batch,), generator=generator)


@given(st.integers(1, 6), st.integers(2, 7), st.floats(0, 0.99), st.integers(0, 100))
def test_it_is_the_naive_sum(batch, classes, smoothing, seed):
    logits, labels = sample(batch, classes, seed)
    found = float(smoothed_cross_entropy(logits, labels, smoothing))
    assert found == pytest.approx(naive(logits, labels, smoothing), rel=1e-9)


def test_without_smoothing_it_is_torchs():
    logits, labels = sample(5, 4, 0)
    found = smoothed_cross_entropy(logits, labels, 0.0)
    assert torch.allclose(found, F.cross_entropy(logits, labels))


def test_torchs_smoothing_is_another():
    logits, labels = sample(5, 4, 0)
    found = smoothed_cross_entropy(logits, labels, 0.2)
    assert not torch.allclose(found, F.cross_entropy(logits, labels, label_smoothing=0.2))
    # torch gives eps / K to every class, the true one too
    same = F.cross_entropy(logits, labels, label_smoothing=0.2 * 4 / 3)
    assert torch.allclose(found, same)


def test_the_gradient_is_probability_minus_target():
    logits, labels = sample(3, 4, 1)
    logits.requires_grad_()
    smoothed_cross_entropy(logits, labels, 0.3).backward()
    target = torch.full((3, 4), 0.3 / 3, dtype=torch.float64)
    target[torch.arange(3), labels] = 0.7
    assert torch.allclose(logits.grad, (logits.detach().softmax(1) - target) / 3)


def test_one_class_costs_nothing_and_huge_logits_stay_finite():
    assert float(smoothed_cross_entropy(torch.ones(2, 1), torch.zeros(2).long(), 0.0)) == 0
    logits = torch.tensor([[1e30, -1e30]])
    assert torch.isfinite(smoothed_cross_entropy(logits, torch.tensor([1]), 0.2))
