"""Simulated scans of a mesh: few viewpoints, noise along the rays, outliers, clutter."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pointmcd.shapes.mesh import Mesh
from pointmcd.shapes.sampling import sample_surface
from pointmcd.views.raycast import Raycaster, visible_points
from pointmcd.views.rig import Rig


@dataclass(frozen=True)
class Scanner:
    """Faults of a scan; lengths are shares of the shape's radius (1, of a normalised mesh).

    Attributes:
        cameras: elevation and azimuth in degrees of each viewpoint.
        noise: standard deviation along the ray.
        outliers: share of further points that stand anywhere in a box of `reach`.
        reach: half the side of the box of outliers.
        floor: share of further points on a square below the shape, three times as wide.
        clutter: share of further points on a bit of another shape beside it.
    """

    cameras: tuple[tuple[float, float], ...] = ((20.0, 30.0),)
    noise: float = 0.0
    outliers: float = 0.0
    reach: float = 4.0
    floor: float = 0.0
    clutter: float = 0.0


@dataclass(frozen=True)
class Scan:
    """Points [N, 3] of a scan in the mesh's frame, those of the shape first.

    Attributes:
        points: float64 [N, 3].
        clean: float64 [S, 3], where the S points of the shape are without noise.
        face: int64 [S], the face that each lies on.
    """

    points: npt.NDArray[np.float64]
    clean: npt.NDArray[np.float64]
    face: npt.NDArray[np.int64]


def scan(
    mesh: Mesh, scanner: Scanner, count: int, seed: int = 0, other: Mesh | None = None
) -> Scan:
    """Scan a normalised mesh: `count` points of what the viewpoints see, and what does not belong.

    `other` is the shape that the clutter is a bit of; without it, the mesh itself.
    """
    random = np.random.default_rng(seed)
    caster = Raycaster(mesh, Rig("scanner", scanner.cameras))
    points, face = sample_surface(mesh, 3 * count, seed)
    seen = visible_points(caster, points, face)
    kept = random.permutation(np.flatnonzero(seen.any(axis=1)))[:count]
    clean, seen = points[kept].astype(np.float64), seen[kept]
    # Each point was met by the ray of one of the viewpoints that see it.
    first = seen.argmax(axis=1)
    eyes = caster.rig.frames.position / caster.framing.scale + caster.framing.centre
    ray = clean - eyes[first]
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    noisy = clean + scanner.noise * random.normal(size=(len(clean), 1)) * ray
    foreign = _foreign(mesh, scanner, len(clean), random, other or mesh)
    return Scan(np.concatenate([noisy, foreign]), clean, face[kept])


def _foreign(
    mesh: Mesh, scanner: Scanner, count: int, random: np.random.Generator, other: Mesh
) -> npt.NDArray[np.float64]:
    shares = (scanner.outliers, scanner.floor, scanner.clutter)
    far, below, beside = (round(share * count) for share in shares)
    outliers = random.uniform(-scanner.reach, scanner.reach, (far, 3))
    floor = random.uniform(-1.5, 1.5, (below, 3))
    floor[:, 1] = mesh.vertices[:, 1].min() + scanner.noise * random.normal(size=below)
    bits = [np.zeros((0, 3))]
    if beside:
        bit = sample_surface(other, 4 * beside, 1)[0].astype(np.float64)
        # The quarter that stands farthest to the left, put to the right of the shape.
        bit = bit[np.argsort(bit[:, 0])[:beside]]
        bits = [bit - bit.min(axis=0) * [1, 0, 0] + mesh.vertices.max(axis=0) * [1.1, 0, 0]]
    return np.concatenate([outliers, floor, *bits])
