"""Distances to a teacher's descriptors of guesses that know nothing, the class, or the shape.

A student whose distance lies above that of the best guess per class has learnt nothing from the
descriptors that the label does not say.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def l1(group: Floats) -> Floats:
    """Return the L1 distance of each descriptor [S, V, D] to the group's median: [S, V]."""
    return np.abs(group - np.median(group, axis=(0, 1))).mean(axis=2)


def cosine(group: Floats) -> Floats:
    """Return 1 - cosine of each descriptor [S, V, D] to the group's mean direction: [S, V]."""
    directions = _unit(group)
    return 1 - directions @ _unit(directions.mean(axis=(0, 1)))


def guesses(
    targets: Floats, labels: npt.NDArray[np.int64], distance: Callable[[Floats], Floats]
) -> list[float]:
    """Return the mean distance of the best single guess for all shapes, per class, per shape.

    Args:
        targets: the descriptors [S, V, D].
        labels: the class [S] of each shape.
        distance: `l1` or `cosine`.
    """
    groupings = (np.zeros_like(labels), labels, np.arange(len(labels)))
    return [
        float(np.concatenate([distance(targets[groups == group]) for group in set(groups)]).mean())
        for groups in groupings
    ]


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Floats = vectors / np.maximum(length, 1e-12)
    return scaled
