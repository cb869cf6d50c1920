"""Read a mesh file of any type, check it, and bring it into the unit sphere."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import trimesh

from pointmcd.errors import FormatError
from pointmcd.shapes.formats import Beside, files_beside, mesh_suffixes, read_file, reading
from pointmcd.shapes.gltf import parse_gltf
from pointmcd.shapes.obj import parse_obj
from pointmcd.shapes.off import parse_off
from pointmcd.shapes.ply import parse_ply
from pointmcd.shapes.polygons import Polygons, check_number, triangulate
from pointmcd.shapes.stl import parse_stl
from pointmcd.typing import Array, Doubles, Indices, Shorts

#: Readers of our own; trimesh reads the other types.
_READERS: dict[str, Callable[[bytes], Polygons]] = {
    "obj": parse_obj,
    "off": parse_off,
    "ply": parse_ply,
    "stl": parse_stl,
}


@dataclass(frozen=True, eq=False)
class FileFaces:
    """The faces of a file, polygons it may be, that the triangles of a mesh fill.

    Attributes:
        index: the face in the file of each triangle, int64 `[F]`.
        count: number of faces in the file; those without area have no triangle.
    """

    index: Indices
    count: int


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles in space.

    Attributes:
        vertices: float64 `[Vn, 3]`.
        faces: indices into `vertices`, int64 `[F, 3]`, F at least 1.
        parts: part label of each face, int16 `[F]`, counted from 0 in the shape's class, or None.
        colours: of the corners of each face as in the file, `[F, 3, 3]`, or None.
        origin: where each face comes from; None where that is not known.
    """

    vertices: Doubles
    faces: Indices
    parts: Shorts | None = None
    colours: Array | None = None
    origin: FileFaces | None = None

    @property
    def double_areas(self) -> Doubles:
        """Twice the area of each face, `[F]`; use it on framed coordinates only."""
        return np.asarray(np.linalg.norm(self.cross_products, axis=1))

    @property
    def cross_products(self) -> Doubles:
        """Normals of the faces, as long as twice their areas, `[F, 3]`."""
        first, second, third = np.moveaxis(self.vertices[self.faces], 1, 0)
        return np.asarray(np.cross(second - first, third - first))


def read_mesh(
    data: str | Path | bytes,
    name: str | None = None,
    file_type: str | None = None,
    parts: Shorts | None = None,
    beside: Beside | None = None,
) -> Mesh:
    """Read a mesh in its own coordinates; scenes are joined, faces without area dropped.

    Polygons become triangles, each with the label of its polygon.

    Args:
        data: the file, or its content.
        name: the file as error texts call it; by default its path.
        file_type: suffix, in any case, with or without the dot; by default that of the path.
        parts: part label of each face, in the order of the file; a polygon is one face.
        beside: reads the files that a .gltf names; by default those in the folder of a path.

    Raises:
        ShapeError: when the content is not a usable mesh, or has not as many faces as labels.
    """
    data = Path(data) if isinstance(data, str) else data
    path = data if isinstance(data, Path) else Path("mesh")
    name = str(path) if name is None else name
    kind = (path.suffix if file_type is None else file_type).lower().lstrip(".")
    content = read_file(data, name) if isinstance(data, Path) else data
    with reading(name, kind):
        if not content.strip():
            raise FormatError("the file is empty")
        if kind in ("glb", "gltf"):
            beside = files_beside(data) if beside is None and isinstance(data, Path) else beside
            polygons = parse_gltf(content, beside, labelled=parts is not None)
        elif kind in _READERS:
            polygons = _READERS[kind](content)
        else:
            with _quiet():
                polygons = _joined(_scene(content, kind))
            if parts is not None:  # trimesh may leave the order of the file
                raise FormatError("part labels need a file of type .obj, .off, .ply, .stl or .glb")
    with reading(name):
        return _without_degenerate_faces(_triangles(polygons, parts))


def _triangles(polygons: Polygons, parts: Shorts | None) -> Mesh:
    """Make triangles of polygons, each with the part label of its polygon, where there are any."""
    check_number(int(np.maximum(polygons.counts - 2, 0).sum()))
    faces, polygon = triangulate(polygons.vertices, polygons.corners, polygons.counts)
    if not len(faces):
        raise FormatError(
            "no faces; is it empty, truncated, of another type, or a point cloud? clouds:PATH reads"
            " those, into another store"
        )
    finite = np.asarray(np.isfinite(polygons.vertices).all(axis=1))
    if not finite[faces].all():
        raise FormatError("a vertex is NaN or infinite")
    colours, count = _corner_colours(polygons, faces, polygon), len(polygons.counts)
    if parts is not None and len(parts) != count:
        raise FormatError(f"{len(parts)} part labels for {count} faces; one per face is needed")
    labels = None if parts is None else parts[polygon]
    origin = FileFaces(polygon, count) if polygons.ordered else None
    return Mesh(polygons.vertices, faces, labels, colours, origin)


def _corner_colours(polygons: Polygons, faces: Indices, polygon: Indices) -> Array | None:
    if polygons.vertex_colours is not None:
        return polygons.vertex_colours[faces]
    if polygons.face_colours is None:
        return None
    return polygons.face_colours[polygon][:, None].repeat(3, axis=1)


def normalise(mesh: Mesh) -> Mesh:
    """Bring a mesh into the unit sphere.

    The centre is the centroid of the surface, weighted by area: what the mean of uniformly sampled
    points tends to. The farthest vertex is at distance 1. Vertices without a face are dropped.

    Raises:
        FormatError: when all vertices are at one place; `read_mesh` returns no such mesh.
    """
    framed, _ = _framed(mesh)
    # The largest area becomes 1, so that the sum cannot vanish for very thin shapes.
    weights = framed.double_areas
    weights = weights / weights.max()
    centre = weights @ framed.vertices[framed.faces].mean(axis=1) / weights.sum()
    return replace(framed, vertices=unit_sphere(framed.vertices, centre))


def unit_box(points: Doubles) -> tuple[Doubles, float]:
    """Centre the bounding box of finite points `[N, 3]`, N at least 1, with longest side 2.

    Scaling by the largest magnitude comes before any sum or square: coordinates from 1e-300 to
    1e300 do not overflow.

    Returns:
        The framed points `[N, 3]`, and the rounding error of their coordinates in that frame
        (large where a small shape stands far from the origin).

    Raises:
        FormatError: when all points are at one place.
    """
    magnitude = np.abs(points).max()
    scaled = points / magnitude if magnitude > 0 else points
    lowest, highest = scaled.min(axis=0), scaled.max(axis=0)
    half = (highest - lowest).max() / 2
    if not half > 0:
        raise FormatError("all points are at one place")
    return (scaled - (lowest + highest) / 2) / half, float(np.finfo(np.float64).eps / half)


def unit_sphere(points: Doubles, centre: Doubles) -> Doubles:
    """Centre points `[N, 3]` at `centre` `[3]` and scale the farthest to distance 1."""
    centred = points - centre
    return np.asarray(centred / np.linalg.norm(centred, axis=1).max())


def _scene(content: bytes, kind: str) -> trimesh.Scene:
    if kind not in mesh_suffixes():
        raise FormatError("no mesh of this type can be read; save it as .obj, .off or .ply")
    return trimesh.load_scene(BytesIO(content), file_type=kind, process=False, skip_materials=True)


def _joined(scene: trimesh.Scene) -> Polygons:
    """Join the meshes of a scene, each where the scene places it."""
    meshes = {k: g for k, g in scene.geometry.items() if len(getattr(g, "faces", ()))}
    for geometry in meshes.values():
        faces = geometry.faces
        if faces.min() < 0 or faces.max() >= len(geometry.vertices):
            raise FormatError("a face index is outside the range of the vertices")
    placed = [scene.graph[node] for node in scene.graph.nodes_geometry]
    placed = [(transform, meshes[key]) for transform, key in placed if key in meshes]
    total = sum(len(geometry.faces) for _, geometry in placed)
    check_number(total)
    vertices, faces, count = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0
    for transform, geometry in placed:
        vertices.append(_moved(np.asarray(geometry.vertices, dtype=np.float64), transform))
        faces.append(np.asarray(geometry.faces, dtype=np.int64) + count)
        count += len(vertices[-1])
    counts = np.full(total, 3)
    return Polygons(np.concatenate(vertices), np.concatenate(faces).ravel(), counts, ordered=False)


def _moved(vertices: Doubles, transform: Doubles) -> Doubles:
    with np.errstate(all="ignore"):
        return np.asarray(vertices @ transform[:3, :3].T + transform[:3, 3])


def _without_degenerate_faces(mesh: Mesh) -> Mesh:
    """Drop faces whose height is below the rounding error of the coordinates."""
    framed, rounding = _framed(mesh)
    corners = framed.vertices[framed.faces]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    whole = framed.double_areas > 4 * rounding * longest
    if not whole.any():
        raise FormatError("all faces are degenerate: none has an area")
    parts = None if mesh.parts is None else mesh.parts[whole]
    colours = None if mesh.colours is None else mesh.colours[whole]
    origin = mesh.origin and FileFaces(mesh.origin.index[whole], mesh.origin.count)
    return Mesh(mesh.vertices, mesh.faces[whole], parts, colours, origin)


def _framed(mesh: Mesh) -> tuple[Mesh, float]:
    """Return the mesh in the unit box without unused vertices, and the rounding error there."""
    used = np.zeros(len(mesh.vertices), dtype=np.bool_)
    used[mesh.faces] = True
    try:
        vertices, rounding = unit_box(mesh.vertices[used])
    except FormatError as error:
        raise FormatError(f"all faces are degenerate: {error}") from error
    faces = (np.cumsum(used) - 1)[mesh.faces]
    return replace(mesh, vertices=vertices, faces=faces), rounding


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the log and the warnings of trimesh: what matters is checked and raised here."""
    logger = logging.getLogger("trimesh")
    handler, propagate = logging.NullHandler(), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.propagate = propagate
        logger.removeHandler(handler)
