"""Columns of a table of points: which hold x, y and z, by their names or by their places."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from pointmcd.errors import FormatError
from pointmcd.shapes.features import placed_columns, unit_length
from pointmcd.typing import Array, Bools, Doubles

#: Columns above which a table without names is not a table of points: a picture, or [3, points].
MAX_COLUMNS = 16
HINT = "name the columns of x, y and z, as in --columns 2,3,4"

#: Words that may stand beside the letter of an axis: `pos_x`, `X [m]`, `Points:0`.
POSITION_WORDS = frozenset(
    (
        *("p", "point", "points", "pos", "position", "positions", "vertex", "vertices", "xyz"),
        *("coord", "coords", "coordinate", "coordinates", "loc", "location", "geometry"),
        *("cartesian", "global", "world", "utm", "scan", "in", "centroid", "center"),
        *("field", "data", "value", "values"),
        *("m", "mm", "cm", "km", "meter", "meters", "metre", "metres", "ft", "feet"),
    )
)
_GLUED = re.compile(r"(?:p|pos|position|coord|point)([xyz])|([xyz])(?:pos|coord|coordinate)")
_SURVEY = {
    **dict.fromkeys(("x", "e", "east", "easting", "eastings"), 0),
    **dict.fromkeys(("y", "n", "north", "northing", "northings"), 1),
    **dict.fromkeys(("z", "h", "u", "up", "height", "elev", "elevation", "alt", "altitude"), 2),
}
#: Names of what is not a coordinate in x, y and z: enough of them make a header of a comment.
OTHERS = frozenset(
    (
        *("r", "g", "b", "red", "green", "blue", "alpha", "rgb", "nx", "ny", "nz", "u", "v"),
        *("normal_x", "normal_y", "normal_z", "id", "index", "intensity", "reflectance"),
        *("label", "class", "classification", "time", "timestamp", "gps_time"),
        *("lat", "latitude", "lon", "long", "longitude", "theta", "phi", "rho", "range", "azimuth"),
    )
)


class Rows(NamedTuple):
    """Positions `[N, 3]`, a note on how they were read, and features `[N, 3]` as in the file.

    Of a file with more rows, `kept` says which of them these are, bool `[M]`; None: all.
    """

    points: Array
    note: str | None = None
    features: Mapping[str, Array] = MappingProxyType({})
    kept: Bools | None = None


def axis_columns(names: Sequence[str]) -> list[int] | None:
    """Return the columns of x, y and z by their names; None where they do not name all three.

    Raises:
        FormatError: when several columns have the name of one axis.
    """
    known = [cleaned(name) for name in names]
    letters = {"x": 0, "y": 1, "z": 2}
    plain = _triple([letters.get(name) for name in known])
    if plain:
        return plain
    patterns: dict[str, list[int | None]] = {}
    for column, name in enumerate(known):
        axis, pattern = _axis(name)
        if axis is not None:
            patterns.setdefault(pattern, [None] * len(names))[column] = axis
    found = [triple for axes in patterns.values() if (triple := _triple(axes))]
    if len(found) > 1:
        raise FormatError(f"several columns are named as x, y and z; {HINT}")
    return found[0] if found else _triple([_survey(name) for name in known])


def chosen_columns(columns: str, names: Sequence[str] | None, width: int) -> list[int]:
    """Return the columns that a user chose, like "2,3,4", counted from 1, or "east,north,up".

    Raises:
        FormatError: when these are not three columns of the `width` that there are.
    """
    words = [word.strip() for word in columns.split(",")]
    numbers = all(word.isdecimal() for word in words)
    known = [cleaned(name) for name in names or ()]
    if numbers:
        found = [int(word) - 1 for word in words]
    else:
        found = [known.index(w) if w in known else -1 for w in map(cleaned, words)]
    wrong = [w for w, column in zip(words, found, strict=True) if not 0 <= column < width]
    if len(words) != 3 or wrong:
        there = f"the columns are {', '.join(names)}" if names else f"there are {width} columns"
        problem = f"no column {wrong[0]}" if wrong else f"{len(words)} columns, not 3"
        raise FormatError(f"--columns {columns}: {problem}; {there[:100]}")
    return found


def first_columns(table: Array, features: Sequence[str] = ()) -> Rows:
    """Return x, y and z of a table without names `[N, C]`; one of `[3, N]` or `[6, N]` is turned.

    Features of these names are given too, where the columns behind look like them.

    Raises:
        FormatError: when the table is too wide, or its first columns look like others.
    """
    height, width = table.shape
    note = None
    if height in (3, 6) and width > MAX_COLUMNS:
        table, note = table.T, f"turned from {height} x {width}"
    elif not 3 <= width <= MAX_COLUMNS:
        advice = "save it transposed" if 3 <= height <= MAX_COLUMNS else HINT
        told = f"a table of shape {table.shape}, not [points, 3 to {MAX_COLUMNS}]"
        raise FormatError(f"{told}; {advice}" if width > 3 else told)
    if looks := _looks(table):
        raise FormatError(f"{looks}; {HINT}")
    beside = placed_columns(table, features) if features else {}
    return Rows(table[:, :3], note, {name: table[:, found] for name, found in beside.items()})


def _looks(table: Array) -> str:
    """Say that the first columns look like an index, labels, colours or normals; "" if not."""
    count, width = table.shape
    if width < 4 or count < 3:
        return ""
    values = np.asarray(table[:, :6], dtype=np.float64)
    with np.errstate(invalid="ignore"):
        whole = (values == np.rint(values)).all(axis=0)
        steps = np.diff(values[:, 0])
    first, then = values[:, :3], values[:, 3:]
    if width >= 6 and not whole[3:].all():  # whole numbers behind are colours
        if whole[:3].all() and not whole[3:].any() and _within(first, 255):
            return "its first columns look like colours"
        if not unit_length(then) and unit_length(first):
            return "its first columns look like normals"
        if not unit_length(then) and _within(first, 1) and not _within(then, 1):
            return "its first columns look like colours"
    if width >= 5 and whole[:2].all() and not whole[2:5].any() and values[:, :2].min() >= 0:
        return "its first columns look like rows and columns of a picture"
    counts = bool((steps == steps[0]).all()) and steps[0] in (0, 1)
    if whole[0] and (counts or not whole[1:4].any()):
        return "its first column looks like an index or label"
    even = count > 9 and steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-3, atol=0)
    return "its first column looks like times" if even or _seconds(values[:, 0], steps) else ""


def _within(values: Doubles, highest: int) -> bool:
    return bool(values.min() >= 0 and values.max() <= highest)


def _seconds(column: Doubles, steps: Doubles) -> bool:
    """Return whether a column rises, above all coordinates of maps: time since 1970 or so."""
    return bool(column[0] > 1e8 and (steps >= 0).all())


def cleaned(name: str) -> str:
    """Return a name in lower case, without quotes, marks of comments and blanks around it."""
    return re.sub(r"\s+", " ", name.strip(" \t\"'#/%!;,\ufeff").lower())


def _axis(name: str) -> tuple[int | None, str]:
    """Return the axis of a name like `pos_x` or `points:0`, and the name without it."""
    words = re.findall("[a-z]+|[0-9]+", name)
    if glued := [word for word in words if _GLUED.fullmatch(word)]:
        match = _GLUED.fullmatch(glued[0])
        assert match is not None  # for mypy
        letter = match[1] or match[2]
        words[words.index(glued[0])] = letter
    letters = [word for word in words if word in ("x", "y", "z")]
    digits = [word for word in words if word in ("0", "1", "2")]
    mark = letters or digits
    if len(mark) != 1:  # first: damaged text may have thousands
        return None, ""
    others = [word for word in words if word not in mark]
    if len(others) + 1 != len(words) or not POSITION_WORDS.issuperset(others):
        return None, ""
    if digits and not others:  # a bare 0, 1, 2 names no axis
        return None, ""
    return "xyz012".index(mark[0]) % 3, " ".join(w if w in others else "?" for w in words)


def _survey(name: str) -> int | None:
    """Return the axis of a name like `Easting (m)`."""
    words = [w for w in re.findall("[a-z]+", name) if w not in POSITION_WORDS]
    return _SURVEY.get(words[0]) if len(words) == 1 else None


def _triple(axes: Sequence[int | None]) -> list[int] | None:
    """Return where 0, 1 and 2 stand; None where one is missing."""
    if not {0, 1, 2} <= set(axes):
        return None
    if any(axes.count(axis) > 1 for axis in range(3)):
        raise FormatError(f"several columns are named as one of x, y and z; {HINT}")
    return [axes.index(axis) for axis in range(3)]
