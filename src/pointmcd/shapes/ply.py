"""PLY files: the points of a cloud, or the faces and strips of a mesh."""

import re
from collections.abc import Sequence

import numpy as np

from pointmcd.errors import FormatError
from pointmcd.shapes.columns import Rows
from pointmcd.shapes.features import COLOURS, named_columns
from pointmcd.shapes.ply_header import Element, Header, read_header
from pointmcd.shapes.ply_rows import ElementRows, read_rows
from pointmcd.shapes.polygons import Polygons
from pointmcd.shapes.strips import strip_triangles
from pointmcd.shapes.text import whole_numbers
from pointmcd.typing import Array, Doubles, Indices

_FACES = ("face", "faces")
_STRIPS = ("tristrips", "tristrip")
#: Elements that are not faces though their names or lists may look like it.
_BESIDE = re.compile("vertex|vertices|edges?|materials?|camera|range_grid|multi_texture_.*|user.*")
_FACE_LIKE = re.compile(
    r"face|(\b|_)(tri|quad|poly|strip|fan|cell|tet|hex|patch|surf)|strips?$|fans?$"
)
#: Names of the lists of corners, beside which there may be others.
_CORNERS = ("vertex_indices", "vertex_index", "vertex_indexes", "vertexindices", "vertices")
#: Parts of the names of lists that are not corners.
_NO_CORNERS = re.compile("tex|uv|mat|norm|col|group|edge|flag")


def holds_faces(header: Header) -> bool:
    """Return whether a PLY file is a mesh: without any face it is a cloud.

    Raises:
        FormatError: when it has elements that may be faces of a form that is not read.
    """
    filled = [one for one in header.elements if one.count]
    found = any(one.name in (*_FACES, *_STRIPS) for one in filled)
    for one in filled:
        lists = any(part.counted for part in one.properties)
        if one.name in (*_FACES, *_STRIPS) or _BESIDE.fullmatch(one.name):
            continue
        if _FACE_LIKE.search(one.name) or (lists and not found):
            raise FormatError(f"its elements {one.name} are not read; save it with faces instead")
    return found


def parse_ply(data: bytes) -> Polygons:
    """Read the faces of a PLY file, and the triangles of its strips, in the order of the file.

    Raises:
        FormatError: saying what is wrong with it, or what about it is not read.
    """
    header = read_header(data)
    faces = holds_faces(header)
    rows = read_rows(data, header)
    corners, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    colours: list[Array | None] = []
    for one in rows if faces else ():
        if one.element.name in (*_FACES, *_STRIPS) and one.element.count:
            found = _corners(one)
            strips = one.element.name in _STRIPS
            found = _triangles(*found) if strips else found
            colours.append(None if strips else _features(one, (COLOURS.name,)).get(COLOURS.name))
            corners.append(found[0])
            counts.append(found[1])
    of_vertices = _features(_vertex_rows(rows), (COLOURS.name,)).get(COLOURS.name)
    of_faces = colours[0] if len(colours) == 1 else None
    vertices = _vertices(rows)
    return Polygons(
        vertices, np.concatenate(corners), np.concatenate(counts), of_vertices, of_faces
    )


def parse_points(data: bytes, features: Sequence[str] = ()) -> Rows | None:
    """Read the points of a PLY file, `[N, 3]`, or return None where it is a mesh.

    Args:
        data: the file.
        features: names of those to read where it has them.

    Raises:
        FormatError: as `parse_ply`.
    """
    header = read_header(data)
    if holds_faces(header):
        return None
    rows = read_rows(data, header)
    return Rows(_vertices(rows), None, _features(_vertex_rows(rows), features))


def _features(rows: ElementRows, features: Sequence[str]) -> dict[str, Array]:
    """Return the features that the properties of an element hold, `[rows, 3]`, by name."""
    names = ["" if one.counted else one.name for one in rows.element.properties]
    columns = named_columns(names, features)
    return {name: np.column_stack([*map(rows.values, at)]) for name, at in columns.items()}


def _vertex_rows(rows: list[ElementRows]) -> ElementRows:
    found = [one for one in rows if one.element.name in ("vertex", "vertices")]
    if len(found) != 1:
        names = ", ".join(one.element.name for one in rows) or "none"
        raise FormatError(f"it needs one element vertex; its elements: {names[:80]}")
    return found[0]


def _vertices(rows: list[ElementRows]) -> Doubles:
    found = _vertex_rows(rows)
    columns = [_index(found.element, axis) for axis in "xyz"]
    points = np.empty((found.element.count, 3))
    with np.errstate(invalid="ignore"):  # NaN of any kind is refused later
        for axis, column in enumerate(columns):
            points[:, axis] = found.values(column)
    return points


def _index(element: Element, name: str) -> int:
    """Return the place of the only property of a name that is not a list."""
    named = [i for i, one in enumerate(element.properties) if one.name == name and not one.counted]
    if len(named) != 1:
        names = ", ".join(one.name for one in element.properties)
        raise FormatError(f"its vertices need one {name} each; they have {names[:80]}")
    return named[0]


def _corners(rows: ElementRows) -> tuple[Indices, Indices]:
    """Return the corners of all faces, one face after another, and their numbers."""
    properties = rows.element.properties
    lists = {i: one.name for i, one in enumerate(properties) if one.counted}
    known = [i for i, name in lists.items() if name in _CORNERS]
    known = known or [
        i
        for i, name in lists.items()
        if properties[i].type[0] in "iu" and not _NO_CORNERS.search(name)
    ]
    if len(known) != 1:
        names = ", ".join(one.name for one in properties)
        raise FormatError(
            f"its {rows.element.name} elements need one list vertex_indices; they have {names[:80]}"
        )
    values, counts = rows.lists(known[0])
    return whole_numbers(values, "a face index"), counts


def _triangles(corners: Indices, counts: Indices) -> tuple[Indices, Indices]:
    """Take strips apart; -1, also as an unsigned number, begins a new one."""
    begins = np.zeros(len(corners) + 1, dtype=np.bool_)
    begins[np.cumsum(counts) - counts] = True
    restarts = (corners == -1) | (corners == 2**32 - 1)
    triangles = strip_triangles(corners, begins[:-1], restarts)
    return triangles.ravel(), np.full(len(triangles), 3)
