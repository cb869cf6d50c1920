"""The cost of one real shape: seconds of each command, bytes of each kind of file."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.growth.synthetic_store import folder_bytes
from benchmarks.shared.race import timed
from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.encoders.runtimes import use_runtime
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.features import encode_shapes
from pointmcd.teachers.lessons.classification import ClassificationLesson
from pointmcd.teachers.teach import teach

POINTS = 2048


@dataclass(frozen=True)
class Units:
    """Costs of one shape, the mean over real ones.

    Attributes:
        shapes: over how many.
        faces: their mean number.
        seconds: of one processor thread, by what is done.
        bytes: on disk, by what is stored.
    """

    shapes: int
    faces: float
    seconds: dict[str, float]
    bytes: dict[str, float]


def measure_units(source: Path, work: Path, shapes: int, faces: float) -> Units:
    """Prepare and teach real shapes in this process, as the commands do on a CPU."""
    path = work / "store"
    prepare_all = partial(prepare, PrepareConfig(source, path, points=POINTS, workers=1))
    seconds = {"prepare": timed(prepare_all)}
    config = TeachConfig(path, device="cpu")
    teach(config)
    store, device = Store(path), torch.device("cpu")
    encoder = ImageEncoder(config.teacher).eval()
    use_runtime(encoder, config.runtime)
    encode_shapes(store, np.arange(1), encoder, device)  # makes the network fast, once
    seconds["features"] = timed(lambda: encode_shapes(store, np.arange(shapes), encoder, device))
    lesson = ClassificationLesson(store, replace(config, name="again"), device, encoder)
    lesson.prepare()
    seconds["heads, all epochs"] = timed(lesson.fit)
    each = {name: value / shapes for name, value in seconds.items()}
    return Units(shapes, faces, each, {k: v / shapes for k, v in stored(path).items()})


def stored(store: Path) -> dict[str, float]:
    """Return the bytes of a store by kind."""
    shards = store / "shards"
    kinds = {
        "points": [path.stat().st_size for path in shards.glob("*/points.npy")],
        "visibility": [path.stat().st_size for path in shards.glob("*/visibility.npy")],
        "views": [folder_bytes(path) for path in shards.glob("*/views")],
        "shapes.json, store.json, plan.json": [
            path.stat().st_size for path in (*shards.glob("*/shapes.json"), *store.glob("*.json"))
        ],
        "features": [folder_bytes(store / "features")],
        "descriptors": [folder_bytes(store / "teachers" / "lite0" / "descriptors")],
    }
    return {kind: float(sum(sizes)) for kind, sizes in kinds.items()}
