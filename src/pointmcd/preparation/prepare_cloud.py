"""What a store holds of one cloud: points, visibility, views, and parts where it has labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from pointmcd.datasets.sources import Cloud, CloudSource
from pointmcd.errors import ShapeError
from pointmcd.shapes.alignment import align
from pointmcd.shapes.clouds import cloud_order, normalise_cloud
from pointmcd.shapes.frame import Points
from pointmcd.shapes.mesh import Mesh, read_mesh
from pointmcd.views import splats
from pointmcd.views.framing import Framing
from pointmcd.views.hidden_points import hidden_point_removal
from pointmcd.views.raycast import Raycaster, centre_rays
from pointmcd.views.render import render_views
from pointmcd.views.rig import Rig
from pointmcd.views.visibility import visible_points


@dataclass(frozen=True, eq=False)
class PreparedCloud:
    """One cloud as a store holds it.

    Attributes:
        points: float32 [P, 3], in the unit sphere, in farthest-point order.
        parts: int16 [P], part labels counted from 0 in the class; None without.
        visibility: bool [P, V].
        views: uint8 [V, S, S].
        pixels: int16 [V, S, S], the part label of each pixel, -1 for background; None without.
        frame: "centre" and "scale" that bring the points before the rig's cameras.
        triangles: of the mesh that the views show; 0 where they are splatted.
        notes: one line each on what a reader of results should know.
    """

    points: npt.NDArray[np.float32]
    parts: npt.NDArray[np.int16] | None
    visibility: npt.NDArray[np.bool_]
    views: npt.NDArray[np.uint8]
    pixels: npt.NDArray[np.int16] | None
    frame: dict[str, Any]
    triangles: int
    notes: list[str]


@dataclass(frozen=True, eq=False)
class _Seen:
    """What the cameras of a rig see of all N points: by each point, and by each pixel."""

    views: npt.NDArray[np.uint8]
    shown: npt.NDArray[np.int32]
    visibility: npt.NDArray[np.bool_]
    framing: Framing


def prepare_cloud(source: CloudSource, count: int, rig: Rig) -> PreparedCloud:
    """Read a cloud, its mesh too if it has one, and make what a store holds.

    Views and visibility are made from all points, then `count` points are kept: hidden point
    removal is the better the denser the cloud. A cloud of fewer points gives all of them, repeated
    in the same order, and a note.

    Args:
        source: the cloud.
        count: number of points P, at least 1.
        rig: V cameras.

    Raises:
        ShapeError: when cloud or mesh cannot be used, or do not belong together.
    """
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
    return PreparedCloud(
        points=points[order],
        parts=None if cloud.parts is None else cloud.parts[order],
        visibility=seen.visibility[order],
        views=seen.views,
        pixels=None if cloud.parts is None else _pixel_labels(cloud.parts, seen.shown),
        frame={"centre": seen.framing.centre.tolist(), "scale": seen.framing.scale},
        triangles=0 if mesh is None else len(mesh.faces),
        notes=notes,
    )


def _pixel_labels(
    parts: npt.NDArray[np.int16], shown: npt.NDArray[np.int32]
) -> npt.NDArray[np.int16]:
    """Carry the labels of the points [N] to the pixels that show them, int16 [V, S, S]."""
    return np.append(parts, np.int16(-1))[shown]  # point -1, the background, is the last


def _by_splats(cloud: Cloud, rig: Rig) -> _Seen:
    drawn = splats.splat_views(cloud.points, rig)
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


def _nearest_points(caster: Raycaster, points: Points) -> npt.NDArray[np.int32]:
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
