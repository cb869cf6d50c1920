"""Arrays of points: which shapes are read, turned or refused."""

import io
import re

import numpy as np
import pytest

from pointmcd.errors import FormatError
from pointmcd.shapes.numpy_file import read_array

CLOUD = np.random.default_rng(0).normal(size=(40, 3))


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def wide(*more):
    return np.hstack([CLOUD, *more])


COLOURS = np.arange(120).reshape(40, 3) % 256
NORMALS = CLOUD / np.linalg.norm(CLOUD, axis=1, keepdims=True)
RECORDS = np.zeros(40, [("i", "u1"), ("z", "f4"), ("X", "f8"), ("y", "f8"), ("rgb", "u1", (3,))])
RECORDS["X"], RECORDS["y"], RECORDS["z"] = CLOUD.T
FIELD = np.zeros((40, 1), [("t", "f8"), ("position", "f8", (3,))])
FIELD["position"][:, 0] = CLOUD
RIGHT = {
    "[N, 3]": CLOUD,
    "in Fortran's order": np.asfortranarray(CLOUD),
    "[N, 6] colours": wide(COLOURS),
    "[N, 6] normals": wide(NORMALS),
    "[N, 16]": wide(np.ones((40, 13))),
    "[1, N, 3]": CLOUD[None],
    "[N, 1, 3]": CLOUD[:, None],
    "[3, N]": CLOUD.T,
    "[1, 3, N]": CLOUD.T[None],
    "[6, N]": wide(NORMALS).T,
    "other byte order": CLOUD.astype(">f8"),
    "records": RECORDS,
    "a field of positions": FIELD,
}


@pytest.mark.parametrize("kind", RIGHT)
def test_right(kind):
    points, note, *_ = read_array(npy(RIGHT[kind]))
    np.testing.assert_allclose(points, CLOUD, atol=1e-6)
    turned = kind in ("[3, N]", "[1, 3, N]", "[6, N]")
    assert note == (f"turned from {kind[-5]} x 40" if turned else None)


@pytest.mark.parametrize("shape", [(4, 3), (6, 3), (2, 6), (7, 6), (1, 3)])
def test_few_points(shape):
    assert len(read_array(npy(np.full(shape, 0.5))).points) == shape[0]


REFUSED = {
    "[3, 3]": (CLOUD[:3], "3 x 3 may be of 3 points or of 3"),
    "[6, 6]": (wide(COLOURS)[:6], "6 x 6 may be of 6 points or of 6"),
    "[3, 6]": (CLOUD[:6].T, "3 x 6 may be of 3 points or of 6"),
    "[N, 2]": (CLOUD[:, :2], "shape (40, 2)"),
    "[2, N]": (CLOUD[:, :2].T, "shape (2, 40)"),
    "[4, N]": (wide(COLOURS[:, :1]).T, "shape (4, 40), not [points, 3 to 16]; save it transposed"),
    "[N]": (CLOUD[:, 0], "shape (40,)"),
    "[S, N, 3]": (np.stack([CLOUD, CLOUD]), "shape (2, 40, 3)"),
    "a number": (np.asarray(1.0), "shape ()"),
    "a picture": (np.ones((40, 30)), "shape (40, 30)"),
    "index first": (np.hstack([np.arange(40)[:, None], CLOUD]), "index or label"),
    "colours first": (np.hstack([COLOURS, CLOUD]), "look like colours"),
    "normals first": (np.hstack([NORMALS, CLOUD]), "look like normals"),
    "shares of colours first": (np.hstack([COLOURS / 255, CLOUD]), "look like colours"),
    "[6, N], colours first": (np.hstack([COLOURS, CLOUD]).T, "look like colours"),
    "[6, N], normals first": (np.hstack([NORMALS, CLOUD]).T, "look like normals"),
    "times first": (np.hstack([1e9 + np.arange(40)[:, None] / 7, CLOUD]), "looks like times"),
    "pixels first": (np.hstack([COLOURS[:, :2], CLOUD]), "rows and columns of a picture"),
    "nothing": (CLOUD[:0], "no points"),
    "complex": (CLOUD + 1j, "complex128"),
    "truths": (CLOUD > 0, "bool"),
    "records without z": (RECORDS[["i", "y"]], "i, y, not x, y and z"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind):
    array, words = REFUSED[kind]
    with pytest.raises(FormatError, match=re.escape(words)):
        read_array(npy(array))


def test_other_files():
    file = io.BytesIO()
    np.savez(file, points=CLOUD)
    with pytest.raises(FormatError, match=r"an \.npz file; save one array"):
        read_array(file.getvalue())
    with pytest.raises(FormatError, match=r"not an \.npy file"):
        read_array(b"1 2 3")
    with pytest.raises(FormatError, match="other data follow the array"):
        read_array(npy(CLOUD) + npy(CLOUD))
    objects = io.BytesIO()
    np.save(objects, np.array([{}, 1], dtype=object), allow_pickle=True)
    with pytest.raises(FormatError, match="an array of object"):
        read_array(objects.getvalue())


@pytest.mark.parametrize(
    ("array", "columns"),
    [
        (np.hstack([COLOURS, CLOUD]), "4,5,6"),
        (CLOUD[:3], "1,2,3"),
        (RECORDS, "x,y,z"),
        (np.rec.fromarrays(CLOUD.T, names="east,north,up"), "east,north,up"),
    ],
)
def test_columns_that_are_chosen(array, columns):
    points = read_array(npy(array), columns).points
    np.testing.assert_allclose(points, CLOUD[: len(points)], atol=1e-6)
