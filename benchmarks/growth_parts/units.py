"""What one real shape costs: seconds of each command, bytes of each kind of file."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from race import timed

from growth_parts.synthetic_store import folder_bytes
from pointmcd.data.prepare import prepare
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach

POINTS = 2048


@dataclass(frozen=True)
class Units:
    """Of one shape, the mean over real ones.

    Attributes:
        shapes: over how many.
        faces: their mean number.
        seconds: of a processor's thread, by what is done.
        bytes: on disk, by what is stored.
    """

    shapes: int
    faces: float
    seconds: dict[str, float]
    bytes: dict[str, float]


def measure_units(source: Path, work: Path, shapes: int, faces: float) -> Units:
    """Prepare and teach real shapes in this process, as the commands do."""
    store = work / "store"
    seconds = {
        "prepare": timed(partial(prepare, source, store, points=POINTS, workers=1)),
        "teach features": timed(partial(teach, TeachConfig(store, task="features"))),
        # The features stand by now: what is left is the heads' training and the descriptors.
        "teach heads": timed(partial(teach, TeachConfig(store))),
    }
    each = {name: value / shapes for name, value in seconds.items()}
    return Units(shapes, faces, each, {k: v / shapes for k, v in stored(store).items()})


def stored(store: Path) -> dict[str, float]:
    """Bytes of a store by kind."""
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
