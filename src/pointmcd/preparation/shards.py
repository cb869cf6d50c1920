"""One shard of a store: a few shapes sampled, rendered and written as a whole."""

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from pointmcd.datasets.sources import ShapeSource
from pointmcd.errors import PointMCDError, ShapeError
from pointmcd.files import replacing, write_json
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare_shape import PreparedShape, prepare_shape
from pointmcd.typing import Bytes, Floats, Shorts
from pointmcd.views.rig import Rig

#: Fast: level 2 makes files a tenth larger than level 6 in a third of the time.
_PNG_LEVEL = 2
#: Workers of dask may have several threads, but `threadpool_limits` sets the whole process: the
#: first thread to end would lift the limit under the others.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class ShardTask:
    """All that a worker process needs to write one shard, shapes with their splits."""

    folder: Path
    items: tuple[ShapeSource, ...]
    rig: Rig
    config: PrepareConfig


@dataclass(frozen=True)
class _Entry:
    """One shape as its files hold it.

    Attributes:
        record: its entry in shapes.json.
        points: float32 [P, 3].
        visibility: uint8 [P, ceil(V / 8)], bits of bool [P, V].
        views: side by side, as a PNG file.
        parts: int16 [P], part label of each point, counted from 0 in the class; None without.
        pixels: the part label of each pixel, plus 1 (0: background), side by side as a PNG file.
        notes: one line each on what a reader of results should know.
    """

    record: dict[str, Any]
    points: Floats
    visibility: Bytes
    views: bytes
    parts: Shorts | None
    pixels: bytes | None
    notes: Sequence[str]


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
            done, skipped = _prepare_shapes(task)
            _publish(task, done, skipped)
    return len(task.items)


def _prepare_shapes(task: ShardTask) -> tuple[list[_Entry], list[dict[str, str]]]:
    done: list[_Entry] = []
    skipped: list[dict[str, str]] = []
    # One thread, however many workers there are: BLAS rounds differently on two.
    with threadpool_limits(1):
        for item in task.items:
            try:
                shape = prepare_shape(item, task.config.points, task.rig, task.config.seed)
            except ShapeError as error:
                if task.config.strict:
                    raise
                entry = {"name": item.name, "source": item.location, "reason": str(error)}
                skipped.append(entry)
            else:
                done.append(_encode(item, shape))
    return done, skipped


def _encode(item: ShapeSource, shape: PreparedShape) -> _Entry:
    record = {
        "name": item.name,
        "class": item.label,
        "split": item.split,
        "source": item.location,
        "triangles": shape.triangles,
        "frame": {"centre": shape.framing.centre.tolist(), "scale": shape.framing.scale},
    }
    if shape.parts is not None:
        record["parts"] = np.unique(shape.parts).tolist()
    return _Entry(
        record=record,
        points=shape.points,
        visibility=np.packbits(shape.visibility, axis=-1),
        views=_encode_strip(shape.views),
        parts=shape.parts,
        pixels=None if shape.pixels is None else _encode_strip((shape.pixels + 1).astype(np.uint8)),
        notes=shape.notes,
    )


def _encode_strip(views: Bytes) -> bytes:
    """Encode pictures [V, S, S] as one PNG of S rows and V * S columns."""
    target = io.BytesIO()
    Image.fromarray(np.concatenate(list(views), axis=1)).save(
        target, format="png", compress_level=_PNG_LEVEL
    )
    return target.getvalue()


def _publish(task: ShardTask, done: Sequence[_Entry], skipped: Sequence[dict[str, str]]) -> None:
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
    done: Sequence[_Entry],
    skipped: Sequence[dict[str, str]],
) -> None:
    (folder / "views").mkdir(parents=True)
    count = task.config.points
    points = np.zeros((len(done), count, 3), dtype=np.float32)
    bits = np.zeros((len(done), count, -(-len(task.rig) // 8)), dtype=np.uint8)
    for row, shape in enumerate(done):
        points[row], bits[row] = shape.points, shape.visibility
        (folder / "views" / f"{row:04d}.png").write_bytes(shape.views)
    np.save(folder / "points.npy", points)
    np.save(folder / "visibility.npy", bits)
    _write_parts(folder, done)
    records = [shape.record for shape in done]
    notes = [{"name": shape.record["name"], "note": note} for shape in done for note in shape.notes]
    content = {"shapes": records, "skipped": list(skipped), "notes": notes}
    write_json(folder / "shapes.json", content)


def _write_parts(folder: Path, done: Sequence[_Entry]) -> None:
    """Write labels of points and pixels; a set has them for every shape or for none."""
    labels = [shape.parts for shape in done if shape.parts is not None]
    if not labels:
        return
    np.save(folder / "parts.npy", np.stack(labels).astype(np.int16))
    (folder / "pixels").mkdir()
    for row, shape in enumerate(done):
        assert shape.pixels is not None
        (folder / "pixels" / f"{row:04d}.png").write_bytes(shape.pixels)
