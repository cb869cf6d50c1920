"""Splatted views beside those of meshes; views and visibility of simulated scans."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import trimesh
from scipy import ndimage

from benchmarks.hidden_points.scans import Scanner, scan
from benchmarks.shared.page import table
from pointmcd.shapes.mesh import Mesh
from pointmcd.views.framing import Framing
from pointmcd.views.hidden_points import hidden_point_removal
from pointmcd.views.raycast import TOLERANCE, Raycaster
from pointmcd.views.rays import centre_rays
from pointmcd.views.rig import Rig, get_rig
from pointmcd.views.splats import frame_points, splat_views
from pointmcd.views.surfels import fit_surfels

RING = get_rig("ring12")
COUNTS, SCANNED = (1000, 2000, 5000, 10_000, 30_000, 100_000), 10_000
NOISE = (0.0, 0.01)
#: Pixels from the border of the mesh's silhouette that count as the border.
BORDER = 3
EYES = ((20.0, 30.0), (20.0, 150.0), (20.0, 270.0))
SCANS = {
    "all of the surface": None,
    "one viewpoint": Scanner(EYES[:1]),
    "two": Scanner(EYES[:2]),
    "three": Scanner(EYES),
    "three, noise 0.5%": Scanner(EYES, noise=0.005),
    "three, noise 1%": Scanner(EYES, noise=0.01),
    "three, noise 0.5%, 1% outliers within 4 radii": Scanner(EYES, noise=0.005, outliers=0.01),
    "the same within 20 radii": Scanner(EYES, noise=0.005, outliers=0.01, reach=20),
    "three, noise 0.5%, a floor": Scanner(EYES, noise=0.005, floor=0.5),
    "three, noise 0.5%, a bit of another shape": Scanner(EYES, noise=0.005, clutter=0.2),
}

Bools = npt.NDArray[np.bool_]


def uniform(mesh: Mesh, count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Draw points of a mesh by chance, evenly by area; with the face of each."""
    surface = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    points, face = trimesh.sample.sample_surface(surface, count, seed=0)
    return np.asarray(points), np.asarray(face)


def silhouette(caster: Raycaster, framing: Framing, view: int) -> Bools:
    """Return which pixels of another framing's picture a mesh covers: bool [S, S]."""
    origins, directions = centre_rays(caster.rig, view)
    moved = caster.framing.apply(origins / framing.scale + framing.centre)
    faces = caster.first_faces(np.ascontiguousarray(moved, dtype=np.float32), directions)
    return np.asarray(faces.reshape(caster.rig.size, -1) >= 0)


def exact(
    caster: Raycaster,
    framing: Framing,
    points: npt.NDArray[np.float64],
    face: npt.NDArray[np.int64],
) -> Bools:
    """Return which points of a mesh the rig sees in another framing: bool [P, V]."""
    eyes = caster.framing.apply(caster.rig.frames.position / framing.scale + framing.centre)
    targets = caster.framing.apply(points)
    seen = []
    for eye in eyes:
        directions = np.ascontiguousarray(targets - eye, dtype=np.float32)
        met, distance = caster.first_hits(np.full_like(directions, eye), directions)
        seen.append((distance >= 1 - TOLERANCE) | (met == face))
    return np.stack(seen, axis=1)


def differences(drawn: Bools, shape: Bools) -> list[float]:
    """Return shares of the shape's pixels, in the order of the columns of the page."""
    square = np.ones((2 * BORDER + 1,) * 2)
    inner = ndimage.binary_erosion(shape, square)
    outer = ~ndimage.binary_dilation(shape, square)
    # Holes: background that the picture's own foreground closes in, where the shape has none.
    holes = ndimage.binary_fill_holes(drawn) & ~drawn & shape
    masks = (shape & ~drawn, inner & ~drawn, holes, drawn & ~shape, drawn & outer)
    return [100 * float(mask.sum()) / float(shape.sum()) for mask in masks]


def splat_rows(meshes: Sequence[Mesh]) -> Iterator[list[object]]:
    """Yield how silhouettes of splatted clouds differ from the mesh's, per noise and density."""
    for noise in NOISE:
        for count in COUNTS:
            found = []
            for number, mesh in enumerate(meshes):
                rig = replace(RING, cameras=RING.cameras[number % 12 : number % 12 + 1])
                points, _ = uniform(mesh, count)
                points += noise * np.random.default_rng(number).normal(size=points.shape)
                drawn = splat_views(points, rig)
                shape = silhouette(Raycaster(mesh, rig), drawn.framing, 0)
                found.append(differences(drawn.shown[0] >= 0, shape))
            means = [f"{value:.2f}" for value in np.mean(found, axis=0)]
            yield [f"{noise:.1%}", count, *means]


def scan_row(name: str, scanner: Scanner | None, meshes: Sequence[Mesh]) -> list[object]:
    """Return visibility and framing of one kind of scan."""
    visibility, sizes = [], []
    for number, mesh in enumerate(meshes):
        rig: Rig = replace(RING, cameras=RING.cameras[number % 3 :: 3])
        caster = Raycaster(mesh, rig)
        if scanner is None:
            clean, face = uniform(mesh, SCANNED)
            points = clean
        else:
            made = scan(mesh, scanner, SCANNED, number, meshes[number - 1])
            points, clean, face = made.points, made.clean, made.face
        framing = splat_views(points, replace(rig, size=64)).framing
        seen = hidden_point_removal(framing.apply(points), rig.frames.position)[: len(clean)]
        truth = exact(caster, framing, clean, face)
        both = (seen & truth).sum()
        visibility.append([both / (seen | truth).sum(), both / seen.sum(), both / truth.sum()])
        every = frame_points(fit_surfels(points).ends, rig)
        sizes.append([kind.scale / caster.framing.scale for kind in (every, framing)])
    marks = " / ".join(f"{value:.2f}" for value in np.mean(visibility, axis=0))
    return [name, marks, *(f"{100 * value:.0f}" for value in np.mean(sizes, axis=0))]


def cloud_tables(meshes: Sequence[Mesh]) -> list[str]:
    """Return the part of the page on splats and scans, paragraph by paragraph."""
    sides = ["background inside", "of that, off the border", "closed holes"]
    sides += ["drawn outside", "of that, off the border"]
    scan_head = ["scan", "IoU / precision / recall", "size, all points", "size, no strays"]
    scanned = [scan_row(name, scanner, meshes) for name, scanner in SCANS.items()]
    return [
        "## Splatted views",
        "Silhouettes of splatted clouds of the ten test shapes against the mesh's under the same"
        f" framing, {RING.size} x {RING.size}, one view each, in % of the mesh's pixels. Border:"
        f" within {BORDER} pixels of the silhouette. Closed holes: background inside the silhouette"
        " that drawn pixels enclose.",
        table(["noise", "points", *sides], splat_rows(meshes)),
        "## Simulated scans",
        f"{SCANNED:,} points of the ten test shapes that one to three viewpoints at 20 degrees of"
        " elevation see; noise along the rays; visibility of the shape's points from four of"
        " ring12's cameras by the rule's radius. Truth is that of the whole mesh, also where the"
        " scan lacks what hides a point. Size: the shape in the pictures, in % of its size when"
        " the mesh is framed, by framing all points or those that are no strays.",
        table(scan_head, scanned),
    ]
