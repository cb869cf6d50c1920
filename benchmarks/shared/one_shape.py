"""One real shape, as fine as asked for, prepared: read, sampled, rendered, written."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import trimesh

from pointmcd.datasets.furniture import furniture10
from pointmcd.datasets.sources import ShapeSource
from pointmcd.datasets.tree import TreeFile
from pointmcd.files import remove
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.shards import ShardTask, write_shard
from pointmcd.shapes.mesh import read_mesh
from pointmcd.views.rig import Rig


def nearest_shape(faces: float) -> trimesh.Trimesh:
    """Return the shape of the embedded set with about that many faces, as its file says."""
    with zipfile.ZipFile(furniture10()) as archive:
        names = [name for name in archive.namelist() if name.endswith(".off")]
        counts = {name: int(archive.read(name)[:60].split()[2]) for name in names}
        name = min(names, key=lambda name: abs(counts[name] - faces))
        mesh = read_mesh(archive.read(name), name, "off")
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def shard_of(path: Path, folder: Path, rig: Rig, points: int) -> ShardTask:
    """Return what is to be done for a shard of the one shape in a file."""
    source = ShapeSource("shape", None, "train", TreeFile(path, str(path)))
    config = PrepareConfig(path, folder.parent, points=points, strict=True)
    return ShardTask(folder, (source,), rig, config)


def preparation(task: ShardTask) -> Callable[[], int]:
    """Return a call that reads, samples, renders, finds what is visible, and writes."""

    def call() -> int:
        remove(task.folder)
        return write_shard(task)

    return call
