"""Temperature scaling and the calibration error, beside plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointmcd.metrics.calibration import LEAST, MOST, calibration_error, fit_temperature, soften


def drawn(temperature, count=4000, classes=5, seed=0):
    """Probabilities of a model, and labels that follow them once they are softened."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.normal(size=(count, classes))
    said = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = soften(said, temperature)
    return said, np.array([generator.choice(classes, p=row) for row in truth])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_labels_follow_is_found(temperature):
    said, labels = drawn(temperature)
    assert fit_temperature(said, labels) == pytest.approx(temperature, rel=0.1)
    better = soften(said, fit_temperature(said, labels))
    assert calibration_error(better, labels) < 0.03


def test_softening_naively():
    said = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]])
    powers = [value ** (1 / 2.0) for value in said[0]]
    np.testing.assert_allclose(soften(said, 2.0)[0], np.array(powers) / sum(powers), rtol=1e-6)
    np.testing.assert_allclose(soften(said, 1.0), said, atol=1e-9)
    assert np.isfinite(soften(said, 0.2)).all()


@given(st.floats(LEAST, MOST), st.integers(0, 100))
def test_the_class_stays_and_rows_sum_to_one(temperature, seed):
    said = np.random.default_rng(seed).dirichlet(np.ones(4), 6)
    softened = soften(said, temperature)
    assert (softened.argmax(axis=1) == said.argmax(axis=1)).all()
    np.testing.assert_allclose(softened.sum(axis=1), 1)


def test_shapes_that_are_all_right_do_not_ask_for_zero():
    said = np.full((30, 2), [0.6, 0.4])
    assert LEAST <= fit_temperature(said, np.zeros(30, int)) < LEAST + 0.01
    assert MOST - 0.2 < fit_temperature(said, np.tile([0, 1], 15)) <= MOST


def test_certainty_is_bounded_by_how_many_were_right():
    """As if one shape more had been wrong as often as by chance (Platt, 1999)."""
    said = np.full((30, 2), [0.9, 0.1])
    sure = soften(said, fit_temperature(said, np.zeros(30, int)))[0, 0]
    assert sure == pytest.approx(1 - 1 / 31 / 2, abs=1e-3)


def test_the_error_naively():
    said = np.array([[0.9, 0.1], [0.92, 0.08], [0.55, 0.45], [0.3, 0.7], [1.0, 0.0]])
    labels = np.array([0, 1, 0, 0, 0])
    right, confidence = said.argmax(axis=1) == labels, said.max(axis=1)
    bins = {}
    for r, c in zip(right, confidence, strict=True):
        bins.setdefault(min(math.floor(c * 15), 14), []).append((r, c))
    wanted = sum(
        len(v) / 5 * abs(sum(r for r, _ in v) / len(v) - sum(c for _, c in v) / len(v))
        for v in bins.values()
    )
    assert calibration_error(said, labels) == pytest.approx(wanted)
    assert calibration_error(np.eye(3), np.arange(3)) == 0
