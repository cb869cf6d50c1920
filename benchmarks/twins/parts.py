"""Simple parts as a CAD system makes them, by their dimensions in millimetres."""

from collections.abc import Callable, Sequence

import mapbox_earcut
import numpy as np
import trimesh

from pointmcd.shapes.mesh import Mesh, read_mesh
from pointmcd.typing import Doubles

#: Segments of a full circle.
_SEGMENTS = 64


def _prism(height: float, *rings: Sequence[tuple[float, float]] | Doubles) -> trimesh.Trimesh:
    """Extrude an outline, the first ring, with holes, the others."""
    corners = np.concatenate([np.asarray(ring, np.float64) for ring in rings])
    ends = np.cumsum([len(ring) for ring in rings]).astype(np.uint32)
    faces = mapbox_earcut.triangulate_float64(corners, ends).reshape(-1, 3)
    return trimesh.creation.extrude_triangulation(corners, faces, height)


def _circle(radius: float, x: float = 0, y: float = 0) -> Doubles:
    angles = np.arange(_SEGMENTS) * (2 * np.pi / _SEGMENTS)
    return np.column_stack([x + radius * np.cos(angles), y + radius * np.sin(angles)])


def _box(x: float, y: float, z: float) -> trimesh.Trimesh:
    return trimesh.creation.box((x, y, z))


def _bracket(x: float, y: float, width: float, wall: float) -> trimesh.Trimesh:
    return _prism(width, [(0, 0), (x, 0), (x, wall), (wall, wall), (wall, y), (0, y)])


def _channel(x: float, y: float, length: float, wall: float) -> trimesh.Trimesh:
    inner = [(x - wall, y), (x - wall, wall), (wall, wall), (wall, y)]
    return _prism(length, [(0, 0), (x, 0), (x, y), *inner, (0, y)])


def _plate(x: float, y: float, height: float, hole: float) -> trimesh.Trimesh:
    holes = [_circle(hole, i * x, j * y) for i in (0.2, 0.8) for j in (0.2, 0.8)]
    return _prism(height, [(0, 0), (x, 0), (x, y), (0, y)], *holes)


def _washer(outer: float, inner: float, height: float) -> trimesh.Trimesh:
    return _prism(height, _circle(outer), _circle(inner))


def _pin(radius: float, length: float) -> trimesh.Trimesh:
    return _prism(length, _circle(radius))


def _shaft(thick: float, long: float, thin: float, rest: float) -> trimesh.Trimesh:
    profile = [(0, 0), (thick, 0), (thick, long), (thin, long), (thin, long + rest)]
    return trimesh.creation.revolve(np.array([*profile, (0, long + rest)]), sections=_SEGMENTS)


#: Families of parts: how one is made, and the dimensions of some.
FAMILIES: dict[str, tuple[Callable[..., trimesh.Trimesh], list[tuple[float, ...]]]] = {
    "box": (_box, [(40, 30, 20), (60, 40, 8)]),
    "L bracket": (_bracket, [(40, 30, 44, 4), (50, 50, 20, 8)]),
    "U channel": (_channel, [(40, 25, 60, 4), (30, 30, 30, 6)]),
    "plate with holes": (_plate, [(60, 40, 5, 4), (50, 50, 10, 6)]),
    "washer": (_washer, [(20, 10, 4), (12, 8, 10)]),
    "pin": (_pin, [(4, 40), (10, 25)]),
    "stepped shaft": (_shaft, [(10, 30, 6, 20), (12, 15, 5, 50)]),
}


def part(family: str, dimensions: Sequence[float]) -> Mesh:
    """Make a part of some dimensions, as it is read from a file."""
    made = FAMILIES[family][0](*dimensions)
    return read_mesh(made.export(file_type="stl"), family, "stl")


def stretched(dimensions: Sequence[float], factor: float) -> list[tuple[float, ...]]:
    """Return the dimensions with one of them multiplied, each in turn."""
    own = tuple(dimensions)
    return [(*own[:i], size * factor, *own[i + 1 :]) for i, size in enumerate(own)]
