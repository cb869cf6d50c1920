"""Frozen features of shapes and their classes: what the probes of an encoder read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from pointmcd.errors import PointMCDError

#: The largest size of a value: squares of what float32 holds do not overflow in float64.
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Features:
    """One row of features and one class for each shape of a part.

    Both arrays are kept in the widest type, in which the probes calculate, whatever came in.

    Attributes:
        values: float64 [n, D], given in any float type.
        labels: int64 [n], class of each shape, counted from 0; given in any integer type.

    Raises:
        PointMCDError: when there are no shapes or channels, the two differ in length, a value is
            not finite (or beyond what float32 holds), or a label is no class.
    """

    values: NDArray[np.float64]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        values, labels = np.asarray(self.values), np.asarray(self.labels)
        _check_values(values)
        _check_labels(labels, len(values))
        object.__setattr__(self, "values", values.astype(np.float64, copy=False))
        object.__setattr__(self, "labels", labels.astype(np.int64, copy=False))

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Features":
        """The shapes at `rows`, at least one: indices [m] in that order, or a mask [n]."""
        return Features(self.values[rows], self.labels[rows])


def check_same_channels(first: Features, second: Features) -> None:
    """Refuse two parts whose features cannot come from one encoder.

    Raises:
        PointMCDError: when they differ in their number of channels.
    """
    one, two = first.values.shape[1], second.values.shape[1]
    if one != two:
        raise PointMCDError(f"two parts of one encoder must have equal channels: {one} and {two}")


def standardiser() -> Any:
    """An unfitted scikit-learn transformer to mean 0 and deviation 1 of every channel.

    Dividing by the largest size first does not change the outcome, but keeps large channels
    exact: StandardScaler alone leaves a constant 1e30 at 1e14, where it would drown all others.
    A channel that is constant where this was fitted is centred and not stretched.
    """
    return make_pipeline(MaxAbsScaler(), StandardScaler())


def _check_values(values: NDArray[Any]) -> None:
    if values.ndim != 2 or not values.size or not np.issubdtype(values.dtype, np.floating):
        raise PointMCDError(
            "features must be a float array [shapes, channels] with at least one of each, not "
            f"{values.dtype} {list(values.shape)}"
        )
    # Written so that NaN, which compares as false, is refused too.
    if not (np.abs(values.astype(np.float64, copy=False)) <= _LARGEST).all():
        raise PointMCDError("features hold NaN, infinity or values too large for float32")


def _check_labels(labels: NDArray[Any], count: int) -> None:
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise PointMCDError(
            f"labels of {count} shapes must be integers [{count}], not "
            f"{labels.dtype} {list(labels.shape)}"
        )
    if labels.min() < 0:
        raise PointMCDError(f"labels of features must be classes from 0, not {labels.min()}")
