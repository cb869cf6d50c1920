"""Files with the annotations of a data set: part names and part labels."""

import re

import numpy as np

from pointmcd.data.shape_names import composed
from pointmcd.datasets.tree import MAX_TOLD, TreeFile
from pointmcd.errors import ShapeError
from pointmcd.metrics.part_iou import UNLABELLED
from pointmcd.typing import Shorts

_WHOLE = re.compile("[+-]?[0-9]{1,18}")
#: Pixel labels are kept in one byte, and one value is the background.
MAX_PARTS = 254

PartNames = dict[str, tuple[str, ...]]


def read_part_names(file: TreeFile) -> PartNames:
    """Read parts.json: an object of class names, each with the list of its parts' names.

    Raises:
        ShapeError: when it is not that.
    """
    content = file.json()
    if not isinstance(content, dict):
        raise ShapeError(
            f"{file.name}: must be an object of classes, each with a list of part names"
        )
    for label, names in content.items():
        what = f"{file.name}: {label}"
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise ShapeError(f"{what}: must be a list of part names")
        if not 1 <= len(names) <= MAX_PARTS or len(set(names)) != len(names):
            raise ShapeError(f"{what}: must name 1 to {MAX_PARTS} parts, each once")
    return {composed(label): tuple(names) for label, names in content.items()}


def unknown_parts(count: int) -> Shorts:
    """Part labels of faces or points that have none, int16 `[count]`."""
    return np.full(count, UNLABELLED, dtype=np.int16)


def parse_labels(data: bytes, where: str, count: int) -> Shorts:
    """Read one integer per line, each 0 to `count` - 1, or -1: no label. Errors name `where`.

    Raises:
        ShapeError: for anything else, with the first line at fault.
    """
    words = data.decode("utf-8-sig", "replace").split()
    try:
        labels = np.array(words, dtype=np.int64)
    except (ValueError, OverflowError) as error:
        number, word = next((n, w) for n, w in enumerate(words, 1) if not _WHOLE.fullmatch(w))
        raise ShapeError(
            f"{where}: must hold one whole number per face; number {number} is {word[:MAX_TOLD]!r}"
        ) from error
    wrong = np.flatnonzero((labels < UNLABELLED) | (labels >= count))
    if len(wrong):
        raise ShapeError(
            f"{where}: label {labels[wrong[0]]} of face {wrong[0]}: the class has {count} parts,"
            f" 0 to {count - 1} (see parts.json); -1 is no label"
        )
    return labels.astype(np.int16)
