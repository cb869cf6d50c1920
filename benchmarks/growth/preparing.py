"""Preparing a shape, and many of them by one worker and by two; a teacher's look at views."""

import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
import trimesh

from benchmarks.growth.curve import Call, Curve, measure, sweep, wall
from pointmcd.datasets.folder import list_shapes, load_shape
from pointmcd.datasets.furniture import furniture10
from pointmcd.datasets.sources import ShapeSource
from pointmcd.datasets.tree import TreeFile
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.encoders.runtimes import use_runtime
from pointmcd.files import remove
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.preparation.shards import ShardTask, write_shard
from pointmcd.views.rig import Rig, get_rig

POINTS, VIEWS = 2048, 12
POINT_COUNTS = (512, 1024, 2048, 4096, 8192)
VIEW_COUNTS = (1, 4, 12, 16, 32)
SHAPE_COUNTS = (4, 8, 16)
#: How often each triangle of a shape is divided by four, faces growing from about 1,250.
DIVISIONS = (0, 1, 2, 3, 4)
FACES = 1250


def of_shape(work: Path) -> Iterator[Curve]:
    """One shape against its faces, the rig's views, and the points."""
    meshes = divided(work, DIVISIONS)
    shape = list(meshes.values())[1]
    kept = f"{list(meshes)[1]:,} faces"
    one = partial(prepared, work=work)
    calls = {faces: partial(one, path, VIEWS, POINTS) for faces, path in meshes.items()}
    yield sweep(f"preparing a shape, V {VIEWS}, N {POINTS}", "faces", calls)
    calls = {views: partial(one, shape, views, POINTS) for views in VIEW_COUNTS}
    yield sweep(f"preparing a shape, {kept}, N {POINTS}", "views", calls)
    calls = {points: partial(one, shape, VIEWS, points) for points in POINT_COUNTS}
    yield sweep(f"preparing a shape, {kept}, V {VIEWS}", "points", calls)
    calls = {count: partial(copies, shape, count, work) for count in SHAPE_COUNTS}
    yield sweep(f"prepare, {kept}, V {VIEWS}, N {POINTS}", "shapes", calls, repeats=1)


def divided(work: Path, divisions: Sequence[int]) -> dict[int, Path]:
    """Files of one shape with ever more faces, by their number."""
    source = min(list_shapes(furniture10()), key=lambda s: abs(len(load_shape(s).faces) - FACES))
    mesh = load_shape(source)
    surface = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    files = {}
    for _ in divisions:
        path = work / f"{len(surface.faces)}.off"
        surface.export(path)
        files[len(surface.faces)] = path
        surface = surface.subdivide()
    return files


def ring(views: int) -> Rig:
    """Cameras around a shape, as in ring12 but as many as are asked for."""
    return Rig(f"ring-{views}", tuple((30.0, 360.0 * i / views) for i in range(views)))


def prepared(path: Path, views: int, points: int, work: Path) -> Call:
    """Read, sample, render, find what is visible, write."""
    source = ShapeSource("shape", None, "train", TreeFile(path, str(path)))
    config = PrepareConfig(path, work, points=points, strict=True)
    task = ShardTask(work / "shard", (source,), ring(views), config)

    def call() -> None:
        remove(task.folder)
        write_shard(task)

    return call


def copies(path: Path, count: int, work: Path) -> Call:
    """The whole of `prepare` in this process, on copies of one shape."""
    folder, store = work / f"copies-{count}", work / "store-of-copies"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.off").write_bytes(path.read_bytes())

    def call() -> None:
        remove(store)
        prepare(PrepareConfig(folder, store, points=POINTS, workers=1))

    return call


def some_furniture(folder: Path, count: int) -> Path:
    """Every so many of the embedded set, unpacked as CLASS/SPLIT/NAME.off."""
    with zipfile.ZipFile(furniture10()) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".off"))
        archive.extractall(folder, names[:: max(len(names) // count, 1)][:count])
    return folder / "furniture10"


def workers(source: Path, work: Path, counts: Sequence[int] = (1, 2)) -> Curve:
    """Seconds on the clock for `prepare` on several processes, their start included."""
    seconds = {}
    for count in counts:
        store = work / f"workers-{count}"
        config = PrepareConfig(source, store, points=POINTS, workers=count, shard_size=4)
        seconds[count] = wall(partial(prepare, config))
    shapes = len(list_shapes(source))
    return Curve(f"prepare, {shapes} real shapes", "workers", seconds, clock="wall")


def features(counts: Sequence[int] = VIEW_COUNTS) -> Curve:
    """EfficientNet-Lite0's features of one shape's views, as `pointmcd teach` computes them."""
    encoder = ImageEncoder("lite0").eval()
    use_runtime(encoder, "torch", torch.device("cpu"))
    size = get_rig("ring12").size
    seconds = {}
    for count in counts:
        views = torch.randint(256, (count, size, size), dtype=torch.uint8)
        with torch.inference_mode():
            seconds[count] = measure(partial(encoder, views))
    return Curve(f"features of lite0, views of {size} x {size}", "views", seconds)
