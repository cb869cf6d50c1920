"""Curves of preparing a shape, and many by one worker and by two; of an encoder's features."""

import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from benchmarks.growth.curve import Call, Curve, measure, sweep, wall
from benchmarks.shared.one_shape import nearest_shape, preparation, shard_of
from pointmcd.datasets.folder import list_shapes
from pointmcd.datasets.furniture import furniture10
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.encoders.runtimes import use_runtime
from pointmcd.files import remove
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.views.rig import Rig, get_rig

POINTS, VIEWS = 2048, 12
POINT_COUNTS = (512, 1024, 2048, 4096, 8192)
VIEW_COUNTS = (1, 4, 12, 16, 32)
SHAPE_COUNTS = (4, 8, 16)
#: Faces of a shape, about, and how many versions there are, each with four times as many.
FACES, DIVISIONS = 1250, 5


def of_shape(work: Path) -> Iterator[Curve]:
    """Yield the cost of one shape against its faces, the rig's views, and the points."""
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


def divided(work: Path, divisions: int) -> dict[int, Path]:
    """Write files of one shape with ever more faces; return them by that number."""
    surface, files = nearest_shape(FACES), {}
    for _ in range(divisions):
        path = files[len(surface.faces)] = work / f"{len(surface.faces)}.off"
        surface.export(path)
        surface = surface.subdivide()
    return files


def ring(views: int) -> Rig:
    """Return a rig of cameras around a shape, as in ring12 but of any number."""
    return Rig(f"ring-{views}", tuple((30.0, 360.0 * i / views) for i in range(views)))


def prepared(path: Path, views: int, points: int, work: Path) -> Call:
    """Return a call that prepares the one shape in a file."""
    return preparation(shard_of(path, work / "shard", ring(views), points))


def copies(path: Path, count: int, work: Path) -> Call:
    """Return a call of `prepare`, in this process, on copies of one shape."""
    folder, store = work / f"copies-{count}", work / "store-of-copies"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number}.off").write_bytes(path.read_bytes())

    def call() -> None:
        remove(store)
        prepare(PrepareConfig(folder, store, points=POINTS, workers=1))

    return call


def some_furniture(folder: Path, count: int) -> Path:
    """Unpack shapes spread evenly over the embedded set, as CLASS/SPLIT/NAME.off."""
    with zipfile.ZipFile(furniture10()) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".off"))
        archive.extractall(folder, names[:: max(len(names) // count, 1)][:count])
    return folder / "furniture10"


def workers(source: Path, work: Path, counts: Sequence[int] = (1, 2)) -> Curve:
    """Return seconds on the clock of `prepare` on several processes, their start included."""
    seconds = {}
    for count in counts:
        store = work / f"workers-{count}"
        config = PrepareConfig(source, store, points=POINTS, workers=count, shard_size=4)
        seconds[count] = wall(partial(prepare, config))
    shapes = len(list_shapes(source))
    return Curve(f"prepare, {shapes} real shapes", "workers", seconds, clock="wall")


def features(counts: Sequence[int] = VIEW_COUNTS) -> Curve:
    """Return the cost of EfficientNet-Lite0's features of one shape's views, as in `teach`."""
    encoder = ImageEncoder("lite0").eval()
    use_runtime(encoder, "torch")
    size = get_rig("ring12").size
    seconds = {}
    for count in counts:
        views = torch.randint(256, (count, size, size), dtype=torch.uint8)
        with torch.inference_mode():
            seconds[count] = measure(partial(encoder, views))
    return Curve(f"features of lite0, views of {size} x {size}", "views", seconds)
