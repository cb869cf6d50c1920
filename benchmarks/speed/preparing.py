"""One shape prepared, everything included; farthest points alone."""

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import trimesh

from benchmarks.shared.race import Race
from benchmarks.speed.published.preparing import Call, bare, farthest_loop, prepare_per_call
from pointmcd.datasets.folder import load_shape
from pointmcd.datasets.furniture import furniture10
from pointmcd.datasets.sources import ShapeSource
from pointmcd.datasets.tree import TreeFile
from pointmcd.files import remove
from pointmcd.ops.farthest_points import farthest_points
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare_shape import shape_seed
from pointmcd.preparation.shards import ShardTask, write_shard
from pointmcd.shapes.mesh import Mesh, read_mesh
from pointmcd.shapes.sampling import OVERSAMPLING, sample_surface
from pointmcd.views.raycast import Hits, Raycaster
from pointmcd.views.render import render_views
from pointmcd.views.rig import get_rig
from pointmcd.views.visibility import visible_points

Floats = npt.NDArray[np.float32]
Faces = npt.NDArray[np.int32]

POINTS = 2048
#: Ours may take this many times what no preparation can do without.
OVERHEAD = 1.5
#: How often the triangles of a shape are divided by four, and how many it then has.
FINENESS = {5_000: 0, 50_000: 2}


def races() -> Iterator[Race]:
    """Shapes of 5,000 and 50,000 faces beside both yardsticks, then farthest points."""
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
    """The shape of the embedded set that is nearest to that many faces once it is divided."""
    work.mkdir()
    path = work / "shape.off"
    mesh = nearest_shape(faces / 4**divisions)
    divided = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    for _ in range(divisions):
        divided = divided.subdivide()
    divided.export(path)
    source = ShapeSource("shape", None, "train", TreeFile(path, str(path)))
    task = task_of(source, work / "shard")
    name = f"preparing a shape of {len(divided.faces):,} faces"
    ours = partial(prepare_anew, task)
    yield Race(
        f"{name}: rays, index and text per call",
        partial(prepare_per_call, path, task.rig, POINTS, work),
        {"ours": ours},
        {},
        repeats=5,
    )
    vertices, triangles, calls = record(source, task)
    yield Race(
        f"{name}: bare Embree and file reading",
        partial(bare, path, vertices, triangles, calls),
        {"ours": ours},
        {"ours": 1 / OVERHEAD},
        repeats=9,
    )


def nearest_shape(faces: float) -> Mesh:
    """The shape of the embedded set with about that many faces."""
    with zipfile.ZipFile(furniture10()) as archive:
        counts = {
            name: int(archive.read(name)[:60].split()[2])
            for name in archive.namelist()
            if name.endswith(".off")
        }
        name = min(counts, key=lambda name: abs(counts[name] - faces))
        return read_mesh(archive.read(name), name, "off")


def task_of(source: ShapeSource, folder: Path) -> ShardTask:
    """A shard of one shape, with the usual rig and number of points."""
    config = PrepareConfig(source.file.path, folder.parent, points=POINTS, strict=True)
    return ShardTask(folder, (source,), get_rig("ring12"), config)


def prepare_anew(task: ShardTask) -> None:
    """Read, sample, render, find what is visible, write."""
    remove(task.folder)
    write_shard(task)


class Recorder(Raycaster):
    """Notes every ray that is cast."""

    calls: list[Call]

    def first_faces(self, origins: Floats, directions: Floats) -> Faces:
        """As it is, and noted."""
        self.calls.append((origins, directions, False))
        return super().first_faces(origins, directions)

    def first_hits(self, origins: Floats, directions: Floats) -> Hits:
        """As it is, and noted."""
        self.calls.append((origins, directions, True))
        return super().first_hits(origins, directions)


def record(source: ShapeSource, task: ShardTask) -> tuple[Floats, Faces, list[Call]]:
    """Vertices and faces before the rig, and the very rays that preparing the shape casts."""
    mesh = load_shape(source)
    points, face = sample_surface(mesh, POINTS, shape_seed(task.config.seed, source.name))
    caster = Recorder(mesh, task.rig)
    caster.calls = []
    visible_points(caster, points, face)
    render_views(caster)
    return caster.vertices, caster.faces, caster.calls
