"""One shape as a store holds it: points, visibility, views, and parts where it has labels."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from pointmcd.data.store import UNKNOWN_PIXEL
from pointmcd.datasets.folder import load_shape
from pointmcd.datasets.sources import Cloud, CloudSource, ShapeSource
from pointmcd.errors import ShapeError, own_text
from pointmcd.shapes.alignment import OnSurface, align
from pointmcd.shapes.clouds import cloud_order, normalise_cloud, stray_notes
from pointmcd.shapes.deformation import deform
from pointmcd.shapes.features import DIRECTIONS, turned, wanted
from pointmcd.shapes.formats import reading
from pointmcd.shapes.mesh import Mesh, normalise, read_mesh
from pointmcd.shapes.sampling import Surface, barycentric, sample_surface, surface_features
from pointmcd.typing import Bools, Bytes, Doubles, Floats, Indices, Ints, Shorts
from pointmcd.views.framing import Framing
from pointmcd.views.hidden_points import hidden_point_removal
from pointmcd.views.raycast import Raycaster, visible_points
from pointmcd.views.rays import centre_rays
from pointmcd.views.render import face_maps, render_views
from pointmcd.views.rig import Rig
from pointmcd.views.splats import nearest_points, splat_views

#: Points of a cloud that views and visibility are made from. Of noisy clouds, 20,000 by chance
#: give the visibility of all; of clean ones it improves further, slowly and at a growing cost
#: (benchmarks/hidden_points/thinned.md).
MAX_POINTS = 30_000


@dataclass(frozen=True, eq=False)
class PreparedShape:
    """One shape as a store holds it.

    Attributes:
        points: float32 [P, 3], in the unit sphere, in farthest-point order.
        parts: int16 [P], part labels counted from 0 in the class, -1 for a point without label;
            None in a set without.
        visibility: bool [P, V].
        views: uint8 [V, S, S].
        pixels: int16 [V, S, S], the part label of each pixel, -1 for background, -2 for a part
            without label; None in a set without.
        framing: the similarity that brings the points before the rig's cameras.
        triangles: of the mesh that the views show; 0 where they are splatted.
        notes: one line each on what a reader of results should know.
        read: points in the file of a cloud; 0 for a mesh.
        features: float32 [P, 3] by name, those that the source's `features` names.
        surface: where the points lie on a mesh; None of a cloud.
    """

    points: Floats
    parts: Shorts | None
    visibility: Bools
    views: Bytes
    pixels: Shorts | None
    framing: Framing
    triangles: int
    notes: Sequence[str] = ()
    read: int = 0
    features: Mapping[str, Floats] = field(default_factory=dict)
    surface: Surface | None = None


def prepare_shape(source: ShapeSource, count: int, rig: Rig, seed: int) -> PreparedShape:
    """Read a mesh or a cloud, and make what a store holds of it.

    A mesh is sampled at `count` (P) points. A cloud's views and visibility are made from all its
    points, up to `MAX_POINTS` drawn by chance, and P are kept: hidden point removal is the better
    the denser the cloud. A cloud of fewer than P points gives all of them, repeated in the same
    order, and a note. A variant is deformed before it is sampled and seen; large faces stay flat.
    `seed` is that of all samples and deformations.

    Raises:
        ShapeError: when a file cannot be used or lacks a feature that is wanted, or a cloud and
            its mesh do not belong together.
    """
    if source.fault is not None:
        raise ShapeError(f"{source.location}: {source.fault}")
    own = shape_seed(seed, source.name, source.variant)
    if isinstance(source, CloudSource):
        shape = _prepare_cloud(source, count, rig, own)
    else:
        mesh = load_shape(source)
        if source.variant:
            mesh = normalise(replace(mesh, vertices=deform(mesh.vertices, own)))
        with reading(source.location):
            shape = _prepare_mesh(mesh, count, rig, own, source.features)
    return replace(shape, features=wanted(shape.features, source.features, source.location))


def shape_seed(seed: int, name: str, variant: int = 0) -> int:
    """Return a shape's own seed: its points depend on no other shape. So do those of a variant."""
    text = f"{seed}:{name}" + (f":{variant}" if variant else "")
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _prepare_mesh(
    mesh: Mesh, count: int, rig: Rig, seed: int, features: Sequence[str]
) -> PreparedShape:
    points, face = sample_surface(mesh, count, seed)
    caster = Raycaster(mesh, rig)
    return PreparedShape(
        points=points,
        parts=None if mesh.parts is None else mesh.parts[face],
        visibility=visible_points(caster, points, face),
        views=render_views(caster),
        pixels=None if mesh.parts is None else _pixel_labels(mesh.parts, face_maps(caster)),
        framing=caster.framing,
        triangles=len(mesh.faces),
        notes=stray_notes(points),
        features=surface_features(mesh, points, face) if features else {},
        surface=Surface(mesh, face),
    )


def _prepare_cloud(source: CloudSource, count: int, rig: Rig, seed: int) -> PreparedShape:
    read = source.read_cloud()
    points = normalise_cloud(read.points, source.location)
    for name, values in read.features.items():
        if values.shape != points.shape:
            raise ShapeError(f"{source.location}: {len(values)} {name} for {len(points)} points")
    cloud = Cloud(points, read.parts, features=read.features)
    notes = [*read.notes, *stray_notes(points)]
    if len(cloud.points) < count:
        notes.append(f"{len(cloud.points)} points, repeated to {count}")
    order = cloud_order(cloud.points.astype(np.float32), count)
    cloud, order = _thinned(cloud, order)
    if source.mesh is not None:
        mesh = read_mesh(source.mesh, str(source.mesh), "obj")
        whole = _by_mesh(cloud, mesh, source, rig, seed)
    else:
        if source.variant:
            moved = normalise_cloud(deform(cloud.points, seed), source.location)
            features = _turned(cloud.features, cloud.points, seed)
            cloud = replace(cloud, points=moved, features=features)
        whole = _by_splats(cloud, rig)
        if source.wants_mesh:
            lacking = "no mesh beside the cloud; views are splatted from its points"
            notes.append(f"{source.name}: {lacking}")
    if source.variant:
        order = cloud_order(whole.points, count)
    return replace(
        whole,
        points=whole.points[order],
        parts=None if whole.parts is None else whole.parts[order],
        visibility=whole.visibility[order],
        notes=notes,
        read=len(read.points),
        features={name: values[order] for name, values in whole.features.items()},
    )


def _thinned(cloud: Cloud, order: Indices) -> tuple[Cloud, Indices]:
    """Return `MAX_POINTS` of a larger cloud, and those of `order` too; with `order` among them."""
    count = len(cloud.points)
    if count <= MAX_POINTS:
        return cloud, order
    drawn = np.random.default_rng(count).permutation(count)[:MAX_POINTS]
    kept = np.union1d(drawn, order)
    parts = None if cloud.parts is None else cloud.parts[kept]
    features = {name: values[kept] for name, values in cloud.features.items()}
    thinned = Cloud(cloud.points[kept], parts, features=features)
    return thinned, np.searchsorted(kept, order)


def _turned(features: Mapping[str, Floats], points: Doubles, seed: int) -> dict[str, Floats]:
    """Return features of a cloud [N, 3] after a deformation."""
    move = partial(deform, seed=seed)
    return {
        name: turned(values, points, move) if name in DIRECTIONS else values
        for name, values in features.items()
    }


def _by_splats(cloud: Cloud, rig: Rig) -> PreparedShape:
    """Show all points as splats; their visibility comes from hidden point removal."""
    drawn = splat_views(cloud.points, rig)
    return PreparedShape(
        points=cloud.points.astype(np.float32),
        parts=cloud.parts,
        visibility=hidden_point_removal(drawn.points, rig.frames.position),
        views=drawn.pictures,
        pixels=None if cloud.parts is None else _pixel_labels(cloud.parts, drawn.shown),
        framing=drawn.framing,
        triangles=0,
        features=cloud.features,
    )


def _by_mesh(cloud: Cloud, mesh: Mesh, source: CloudSource, rig: Rig, seed: int) -> PreparedShape:
    """Show the mesh; a point is seen where its nearest place on the surface is."""
    try:
        aligned, on = align(mesh, cloud.points)
    except ValueError as error:
        reason = own_text(error, "no way to place the mesh is found")
        raise ShapeError(f"{source.location}: does not fit {source.mesh}: {reason}") from error
    if source.variant:
        cloud, aligned, on = _deformed(cloud, aligned, on, seed)
    # What the cloud itself has counts.
    beside = surface_features(aligned, on.points, on.face) if source.features else {}
    caster = Raycaster(aligned, rig)
    pixels = None
    if cloud.parts is not None:
        rays = (centre_rays(rig, view) for view in range(len(rig)))
        depths = [caster.first_hits(origins, directions)[1] for origins, directions in rays]
        shown = nearest_points(caster.framing.apply(cloud.points), rig, depths)
        pixels = _pixel_labels(cloud.parts, shown)
    return PreparedShape(
        points=cloud.points.astype(np.float32),
        parts=cloud.parts,
        visibility=visible_points(caster, on.points, on.face),
        views=render_views(caster),
        pixels=pixels,
        framing=caster.framing,
        triangles=len(mesh.faces),
        features={**beside, **cloud.features},
    )


def _deformed(cloud: Cloud, mesh: Mesh, on: OnSurface, seed: int) -> tuple[Cloud, Mesh, OnSurface]:
    """Deform a mesh, and carry a cloud that is aligned with it along on the faces."""
    corners = mesh.faces[on.face]
    weights = barycentric(mesh.vertices[corners], on.points)[:, :, None]
    vertices = deform(mesh.vertices, seed)
    places = (weights * vertices[corners]).sum(axis=1)
    points = places + (cloud.points - on.points)
    centre = points.mean(axis=0)
    radius = np.linalg.norm(points - centre, axis=1).max()
    return (
        replace(
            cloud,
            points=(points - centre) / radius,
            features=_turned(cloud.features, cloud.points, seed),
        ),
        replace(mesh, vertices=(vertices - centre) / radius),
        replace(on, points=(places - centre) / radius),
    )


def _pixel_labels(parts: Shorts, shown: Ints) -> Shorts:
    """Carry labels of N faces or points to the pixels that show them, int16 [V, S, S]."""
    known = np.where(parts < 0, np.int16(UNKNOWN_PIXEL), parts)
    return np.append(known, np.int16(-1))[shown]  # -1, the background, finds the last
