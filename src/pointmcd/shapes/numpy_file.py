"""Points in a `.npy` file: an array of numbers, or of records with the fields x, y and z."""

import warnings
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.lib import format as npy

from pointmcd.errors import FormatError
from pointmcd.shapes.columns import (
    HINT,
    MAX_COLUMNS,
    POSITION_WORDS,
    Rows,
    axis_columns,
    chosen_columns,
    cleaned,
    first_columns,
)
from pointmcd.shapes.features import named_columns
from pointmcd.typing import Array


def read_array(data: bytes, columns: str | None = None, features: Sequence[str] = ()) -> Rows:
    """Read positions of an array `[N, 3 or more]`, or turned `[3 or 6, N]`, or of N records.

    Args:
        data: the file.
        columns: which columns are x, y and z, where a user says it.
        features: names of those to read where it has them.

    Raises:
        FormatError: saying what is wrong with the content.
    """
    array = _array(data)
    if array.dtype.names is not None:
        return _from_records(array.reshape(-1), columns, features)
    if array.ndim > 2:
        array = array.reshape([n for n in array.shape if n != 1])
    if array.ndim != 2 or array.shape[1] < 2:
        raise FormatError(f"an array of shape {array.shape}, not one cloud [points, 3 or more]")
    if columns is not None:
        return Rows(array[:, chosen_columns(columns, None, array.shape[1])])
    height, width = array.shape
    if height in (3, 6) and 3 <= width <= MAX_COLUMNS and (height, width) != (6, 3):
        told = f"an array of {height} x {width} may be of {height} points or of {width}"
        raise FormatError(f"{told}; --columns 1,2,3 takes {height}")
    return first_columns(array, features)


def _from_records(records: Array, columns: str | None, features: Sequence[str]) -> Rows:
    dtype = records.dtype
    assert dtype.names is not None
    assert dtype.fields is not None
    kinds = {name: kind for name, (kind, *_) in dtype.fields.items()}
    names = [name for name in dtype.names if kinds[name].kind in "fiu"]
    found = chosen_columns(columns, names, len(names)) if columns else axis_columns(names)
    known = named_columns([cleaned(name) for name in names], features)
    beside = {kind: _stacked(records, [names[i] for i in at]) for kind, at in known.items()}
    whole = [n for n in dtype.names if kinds[n].shape == (3,) and n.lower() in POSITION_WORDS]
    if found is None and len(whole) == 1 and kinds[whole[0]].base.kind in "fiu":
        return Rows(np.asarray(records[whole[0]]), None, beside)
    if found is None:
        raise FormatError(f"its fields are {', '.join(dtype.names)[:80]}, not x, y and z; {HINT}")
    return Rows(_stacked(records, [names[column] for column in found]), None, beside)


def _stacked(records: Array, names: Sequence[str]) -> Array:
    return np.column_stack([records[name] for name in names])


def _array(data: bytes) -> Array:
    """Read an array; nothing is allocated before its bytes are known to be there."""
    stream = BytesIO(data)
    if data[:6] != npy.MAGIC_PREFIX and data[:2] != b"PK":
        raise FormatError("it is not an .npy file")
    if data[:2] == b"PK":
        raise FormatError("it is an .npz file; save one array of points with numpy.save")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers that Python 2 wrote
        first = npy.read_magic(stream) == (1, 0)
        read = npy.read_array_header_1_0 if first else npy.read_array_header_2_0
        shape, fortran_order, dtype = read(stream)
    if dtype.hasobject or (dtype.names is None and dtype.kind not in "fiu"):
        raise FormatError(f"an array of {dtype}, not of numbers")
    count = int(np.prod(shape, dtype=object))
    there = len(data) - stream.tell()
    if min(shape, default=0) < 0 or count * dtype.itemsize > there:
        raise FormatError(f"the header promises {count} numbers; the file is truncated")
    if count * dtype.itemsize < there:
        raise FormatError("other data follow the array; save one cloud a file")
    if not count or not dtype.itemsize:
        raise FormatError("no points in the array")
    rows = np.frombuffer(data, dtype, count, stream.tell())
    return rows.reshape(shape, order="F" if fortran_order else "C")
