"""The parts of a store's points, as far as a part file names them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pointmcd.data.clusters import shape_clusters
from pointmcd.data.part_labels import PartRow, read_parts
from pointmcd.data.records import ShapeRecord, Shapes
from pointmcd.data.shape_names import ShapeNames
from pointmcd.errors import ConfigError
from pointmcd.typing import Shorts

#: The class of all shapes where none has one.
_ONE_CLASS = "shape"


class KnownParts(NamedTuple):
    """Contents of a part file, matched to a store.

    Attributes:
        parts: names of each class's parts: those of the store, then those that are new.
        of_points: the part of each stored point, int16 [P], counted from 0 within the class, -1
            where it is not known; of the shapes in the file.
        shapes: the records of all shapes, with the splits that follow.
    """

    parts: dict[str, list[str]]
    of_points: dict[int, Shorts]
    shapes: list[ShapeRecord]


def match_parts(store: Shapes, path: Path, empty: bool = False) -> dict[int, dict[int, PartRow]]:
    """Return the rows of each labelled shape by index and number of the cluster.

    Raises:
        ConfigError: when a path names no shape, a cluster has two parts, or the clusters of a shape
            are others than those that were labelled.
    """
    shapes = ShapeNames([shape.name for shape in store.shapes], store.path, store.file_of)
    found: dict[int, dict[int, PartRow]] = {}
    for row in read_parts(path, empty):
        index = shapes.find(row.path)
        if index is None:
            raise ConfigError(f"--labels {path}: line {row.line}: {shapes.unknown(row.path)}")
        of_shape = found.setdefault(index, {})
        known = of_shape.setdefault(row.cluster, row)
        if known.part != row.part:
            raise ConfigError(
                f"--labels {path}: lines {known.line} and {row.line} say of cluster {row.cluster}"
                f" of {store.shapes[index].name} {known.part} and {row.part}; keep one"
            )
        _check_clusters(store, path, index, row, next(iter(of_shape.values())))
    return found


def _check_clusters(store: Shapes, path: Path, index: int, row: PartRow, first: PartRow) -> None:
    name = store.shapes[index].name
    if row.clusters != first.clusters:
        raise ConfigError(
            f"--labels {path}: lines {first.line} and {row.line} are of different clusters of"
            f" {name}: {first.clusters} and {row.clusters}; keep one"
        )
    if row is first and row.of > store.num_points:
        raise ConfigError(
            f"--labels {path}: line {row.line}: {row.of} clusters, but {store.path} has"
            f" {store.num_points} points per shape"
        )
    if row is first and (now := shape_clusters(store, index, row.of)[1]) != row.clusters:
        raise ConfigError(
            f"--labels {path}: line {row.line}: {name} was labelled with a different clustering"
            f" ({row.clusters}) from that in {store.path} ({now}); label it again with pointmcd"
            " label --parts"
        )


def known_parts(store: Shapes, path: Path) -> KnownParts:
    """Return what a part file says: it takes the place of the store's part labels outside test.

    Where no shape has a class, all are of one. Shapes of classes none of whose parts has a name are
    left out of every split.

    Raises:
        ConfigError: when the file is of no use for these shapes.
    """
    rows = match_parts(store, path)
    shapes = _of_classes(store, path)
    parts = {label: list(names) for label, names in (store.parts or {}).items()}
    for index in sorted(rows):
        own = parts.setdefault(str(shapes[index].label), [])
        own += sorted({row.part for row in rows[index].values()} - set(own))
    if all(_split(shapes[index], parts) != "train" for index in rows):
        raise ConfigError(f"--labels {path}: names parts of shapes in the test split alone")
    found = {i: _of_points(store, i, rows[i], parts[str(shapes[i].label)]) for i in rows}
    return KnownParts(
        parts={label: parts.get(label, []) for label in sorted({str(s.label) for s in shapes})},
        of_points=found,
        shapes=[replace(shape, split=_split(shape, parts)) for shape in shapes],
    )


def _of_classes(store: Shapes, path: Path) -> list[ShapeRecord]:
    bare = [shape.name for shape in store.shapes if shape.label is None]
    if bare and len(bare) < len(store.shapes):
        raise ConfigError(
            f"--labels {path}: {bare[0]} of {store.path} has no class, others have; parts are"
            " learnt for each class: prepare with a class for every shape, or for none"
        )
    return [replace(shape, label=_ONE_CLASS) for shape in store.shapes] if bare else store.shapes


def _split(shape: ShapeRecord, parts: Mapping[str, list[str]]) -> str:
    if not parts.get(str(shape.label)):
        return "none"
    return shape.split if shape.split in ("test", "none") else "train"


def _of_points(
    store: Shapes, index: int, rows: Mapping[int, PartRow], names: Sequence[str]
) -> Shorts:
    """The part of each stored point of a shape, int16 [P]."""
    count = next(iter(rows.values())).of
    of_cluster = np.full(count, -1, dtype=np.int16)
    for number, row in rows.items():
        of_cluster[number - 1] = names.index(row.part)
    return of_cluster[shape_clusters(store, index, count)[0]]
