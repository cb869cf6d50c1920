"""One shape as a store holds it: points, visibility, views, and parts where it has labels."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from pointmcd.datasets.folder import load_shape
from pointmcd.datasets.sources import Cloud, CloudSource, ShapeSource
from pointmcd.errors import ShapeError
from pointmcd.shapes.alignment import align
from pointmcd.shapes.clouds import cloud_order, normalise_cloud
from pointmcd.shapes.mesh import Mesh, read_mesh
from pointmcd.shapes.sampling import sample_surface
from pointmcd.typing import Bools, Bytes, Doubles, Floats, Ints, Shorts
from pointmcd.views.framing import Framing
from pointmcd.views.hidden_points import hidden_point_removal
from pointmcd.views.raycast import Raycaster, centre_rays
from pointmcd.views.render import face_maps, render_views
from pointmcd.views.rig import Rig
from pointmcd.views.splats import splat_views
from pointmcd.views.visibility import visible_points


@dataclass(frozen=True, eq=False)
class PreparedShape:
    """One shape as a store holds it.

    Attributes:
        points: float32 [P, 3], in the unit sphere, in farthest-point order.
        parts: int16 [P], part labels counted from 0 in the class; None without.
        visibility: bool [P, V].
        views: uint8 [V, S, S].
        pixels: int16 [V, S, S], the part label of each pixel, -1 for background; None without.
        framing: the similarity that brings the points before the rig's cameras.
        triangles: of the mesh that the views show; 0 where they are splatted.
        notes: one line each on what a reader of results should know.
    """

    points: Floats
    parts: Shorts | None
    visibility: Bools
    views: Bytes
    pixels: Shorts | None
    framing: Framing
    triangles: int
    notes: Sequence[str] = ()


def prepare_shape(source: ShapeSource, count: int, rig: Rig, seed: int) -> PreparedShape:
    """Read a mesh or a cloud, and make what a store holds of it.

    A mesh is sampled. A cloud's views and visibility are made from all its points, then `count`
    points are kept: hidden point removal is the better the denser the cloud. A cloud of fewer
    points gives all of them, repeated in the same order, and a note.

    Args:
        source: the shape.
        count: number of points P, at least 1.
        rig: V cameras.
        seed: of all shapes' samples.

    Raises:
        ShapeError: when a file cannot be used, or a cloud and its mesh do not belong together.
    """
    if source.fault is not None:
        raise ShapeError(f"{source.location}: {source.fault}")
    if isinstance(source, CloudSource):
        return _prepare_cloud(source, count, rig)
    return _prepare_mesh(load_shape(source), count, rig, shape_seed(seed, source.name))


def shape_seed(seed: int, name: str) -> int:
    """Return a shape's own seed: its points depend on no other shape."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:4], "big")


def _prepare_mesh(mesh: Mesh, count: int, rig: Rig, seed: int) -> PreparedShape:
    points, face = sample_surface(mesh, count, seed)
    caster = Raycaster(mesh, rig)
    parts = mesh.parts
    return PreparedShape(
        points=points,
        parts=None if parts is None else parts[face],
        visibility=visible_points(caster, points, face),
        views=render_views(caster),
        pixels=None if parts is None else _pixel_labels(parts, face_maps(caster)),
        framing=caster.framing,
        triangles=len(mesh.faces),
    )


@dataclass(frozen=True, eq=False)
class _Seen:
    """Views of all N points by the cameras of a rig, and the point that each pixel shows."""

    views: Bytes
    shown: Ints
    visibility: Bools
    framing: Framing


def _prepare_cloud(source: CloudSource, count: int, rig: Rig) -> PreparedShape:
    read = source.read_cloud()
    cloud = Cloud(normalise_cloud(read.points, source.location), read.parts)
    notes = []
    if len(cloud.points) < count:
        notes.append(f"{source.name}: {len(cloud.points)} points, repeated to {count}")
    mesh = None
    if source.mesh is not None:
        mesh = read_mesh(source.mesh, str(source.mesh), "obj")
    elif source.wants_mesh:
        notes.append(f"{source.name}: no mesh beside the cloud; views are splatted from its points")
    seen = _by_splats(cloud, rig) if mesh is None else _by_mesh(cloud, mesh, source, rig)
    points = cloud.points.astype(np.float32)
    order = cloud_order(points, count)
    return PreparedShape(
        points=points[order],
        parts=None if cloud.parts is None else cloud.parts[order],
        visibility=seen.visibility[order],
        views=seen.views,
        pixels=None if cloud.parts is None else _pixel_labels(cloud.parts, seen.shown),
        framing=seen.framing,
        triangles=0 if mesh is None else len(mesh.faces),
        notes=notes,
    )


def _pixel_labels(parts: Shorts, shown: Ints) -> Shorts:
    """Carry labels of N faces or points to the pixels that show them, int16 [V, S, S]."""
    return np.append(parts, np.int16(-1))[shown]  # -1, the background, finds the last


def _by_splats(cloud: Cloud, rig: Rig) -> _Seen:
    drawn = splat_views(cloud.points, rig)
    seen = hidden_point_removal(drawn.framing.apply(cloud.points), rig.frames.position)
    return _Seen(drawn.pictures, drawn.shown, seen, drawn.framing)


def _by_mesh(cloud: Cloud, mesh: Mesh, source: CloudSource, rig: Rig) -> _Seen:
    """Show the mesh; a point is seen where its nearest place on the surface is."""
    try:
        aligned, on = align(mesh, cloud.points)
    except ValueError as error:
        raise ShapeError(f"{source.location}: does not fit {source.mesh}: {error}") from error
    caster = Raycaster(aligned, rig)
    return _Seen(
        views=render_views(caster),
        shown=_nearest_points(caster, cloud.points),
        visibility=visible_points(caster, on.points, on.face),
        framing=caster.framing,
    )


def _nearest_points(caster: Raycaster, points: Doubles) -> Ints:
    """Return which point is nearest to what each pixel's middle shows: int32 [V, S, S]."""
    tree = cKDTree(caster.framing.apply(points))
    size = caster.rig.size
    shown = np.full((len(caster.rig), size * size), -1, dtype=np.int32)
    for view, row in enumerate(shown):
        origins, directions = centre_rays(caster.rig, view)
        hits = caster.first_hits(origins, directions)
        met = np.flatnonzero(hits.face >= 0)
        row[met] = tree.query(origins[met] + hits.distance[met, None] * directions[met])[1]
    return shown.reshape(-1, size, size)
