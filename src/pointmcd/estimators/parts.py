"""Clouds with a part for each point, as people hand them to an estimator."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pointmcd.errors import ConfigError, ShapeError
from pointmcd.estimators.base import check_kinds, checked_cloud, is_unknown, plain
from pointmcd.metrics.part_iou import UNLABELLED, mean_ious, shape_ious
from pointmcd.shapes.cloud_files import parse_cloud
from pointmcd.shapes.formats import CLOUD_SUFFIXES, read_file
from pointmcd.typing import Array, Bools, Doubles, Indices

#: Kinds of numpy's types that parts may be of: integers and texts.
_KINDS = "iuUO"


class PartLabels(NamedTuple):
    """The parts of the labelled points of a shape, [n], and which of its points these are, [N]."""

    values: Array
    known: Bools

    def codes(self, parts: Array) -> Indices:
        """Places of the parts of all points in `parts`, which is sorted, [N]; -1: no label."""
        found = np.full(len(self.known), UNLABELLED, dtype=np.int64)
        found[self.known] = np.searchsorted(parts, self.values)
        return found


def distinct_parts(labels: Sequence[PartLabels]) -> Array:
    """Return the parts that occur, sorted."""
    there = [one.values for one in labels if len(one.values)]
    return np.unique(np.concatenate(there)) if there else np.zeros(0, dtype=np.int64)


def part_clouds(shapes: Sequence[Any]) -> list[Doubles]:
    """Return arrays and files of points as float64 [N_i, 3].

    Raises:
        ShapeError: naming the one that is not a cloud or cannot be read.
    """
    return [
        checked_cloud(_read(shape, place) if isinstance(shape, str | os.PathLike) else shape, place)
        for place, shape in enumerate(shapes)
    ]


def _read(file: str | os.PathLike[str], place: int) -> Doubles:
    path, name = Path(file), f"X[{place}] {file}"
    if not path.is_file():
        raise ShapeError(f"{name}: does not exist")
    suffix = path.suffix[1:].lower()
    points = parse_cloud(read_file(path, name), suffix, name) if suffix in CLOUD_SUFFIXES else None
    if points is None:
        raise ShapeError(f"{name}: is not a point cloud, and parts are those of points; sample it")
    return points


def read_parts(labels: Any, clouds: Sequence[Doubles]) -> list[PartLabels]:
    """Return the parts of the points of each cloud: integers or texts; None, -1 or blank: no label.

    Raises:
        ConfigError: naming the first that does not fit its cloud, or is neither.
    """
    every = list(labels) if labels is not None else []
    if len(every) != len(clouds):
        raise ConfigError(f"X has {len(clouds)} shapes, y the parts of {len(every)}")
    pairs = zip(every, clouds, strict=True)
    found = [_parts(one, len(cloud), place) for place, (one, cloud) in enumerate(pairs)]
    check_kinds("y: parts", [one.values[0].item() for one in found if len(one.values)], "point")
    return found


def _parts(labels: Any, count: int, place: int) -> PartLabels:
    what = f"y[{place}]"
    if is_unknown(labels):
        return PartLabels(np.zeros(0, dtype=np.int64), np.zeros(count, dtype=np.bool_))
    # Of a list, numpy would make texts of all: a -1 would be a part of that name.
    parts = labels if isinstance(labels, np.ndarray) else np.array(labels, dtype=object)
    if parts.ndim != 1 or len(parts) != count:
        have = f"{len(parts)}" if parts.ndim == 1 else f"shape {list(parts.shape)}"
        raise ConfigError(f"{what}: has {have} labels for the {count} points of X[{place}]")
    if parts.dtype.kind not in _KINDS:
        raise ConfigError(f"{what}: parts are integers or texts, not {parts.dtype}")
    if parts.dtype.kind == "U" and np.isin(parts, ("-1", "nan", "None")).any():
        raise ConfigError(f"{what}: has '-1', 'nan' or 'None' as text; write None in a list")
    known = np.array([not is_unknown(one) for one in parts.tolist()])
    values = np.array(parts[known].tolist())
    if values.dtype.kind not in "iuU" and len(values):
        raise ConfigError(f"{what}: parts are integers or texts, not {values.dtype}")
    return PartLabels(values, known)


def check_classes(classes: Sequence[Any], count: int) -> Array:
    """Return the distinct classes of `count` shapes, sorted.

    Raises:
        ConfigError: for another number of them, or for one that is neither number nor text.
    """
    every = list(classes)
    if len(every) != count:
        raise ConfigError(f"classes: X has {count} shapes, classes {len(every)}")
    lacking = next((i for i, one in enumerate(every) if is_unknown(one)), None)
    if lacking is not None:
        raise ConfigError(
            f"classes[{lacking}]: is {plain(every[lacking])!r}; every shape has a class"
        )
    check_kinds("classes", every)
    return np.unique(every)


def mean_iou(truth: Sequence[PartLabels], found: Sequence[Array], parts: Sequence[Array]) -> float:
    """Return the mean over shapes of the mean IoU of their parts, 0 to 1.

    Args:
        truth: the parts of the points of each shape; those without label do not count.
        found: the predicted part of each point, [N_i].
        parts: those of each shape's class; a true one that is not among them counts too.
    """
    scores = []
    for true, said, own in zip(truth, found, parts, strict=True):
        every = np.union1d(own, true.values) if len(true.values) else own
        one, two = true.codes(every), np.searchsorted(every, said)
        scores.append(shape_ious([one], [two], [0], [[0, len(every)]])[0])
    return mean_ious(scores, np.zeros(len(scores), np.int64), ["all"]).instance_miou
