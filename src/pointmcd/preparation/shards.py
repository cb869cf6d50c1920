"""One shard of a store: a few shapes sampled, rendered and written as a whole."""

import threading
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
from pointmcd.shapes.features import chosen_kinds
from pointmcd.typing import Array, Bytes, Shorts
from pointmcd.views.rig import Rig

#: Fast: level 2 makes files a tenth larger than level 6 in a third of the time.
_PNG_LEVEL = 2
#: Workers of dask may have several threads, but `threadpool_limits` sets the whole process: the
#: first thread to end would lift the limit under the others.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class ShardTask:
    """Input of a worker process that writes one shard: shapes with their splits."""

    folder: Path
    items: tuple[ShapeSource, ...]
    rig: Rig
    config: PrepareConfig

    @property
    def store(self) -> Path:
        """The store's folder."""
        return self.folder.parent.parent


def write_shard(task: ShardTask) -> int:
    """Prepare the shapes of one shard and write it; bad shapes are left out and listed.

    Two preparations of one store need no lock: both make the same bytes, each under a temporary
    name of its own, and the second one is discarded.

    Returns:
        How many shapes were gone through.

    Raises:
        ShapeError: for the first bad shape, if the task is strict.
        PointMCDError: when the shard cannot be written.
    """
    # A cluster gives a shard to a second worker when it takes the first for dead.
    with _ONE_AT_A_TIME:
        try:
            if not task.folder.is_dir():
                # One thread, however many workers there are: BLAS rounds differently on two.
                with threadpool_limits(1), replacing(task.folder) as temporary:
                    _write(temporary, task)
                    if task.folder.is_dir():
                        raise FileExistsError
        except PointMCDError:
            if not task.folder.is_dir():
                raise
    return len(task.items)


def _write(folder: Path, task: ShardTask) -> None:
    (folder / "views").mkdir(parents=True)
    count = task.config.points
    points = np.zeros((len(task.items), count, 3), dtype=np.float32)
    bits = np.zeros((len(task.items), count, -(-len(task.rig) // 8)), dtype=np.uint8)
    labels = []  # a set has them for every shape or for none
    kinds = chosen_kinds(task.config.features)
    features: dict[str, list[Array]] = {kind.name: [] for kind in kinds}
    content: dict[str, list[dict[str, Any]]] = {"shapes": [], "skipped": [], "notes": []}
    for item in task.items:
        shape = _prepare(item, task, content["skipped"])
        if shape is None:
            continue
        row = len(content["shapes"])
        points[row], bits[row] = shape.points, np.packbits(shape.visibility, axis=-1)
        for kind in kinds:
            features[kind.name].append(kind.pack(shape.features[kind.name]))
        _write_strip(folder / "views" / f"{row:04d}.png", shape.views)
        if shape.parts is not None and shape.pixels is not None:
            labels.append(shape.parts)
            pixels = (shape.pixels + 1).astype(np.uint8)  # 0: background, 255: no label
            _write_strip(folder / "pixels" / f"{row:04d}.png", pixels)
        content["shapes"].append(_record(item, shape))
        if not item.variant:  # whose notes are those of its shape
            content["notes"] += [{"name": item.name, "note": note} for note in shape.notes]
    done = len(content["shapes"])
    np.save(folder / "points.npy", points[:done])
    np.save(folder / "visibility.npy", bits[:done])
    for kind in kinds:
        rows = np.reshape(features[kind.name], (done, count, kind.channels)).astype(kind.dtype)
        np.save(folder / f"{kind.name}.npy", rows)
    if labels:
        np.save(folder / "parts.npy", np.stack(labels).astype(np.int16))
    write_json(folder / "shapes.json", content)


def _prepare(
    item: ShapeSource, task: ShardTask, skipped: list[dict[str, Any]]
) -> PreparedShape | None:
    try:
        return prepare_shape(item, task.config.points, task.rig, task.config.seed)
    except ShapeError as error:
        if task.config.strict:
            raise
        skipped.append({**_named(item), "source": item.location, "reason": str(error)})
        return None


def _named(item: ShapeSource) -> dict[str, Any]:
    return {"name": item.name, **({"variant": item.variant} if item.variant else {})}


def _record(item: ShapeSource, shape: PreparedShape) -> dict[str, Any]:
    """Return the entry of a shape in shapes.json."""
    framing = shape.framing
    return {
        **_named(item),
        "class": item.label,
        "split": item.split,
        "source": item.location,
        "triangles": shape.triangles,
        **({"read": shape.read} if shape.read else {}),
        "frame": {"centre": framing.centre.tolist(), "scale": framing.scale},
        **({} if shape.parts is None else {"parts": _occurring(shape.parts)}),
    }


def _occurring(parts: Shorts) -> list[int]:
    found: list[int] = np.unique(parts[parts >= 0]).tolist()
    return found


def _write_strip(path: Path, pictures: Bytes) -> None:
    """Write images [V, S, S] as one PNG of S rows and V * S columns."""
    path.parent.mkdir(exist_ok=True)
    strip = Image.fromarray(np.concatenate(list(pictures), axis=1))
    strip.save(path, compress_level=_PNG_LEVEL)
