"""Clouds that are rows of one big array in an HDF5 or NumPy file, read row by row."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from pointmcd.datasets.sources import Cloud, CloudSource
from pointmcd.datasets.tree import TreeFile
from pointmcd.errors import FormatError, ShapeError
from pointmcd.extras import import_extra
from pointmcd.shapes.clouds import check_finite
from pointmcd.shapes.features import NORMALS
from pointmcd.shapes.formats import MAX_BYTES, reading
from pointmcd.typing import Floats, Indices

#: Bytes of unpacked chunks that HDF5 keeps: rows are read in order, and a chunk spans many.
_CHUNK_CACHE = 32 << 20
#: Characters of the names in a file that are repeated.
_MAX_TOLD = 100
#: A prime about a hundred times the chunks of 256 KiB that fit.
_CHUNK_SLOTS = 12_809


@dataclass(frozen=True)
class ArrayCloud(CloudSource):
    """The cloud in one row of an array `[S, N, 3]`."""

    row: int = 0

    def read_cloud(self) -> Cloud:
        """Read the row; raises ShapeError like `CloudSource.read_cloud`."""
        with reading(self.location):
            points = np.asarray(_rows(self.file.path, "data")[self.row])
            features = self._features()
        return Cloud(check_finite(points, self.location), features=features)

    def _features(self) -> dict[str, Floats]:
        """Return normals, where they are wanted and an HDF5 file has an array `normal`."""
        if NORMALS.name not in self.features or self.file.path.suffix.lower() == ".npy":
            return {}
        try:
            rows = _rows(self.file.path, "normal")
        except FormatError:  # it has none
            return {}
        normals = np.asarray(rows[self.row])
        if normals.shape[1:] != (3,) or len(rows) != len(_rows(self.file.path, "data")):
            raise FormatError(f"normal is {rows.shape}, not one vector for each point of data")
        return {NORMALS.name: NORMALS.read(normals)}


def array_clouds(
    path: Path, classes: Sequence[str], split: str, labels_file: Path | None = None
) -> list[ArrayCloud]:
    """List the rows of a file, named CLASS/FILE_ROW; of points only shape and type are read.

    Args:
        path: the `.npy` file, or HDF5 file with the arrays `data` `[S, N, 3]` and `label`.
        classes: names of the classes.
        split: of all rows.
        labels_file: class of each row, `[S]` or `[S, 1]`; None: `path` has it.

    Raises:
        ShapeError: when a file is damaged, or its array or the labels do not fit.
        ConfigError: when h5py is needed and absent.
    """
    with reading(path):
        rows = _rows(path, "data")
        shape, dtype = rows.shape, rows.dtype
    if len(shape) != 3 or shape[2] != 3 or dtype.kind not in "fiu":
        raise ShapeError(f"{path}: data is {dtype} {shape}, not numbers [shapes, points, 3]")
    if shape[1] * 3 * dtype.itemsize > MAX_BYTES:  # HDF5 may promise what it does not hold
        raise ShapeError(f"{path}: a cloud of {shape[1]} points is larger than 1 GiB")
    labels = _read_labels(labels_file or path)
    if len(labels) != shape[0]:
        raise ShapeError(f"{path}: {len(labels)} labels for {shape[0]} clouds")
    wrong = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(wrong):
        raise ShapeError(f"{path}: label {labels[wrong[0]]}; there are {len(classes)} classes")
    return [
        ArrayCloud(
            name=f"{classes[label]}/{path.stem}_{row:04d}",
            label=classes[label],
            split=split,
            file=TreeFile(path, f"{path}[{row}]"),
            row=row,
        )
        for row, label in enumerate(labels)
    ]


def _read_labels(path: Path) -> Indices:
    with reading(path):
        rows = _rows(path, "label")
        fits = rows.dtype.kind in "fiu" and 1 <= rows.ndim <= 2 and rows.size == len(rows)
        labels = rows[:] if fits and rows.size * rows.dtype.itemsize <= MAX_BYTES else None
    if labels is None or not np.array_equal(labels, np.rint(labels)):
        raise ShapeError(f"{path}: label is {rows.dtype} {rows.shape}, not one class per cloud")
    return np.asarray(labels).reshape(-1).astype(np.int64)


def _rows(path: Path, array: str) -> Any:
    """Return the array unread: indexing reads."""
    if path.suffix.lower() == ".npy":
        return open_memmap(path, mode="r")  # refuses pickles, and headers that promise too much
    return _opened(path, array, path.stat().st_mtime_ns, os.getpid())


@lru_cache(maxsize=4)
def _opened(path: Path, array: str, modified: int, process: int) -> Any:
    """Open an HDF5 array once a process: its unpacked chunks are lost when it is closed."""
    h5py = import_extra("h5py", "hdf5", str(path))
    file = h5py.File(path, "r", rdcc_nbytes=_CHUNK_CACHE, rdcc_nslots=_CHUNK_SLOTS)
    if not isinstance(file.get(array), h5py.Dataset):
        raise FormatError(f"lacks the array {array}; it has {', '.join(file)[:_MAX_TOLD]}")
    return file[array]
