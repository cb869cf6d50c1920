"""Clouds that are rows of one big array in an HDF5 or NumPy file, read row by row."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

from pointmcd.datasets.sources import Cloud, CloudSource, check_finite
from pointmcd.datasets.tree import TreeFile
from pointmcd.errors import ShapeError, first_line
from pointmcd.extras import import_extra
from pointmcd.shapes.formats import MAX_BYTES
from pointmcd.typing import Indices

#: Bytes of unpacked chunks that HDF5 keeps: rows are read in order, and a chunk spans many.
_CHUNK_CACHE = 32 << 20
#: A prime about a hundred times the chunks of 256 KiB that fit.
_CHUNK_SLOTS = 12_809

#: What h5py and NumPy raise for damaged files.
_BROKEN = (OSError, ValueError, KeyError, RuntimeError, TypeError, EOFError, AttributeError)


@dataclass(frozen=True)
class ArrayCloud(CloudSource):
    """One row of an array `[S, N, 3]`.

    Attributes:
        array: name of the array in an HDF5 file.
        row: index of the shape.
    """

    array: str = "data"
    row: int = 0

    def read_cloud(self) -> Cloud:
        """Read the row; raises ShapeError as `CloudSource.read_cloud` says."""
        try:
            points = np.asarray(_rows(self.file.path, self.array)[self.row])
        except _BROKEN as error:
            raise ShapeError(f"{self.location}: cannot be read: {_reason(error)}") from error
        return Cloud(check_finite(points, self.location))


def array_clouds(
    path: Path,
    labels: Indices,
    classes: Sequence[str],
    split: str,
    array: str = "data",
) -> list[ArrayCloud]:
    """List the rows of a file, named CLASS/FILE_ROW; only the array's shape and type are read.

    Args:
        path: the HDF5 or `.npy` file.
        labels: class of each row, `[S]`.
        classes: names of the classes.
        split: split that all rows belong to.
        array: name of the array in an HDF5 file.

    Raises:
        ShapeError: when the file is damaged, or its array or the labels do not fit.
        ConfigError: when h5py is needed and absent.
    """
    try:
        rows = _rows(path, array)
        shape, dtype = rows.shape, rows.dtype
    except _BROKEN as error:
        raise ShapeError(f"{path}: cannot be read: {_reason(error)}") from error
    if len(shape) != 3 or shape[2] != 3 or dtype.kind not in "fiu":
        raise ShapeError(f"{path}: {array} is {dtype} {shape}, not numbers [shapes, points, 3]")
    if shape[1] * 3 * dtype.itemsize > MAX_BYTES:  # HDF5 may promise what it does not hold
        raise ShapeError(f"{path}: a cloud of {shape[1]} points is larger than 1 GiB")
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
            array=array,
            row=row,
        )
        for row, label in enumerate(labels)
    ]


def read_labels(path: Path, array: str = "label") -> Indices:
    """Read the class of each row, `[S]`, from `[S]` or `[S, 1]`.

    Raises:
        ShapeError: when the file is damaged, or holds anything else.
        ConfigError: when h5py is needed and absent.
    """
    try:
        rows = _rows(path, array)
        fits = rows.dtype.kind in "fiu" and 1 <= rows.ndim <= 2 and rows.size == len(rows)
        labels = rows[:] if fits and rows.size * rows.dtype.itemsize <= MAX_BYTES else None
    except _BROKEN as error:
        raise ShapeError(f"{path}: cannot be read: {_reason(error)}") from error
    if labels is None or not np.array_equal(labels, np.rint(labels)):
        raise ShapeError(f"{path}: {array} is {rows.dtype} {rows.shape}, not one class per cloud")
    return np.asarray(labels).reshape(-1).astype(np.int64)


def _rows(path: Path, array: str) -> Any:
    """Return the array unread: indexing reads."""
    if path.suffix.lower() == ".npy":
        try:
            return open_memmap(path, mode="r")  # refuses pickles, and headers that promise too much
        except OSError:
            raise
        except Exception as error:  # its header is read by Python's own tokenizer
            raise ValueError(f"not an intact .npy file ({error})") from error
    return _opened(path, array, path.stat().st_mtime_ns, os.getpid())


@lru_cache(maxsize=4)
def _opened(path: Path, array: str, modified: int, process: int) -> Any:
    """Open an HDF5 array once a process: its unpacked chunks are lost when it is closed."""
    h5py = import_extra("h5py", "hdf5", str(path))
    return h5py.File(path, "r", rdcc_nbytes=_CHUNK_CACHE, rdcc_nslots=_CHUNK_SLOTS)[array]


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or first_line(error)
