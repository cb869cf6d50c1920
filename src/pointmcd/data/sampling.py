"""Sampling of train shapes in which every class comes up equally often."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from pointmcd.typing import Doubles, Indices


def class_weights(labels: Indices, num_classes: int) -> Doubles:
    """Weight of each class, inverse to its number of shapes, float64 [K].

    That is n / (K' * n_c) with K' the classes that occur, scikit-learn's "balanced": the mean over
    the n shapes is 1. A class without shapes has 0.

    Args:
        labels: int64 [n], class ids.
        num_classes: K.
    """
    counts = np.bincount(labels, minlength=num_classes)
    weights = len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 0.0)


class BalancedSampler(Sampler[int]):
    """Draw shapes with replacement, each class with the same probability.

    An item is a row of the shapes plus, for the k-th draw of one in a pass (from 0), k times their
    number: the data set augments each draw anew.

    Args:
        labels: int64 [n], class ids of the shapes.
        count: items of a pass.
        generator: decides them.
    """

    def __init__(self, labels: Indices, count: int, generator: torch.Generator) -> None:
        weights = class_weights(labels, int(labels.max()) + 1)
        self.weights: Tensor = torch.from_numpy(weights[labels])
        self.count, self.generator = count, generator

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        """The items of a pass."""
        drawn = torch.multinomial(self.weights, self.count, True, generator=self.generator)
        times: dict[int, int] = {}
        for row in drawn.tolist():
            times[row] = times.get(row, -1) + 1
            yield row + times[row] * len(self.weights)
