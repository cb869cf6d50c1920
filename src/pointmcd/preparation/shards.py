"""One shard of a store: a few shapes sampled, rendered and written as a whole."""

import hashlib
import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from threadpoolctl import threadpool_limits

from pointmcd.datasets.folder import load_shape
from pointmcd.datasets.sources import CloudSource, ShapeSource
from pointmcd.errors import PointMCDError, ShapeError
from pointmcd.files import replacing, write_json
from pointmcd.preparation.plan import PlanItem
from pointmcd.preparation.prepare_cloud import prepare_cloud
from pointmcd.shapes.sampling import sample_surface
from pointmcd.views.raycast import Raycaster
from pointmcd.views.render import face_maps, render_views
from pointmcd.views.rig import Rig
from pointmcd.views.visibility import visible_points

#: Fast: level 2 makes files a tenth larger than level 6 in a third of the time.
_PNG_LEVEL = 2
#: Workers of dask may have several threads, but `threadpool_limits` sets the whole process: the
#: first thread to end would lift the limit under the others.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class ShardTask:
    """All that a worker process needs to write one shard."""

    folder: Path
    items: tuple[tuple[PlanItem, ShapeSource], ...]
    rig: Rig
    points: int
    seed: int
    strict: bool


@dataclass(frozen=True)
class PreparedShape:
    """One shape as it is stored.

    Attributes:
        record: its entry in shapes.json.
        points: float32 [P, 3].
        visibility: uint8 [P, ceil(V / 8)], bits of bool [P, V].
        strip: the views side by side, as a PNG file.
        parts: int16 [P], part label of each point, counted from 0 in the class; None without.
        pixels: the part label of each pixel, plus 1 (0: background), side by side as a PNG file.
        notes: one line each on what a reader of results should know.
    """

    record: dict[str, Any]
    points: npt.NDArray[np.float32]
    visibility: npt.NDArray[np.uint8]
    strip: bytes
    parts: npt.NDArray[np.int16] | None = None
    pixels: bytes | None = None
    notes: Sequence[str] = ()


def shape_seed(seed: int, name: str) -> int:
    """Return a seed of a shape's own, so that no order or share of work changes its points."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:4], "big")


def write_shard(task: ShardTask) -> int:
    """Prepare the shapes of one shard and write it; bad shapes are left out and listed.

    Returns:
        How many shapes were gone through.

    Raises:
        ShapeError: for the first bad shape, if the task is strict.
        PointMCDError: when the shard cannot be written.
    """
    with _ONE_AT_A_TIME:
        # A cluster gives a shard to a second worker when it takes the first for dead.
        if not task.folder.is_dir():
            _publish(task, *_prepare_shapes(task))
    return len(task.items)


def _prepare_shapes(task: ShardTask) -> tuple[list[PreparedShape], list[dict[str, str]]]:
    done: list[PreparedShape] = []
    skipped: list[dict[str, str]] = []
    # One thread, however many workers there are: BLAS rounds differently on two.
    with threadpool_limits(1):
        for item, source in task.items:
            try:
                done.append(_prepare_shape(item, source, task))
            except ShapeError as error:
                if task.strict:
                    raise
                entry = {"name": item.name, "source": source.location, "reason": str(error)}
                skipped.append(entry)
    return done, skipped


def _prepare_shape(item: PlanItem, source: ShapeSource, task: ShardTask) -> PreparedShape:
    if source.fault is not None:
        raise ShapeError(f"{source.location}: {source.fault}")
    if isinstance(source, CloudSource):
        return _prepare_cloud(item, source, task)
    mesh = load_shape(source)
    points, face = sample_surface(mesh, task.points, shape_seed(task.seed, item.name))
    caster = Raycaster(mesh, task.rig)
    record = {
        "name": item.name,
        "class": item.label,
        "split": item.split,
        "source": source.location,
        "triangles": len(mesh.faces),
        "frame": {"centre": caster.framing.centre.tolist(), "scale": caster.framing.scale},
    }
    bits = np.packbits(visible_points(caster, points, face), axis=-1)
    shape = PreparedShape(record, points, bits, _encode_strip(render_views(caster)))
    return shape if mesh.parts is None else _with_parts(shape, mesh.parts, face, caster)


def _prepare_cloud(item: PlanItem, source: CloudSource, task: ShardTask) -> PreparedShape:
    cloud = prepare_cloud(source, task.points, task.rig)
    record = {
        "name": item.name,
        "class": item.label,
        "split": item.split,
        "source": source.location,
        "triangles": cloud.triangles,
        "frame": cloud.frame,
    }
    bits = np.packbits(cloud.visibility, axis=-1)
    strip = _encode_strip(cloud.views)
    shape = PreparedShape(record, cloud.points, bits, strip, notes=cloud.notes)
    if cloud.parts is None or cloud.pixels is None:
        return shape
    return replace(
        shape,
        record=record | {"parts": np.unique(cloud.parts).tolist()},
        parts=cloud.parts,
        pixels=_encode_strip((cloud.pixels + 1).astype(np.uint8)),
    )


def _with_parts(
    shape: PreparedShape,
    parts: npt.NDArray[np.int16],
    face: npt.NDArray[np.int64],
    caster: Raycaster,
) -> PreparedShape:
    """Carry the labels of the faces [F] to the points and to every pixel of every view."""
    of_face = np.append(parts + 1, 0).astype(np.uint8)  # face -1, the background, is the last
    return replace(
        shape,
        record=shape.record | {"parts": np.unique(parts[face]).tolist()},
        parts=parts[face],
        pixels=_encode_strip(of_face[face_maps(caster)]),
    )


def _encode_strip(views: npt.NDArray[np.uint8]) -> bytes:
    """Encode pictures [V, S, S] as one PNG of S rows and V * S columns."""
    target = io.BytesIO()
    Image.fromarray(np.concatenate(list(views), axis=1)).save(
        target, format="png", compress_level=_PNG_LEVEL
    )
    return target.getvalue()


def _publish(
    task: ShardTask, done: Sequence[PreparedShape], skipped: Sequence[dict[str, str]]
) -> None:
    """Write the shard under a temporary name and rename it.

    Two preparations of one store need no lock: both make the same bytes, each under a name of
    its own, and whoever comes second drops his.
    """
    try:
        with replacing(task.folder) as temporary:
            _write(temporary, task, done, skipped)
            if task.folder.is_dir():
                raise _AlreadyThereError
    except _AlreadyThereError:
        return
    except PointMCDError:
        if not task.folder.is_dir():
            raise


class _AlreadyThereError(Exception):
    """Another process has finished the same shard."""


def _write(
    folder: Path,
    task: ShardTask,
    done: Sequence[PreparedShape],
    skipped: Sequence[dict[str, str]],
) -> None:
    (folder / "views").mkdir(parents=True)
    points = np.zeros((len(done), task.points, 3), dtype=np.float32)
    bits = np.zeros((len(done), task.points, -(-len(task.rig) // 8)), dtype=np.uint8)
    for row, shape in enumerate(done):
        points[row], bits[row] = shape.points, shape.visibility
        (folder / "views" / f"{row:04d}.png").write_bytes(shape.strip)
    np.save(folder / "points.npy", points)
    np.save(folder / "visibility.npy", bits)
    _write_parts(folder, done)
    records = [shape.record for shape in done]
    notes = [{"name": shape.record["name"], "note": note} for shape in done for note in shape.notes]
    content = {"shapes": records, "skipped": list(skipped), "notes": notes}
    write_json(folder / "shapes.json", content)


def _write_parts(folder: Path, done: Sequence[PreparedShape]) -> None:
    """Write labels of points and pixels; a set has them for every shape or for none."""
    labels = [shape.parts for shape in done if shape.parts is not None]
    if not labels:
        return
    np.save(folder / "parts.npy", np.stack(labels).astype(np.int16))
    (folder / "pixels").mkdir()
    for row, shape in enumerate(done):
        assert shape.pixels is not None
        (folder / "pixels" / f"{row:04d}.png").write_bytes(shape.pixels)
