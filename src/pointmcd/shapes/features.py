"""Features of points beside their coordinates: normals and colours, each described once.

In memory they are float32 as students take them: normals of length 1 (0 where a point has none),
colours from 0 to 1. Points [N, 3 + F] carry the features of a run behind the coordinates, in the
order of `KINDS`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pointmcd.errors import ConfigError, FormatError, ShapeError
from pointmcd.typing import Array, Doubles, Floats, Reals

#: Radii of the unit sphere over which a map of space is taken for linear.
_STEP = 1e-4


@dataclass(frozen=True)
class FeatureKind:
    """One kind of feature, three channels.

    Attributes:
        name: in options, error texts, and the name of its file in a shard.
        channel_names: with their range, for readers of an exported model.
        dtype: of that file.
        scale: what stands for 1 there.
        direction: whether it is a vector square to the surface, which turns with the shape.
        columns: names of its columns in files of points.
    """

    name: str
    channel_names: tuple[str, str, str]
    dtype: type[np.integer[Any]]
    scale: int
    direction: bool
    columns: tuple[tuple[str, str, str], ...]

    channels = 3

    def read(self, values: Array) -> Floats:
        """Return values of a file [N, 3] as students take them.

        Raises:
            FormatError: for colours that are not numbers in 0..1, 0..255 or 0..65535.
        """
        return unit(values) if self.direction else _colours(values)

    def pack(self, values: Floats) -> Array:
        """Return values as they are on disk."""
        return np.rint(values * self.scale).astype(self.dtype)

    def unpack(self, stored: Array) -> Floats:
        """Return what was packed; normals are within 0.4 degrees of what they were."""
        values = stored.astype(np.float32) / np.float32(self.scale)
        return unit(values) if self.direction else values


NORMALS = FeatureKind(
    "normals",
    ("normal x (-1..1)", "normal y (-1..1)", "normal z (-1..1)"),
    np.int8,
    127,
    direction=True,
    columns=(
        *(("nx", "ny", "nz"), ("n_x", "n_y", "n_z"), ("normal_x", "normal_y", "normal_z")),
        *(("normalx", "normaly", "normalz"), ("normal x", "normal y", "normal z")),
    ),
)
COLOURS = FeatureKind(
    "colours",
    ("red (0..1)", "green (0..1)", "blue (0..1)"),
    np.uint8,
    255,
    direction=False,
    columns=(
        ("red", "green", "blue"),
        ("r", "g", "b"),
        ("diffuse_red", "diffuse_green", "diffuse_blue"),
    ),
)
#: All kinds, in the order of their channels.
KINDS = (NORMALS, COLOURS)
#: Names of those that turn with the shape.
DIRECTIONS = frozenset(kind.name for kind in KINDS if kind.direction)


def chosen_kinds(names: Sequence[str]) -> tuple[FeatureKind, ...]:
    """Return the kinds of these names, in the order of `KINDS`."""
    return tuple(kind for kind in KINDS if kind.name in names)


def chosen_names(names: Sequence[str] | str) -> tuple[str, ...]:
    """Return names as an option gives them, with blanks or commas between, each once, in order.

    Raises:
        ConfigError: when one is not a kind of feature.
    """
    texts = [names] if isinstance(names, str) else names
    given = [name for text in texts for name in text.replace(",", " ").split()]
    known = [kind.name for kind in KINDS]
    for name in given:
        if name not in known:
            raise ConfigError(f"--features {name}: use {' or '.join(known)}, or both")
    return tuple(name for name in known if name in given)


def count_channels(names: Sequence[str]) -> int:
    """Return F, the number of channels of these features together."""
    return sum(kind.channels for kind in chosen_kinds(names))


def channel_names(names: Sequence[str]) -> list[str]:
    """Return what the channels of points [N, 3 + F] are."""
    return ["x", "y", "z", *(name for kind in chosen_kinds(names) for name in kind.channel_names)]


def directions(names: Sequence[str]) -> Iterator[slice]:
    """Yield the columns of points [N, 3 + F] that are directions."""
    start = 3
    for kind in chosen_kinds(names):
        if kind.direction:
            yield slice(start, start + kind.channels)
        start += kind.channels


def wanted(found: Mapping[str, Floats], names: Sequence[str], where: str) -> dict[str, Floats]:
    """Return the features of these names among those of a shape.

    Raises:
        ShapeError: when it lacks one; the text begins with `where`.
    """
    for kind in chosen_kinds(names):
        if kind.name not in found:
            columns = ", ".join(kind.columns[0])
            mesh = "a mesh, or " if kind.direction else ""
            raise ShapeError(
                f"{where}: has no {kind.name}; {mesh}a file with {columns} of each point has"
            )
    return {kind.name: found[kind.name] for kind in chosen_kinds(names)}


def named_columns(names: Sequence[str], kinds: Sequence[str]) -> dict[str, list[int]]:
    """Return the columns of features by their names, in lower case, where all three are there."""
    found = {}
    for kind in chosen_kinds(kinds):
        for columns in kind.columns:
            if all(names.count(column) == 1 for column in columns):
                found[kind.name] = [names.index(column) for column in columns]
                break
    return found


def placed_columns(table: Array, kinds: Sequence[str]) -> dict[str, list[int]]:
    """Return the columns of features in a table without names, x, y and z first.

    Normals are known by their length, colours by whole numbers up to 255, of which some are above
    1, in the three columns behind the coordinates or those after them.
    """
    found: dict[str, list[int]] = {}
    table = table[~np.isnan(table[:, :3].astype(np.float64)).all(axis=1)]
    for start in (3, 6) if len(table) else ():
        columns = [start, start + 1, start + 2]
        if table.shape[1] <= columns[-1]:
            break
        values = np.asarray(table[:, columns], dtype=np.float64)
        whole = bool((values == np.rint(values)).all())
        kind = None
        if unit_length(values) and values.any():
            kind = NORMALS.name
        elif whole and 1 < values.max() <= COLOURS.scale and values.min() >= 0:
            kind = COLOURS.name
        if kind in kinds:
            found.setdefault(str(kind), columns)
    return found


def unit_length(vectors: Doubles) -> bool:
    """Return whether vectors are of length 1, or 0, as of points without a normal."""
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(vectors, axis=1)
    return bool((np.minimum(np.abs(lengths - 1), lengths) < 1e-2).all())


def turned(normals: Floats, points: Reals, move: Callable[[Doubles], Doubles]) -> Floats:
    """Return normals [N, 3] of a surface after a map of space that keeps orientation.

    Two vectors in the surface are moved along; what is square to both of them is the normal. For a
    linear map M that is the inverse transpose of M, normalised.

    Args:
        normals: of length 1; 0, where there is none, stays.
        points: [N, 3], where the surface is before it is moved.
        move: maps any number of points [M, 3], each by itself.
    """
    normal, places = normals.astype(np.float64), np.asarray(points, dtype=np.float64)
    axis = np.eye(3)[np.abs(normal).argmin(axis=1)]
    first = unit(np.cross(normal, axis)).astype(np.float64)
    second = np.cross(normal, first)
    moved = move(np.concatenate([places, places + _STEP * first, places + _STEP * second]))
    base, one, two = np.split(moved, 3)
    # A vector of no length has no tangents either, and stays.
    return unit(np.cross(one - base, two - base) / _STEP**2)


def unit(vectors: Array) -> Floats:
    """Scale vectors [..., 3] to length 1; those that have none, or are not finite, become 0."""
    with np.errstate(all="ignore"):
        values = np.nan_to_num(vectors.astype(np.float64), posinf=0, neginf=0)
        lengths = np.linalg.norm(values, axis=-1, keepdims=True)
        return (values / np.where(lengths > 1e-12, lengths, np.inf)).astype(np.float32)


def _colours(values: Array) -> Floats:
    """Return colours [N, 3] in 0 to 1, from bytes, 16 bits, or fractions, as their numbers tell."""
    numbers = np.asarray(values, dtype=np.float64)
    if not np.isfinite(numbers).all() or numbers.min(initial=0) < 0:
        raise FormatError("a colour is negative or not a number")
    highest = numbers.max(initial=0)
    if highest > 65535:
        raise FormatError(f"a colour is {highest:g}; they are within 0..1, 0..255 or 0..65535")
    is_share = values.dtype.kind == "f" and highest <= 1
    scale = 1 if is_share else 255 if highest <= 255 else 65535
    return (numbers / scale).astype(np.float32)
