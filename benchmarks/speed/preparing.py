"""Races of preparing one shape, everything included, and of farthest points alone."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from benchmarks.shared.one_shape import nearest_shape, preparation, shard_of
from benchmarks.shared.race import Race
from benchmarks.speed.published.preparing import Call, bare, farthest_loop, prepare_per_call
from pointmcd.datasets.folder import load_shape
from pointmcd.ops.farthest_points import farthest_points
from pointmcd.preparation.prepare_shape import shape_seed
from pointmcd.preparation.shards import ShardTask
from pointmcd.shapes.sampling import OVERSAMPLING, sample_surface
from pointmcd.views.raycast import Raycaster, visible_points
from pointmcd.views.render import render_views
from pointmcd.views.rig import get_rig

Floats = npt.NDArray[np.float32]
Faces = npt.NDArray[np.int32]

POINTS = 2048
#: Ours may take this many times what no preparation can do without.
OVERHEAD = 1.5
#: How often the triangles of a shape are divided by four, and how many it then has.
FINENESS = {5_000: 0, 50_000: 2}


def races() -> Iterator[Race]:
    """Yield shapes of 5,000 and 50,000 faces beside both yardsticks, then farthest points."""
    with TemporaryDirectory() as folder:
        for faces, divisions in FINENESS.items():
            yield from of_shape(Path(folder) / str(faces), faces, divisions)
    points = np.random.default_rng(0).normal(size=(OVERSAMPLING * POINTS, 3)).astype(np.float32)
    yield Race(
        f"farthest points, {POINTS} of {len(points)}",
        partial(farthest_loop, points, POINTS),
        {"numba": partial(farthest_points, points, POINTS)},
        {},
    )


def of_shape(work: Path, faces: int, divisions: int) -> Iterator[Race]:
    """Yield both races of the shape that is nearest to that many faces once it is divided."""
    work.mkdir()
    path = work / "shape.off"
    divided = nearest_shape(faces / 4**divisions)
    for _ in range(divisions):
        divided = divided.subdivide()
    divided.export(path)
    task = shard_of(path, work / "shard", get_rig("ring12"), POINTS)
    name = f"preparing a shape of {len(divided.faces):,} faces"
    ours = preparation(task)
    yield Race(
        f"{name}: rays, index and text per call",
        partial(prepare_per_call, path, task.rig, POINTS, work),
        {"ours": ours},
        {},
        repeats=5,
    )
    vertices, triangles, calls = record(task)
    yield Race(
        f"{name}: bare Embree and file reading",
        partial(bare, path, vertices, triangles, calls),
        {"ours": ours},
        {"ours": 1 / OVERHEAD},
        repeats=9,
    )


class Recorder(Raycaster):
    """A ray caster that keeps every ray that it casts."""

    calls: list[Call]

    def first_faces(self, origins: Floats, directions: Floats) -> Faces:
        """Cast and keep the rays."""
        self.calls.append((origins, directions, False))
        return super().first_faces(origins, directions)

    def first_hits(self, origins: Floats, directions: Floats) -> tuple[Faces, Floats]:
        """Cast and keep the rays."""
        self.calls.append((origins, directions, True))
        return super().first_hits(origins, directions)


def record(task: ShardTask) -> tuple[Floats, Faces, list[Call]]:
    """Return vertices and faces before the rig, and the rays that preparing the shape casts."""
    (source,) = task.items
    mesh = load_shape(source)
    points, face = sample_surface(mesh, POINTS, shape_seed(task.config.seed, source.name))
    caster = Recorder(mesh, task.rig)
    caster.calls = []
    visible_points(caster, points, face)
    render_views(caster)
    return caster.vertices, caster.faces, caster.calls
