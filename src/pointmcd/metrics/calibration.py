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

    Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks" (ICML 2017), Sec. 4.2.
    It is kept within 0.2 to 5: a few shapes that are all right would ask for 0.

    Args:
        probabilities: of the classes, [n, K], n at least 1.
        labels: class ids [n].
    """
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        said = soften(probabilities, float(np.exp(log_temperature)))[rows, labels]
        return float(-np.log(said + _TINY).mean())

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
