"""Calibration: whether a classifier that says 80% is right four times out of five."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from pointmcd.typing import Doubles, Indices, Reals

#: Bounds of a fitted temperature.
LEAST, MOST = 0.2, 5.0
_BINS = 15
_TINY = 1e-12


def soften(probabilities: Reals, temperature: float) -> Doubles:
    """Return the probabilities [n, K] of logits that are divided by a temperature."""
    logits = np.log(np.asarray(probabilities, np.float64) + _TINY)
    return np.asarray(softmax(logits / temperature, axis=1))


def fit_temperature(probabilities: Reals, labels: Indices) -> float:
    """Return the temperature with the least cross-entropy on shapes that were held out.

    Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017), Sec. 4.2,
    as if one more shape had been held out whose answers were wrong as often as by chance (after
    Platt, 1999, Sec. 2.2): a few shapes that are all right would ask for 0, and certainty of
    whatever comes. It is kept within 0.2 to 5.

    Args:
        probabilities: of the classes, [n, K], n at least 1.
        labels: class ids [n].
    """
    rows, chance = np.arange(len(labels)), 1 / (len(labels) + 1)

    def loss(log_temperature: float) -> float:
        told = -np.log(soften(probabilities, float(np.exp(log_temperature))) + _TINY)
        return float((1 - chance) * told[rows, labels].mean() + chance * told.mean())

    bounds = (np.log(LEAST), np.log(MOST))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def calibration_error(probabilities: Reals, labels: Indices) -> float:
    """Return the expected calibration error, 0 to 1: |accuracy - confidence| over 15 equal bins.

    Naeini, Cooper, Hauskrecht (AAAI 2015); the same paper of Guo et al., Eq. 3.
    """
    probabilities = np.asarray(probabilities, np.float64)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence)  # of each bin, times its shapes
    return float(np.abs(gaps).sum() / len(labels))
