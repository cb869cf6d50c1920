"""Pixel IoU of the labelled views of a shape."""

import numpy as np

from pointmcd.typing import Indices, Integers


def pixel_iou(truth: Integers, predicted: Integers, start: int, stop: int) -> float:
    """Mean over the parts of a shape's class of the intersection over union of their pixels.

    As the ShapeNetPart protocol has it for points, with all views of a shape counted together: a
    part that neither truth nor prediction has counts 1. The background is no part: it has no IoU
    of its own, but a part painted on it, or missing where it was painted instead, costs that part.

    Args:
        truth: global part ids [V, S, S], -1 for background.
        predicted: the same, as predicted.
        start: the first part of the class.
        stop: the one after its last.
    """
    both = _count(truth[truth == predicted], start, stop)
    union = _count(truth, start, stop) + _count(predicted, start, stop) - both
    return float(np.where(union > 0, both / np.maximum(union, 1), 1.0).mean())


def _count(ids: Integers, start: int, stop: int) -> Indices:
    inside = ids[(ids >= start) & (ids < stop)]
    return np.bincount(inside - start, minlength=stop - start)
