"""Stores of random numbers in the real format, of any size, with a teacher that `train` takes."""

from pathlib import Path

import numpy as np

from pointmcd.data.records import ShapeRecord
from pointmcd.data.store import Store
from pointmcd.files import write_json
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.plan import Plan
from pointmcd.preparation.prepare import identity
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.features import save_array
from pointmcd.teachers.lesson import LESSONS
from pointmcd.teachers.settings import decisive_settings
from pointmcd.teachers.stored import TEACHER_FORMAT
from pointmcd.views.rig import get_rig

CLASSES, DESCRIPTOR_SIZE, TEACHER = 40, 512, "lite0-features"


def write_store(path: Path, shapes: int, shard_size: int, points: int) -> Store:
    """Write shards of one content under many names, which nothing reads as one.

    Views are left out: no training reads them.
    """
    content = shard_content(min(shard_size, shapes), points)
    counts = [min(shard_size, shapes - start) for start in range(0, shapes, shard_size)]
    names = [f"{number:05d}" for number in range(len(counts))]
    for name, count in zip(names, counts, strict=True):
        for file, array in content.items():
            target = path / (
                f"teachers/{TEACHER}/descriptors/{name}.npy"
                if file == "descriptors"
                else f"shards/{name}/{file}.npy"
            )
            save_array(target, array[:count])
    write_meta(path, shapes, names, counts, points)
    store = Store(path)
    write_teacher(store)
    return store


def shard_content(count: int, points: int) -> dict[str, np.ndarray]:
    """Return the arrays of a shard of `count` shapes."""
    random = np.random.default_rng(0)
    cloud = random.random((count, points, 3), dtype=np.float32) - np.float32(0.5)
    bits = random.integers(256, size=(count, points, 2), dtype=np.uint8)
    rows = random.random((count, 12, DESCRIPTOR_SIZE), dtype=np.float32).astype(np.float16)
    return {"points": cloud, "visibility": bits, "descriptors": rows}


def write_meta(path: Path, shapes: int, shards: list[str], counts: list[int], points: int) -> None:
    """Write store.json as `prepare` does: names as long as those of large collections."""
    config = PrepareConfig("nowhere", path, points=points)
    plan = Plan(config, "nowhere", get_rig("ring12"), ())
    splits = np.where(np.arange(shapes) % 10 == 9, "test", "train").tolist()
    records = [
        {"name": f"{number % CLASSES:08d}/{number:032x}", "class": f"{number % CLASSES:08d}"}
        | {"split": splits[number]}
        for number in range(shapes)
    ]
    content = {
        **identity(plan),
        "classes": [f"{number:08d}" for number in range(CLASSES)],
        "parts": None,
        "shards": shards,
        "counts": counts,
        "skipped": [],
        "notes": [],
        "shapes": records,
    }
    write_json(path / "store.json", content)


def write_teacher(store: Store) -> None:
    """Write teacher.json beside the descriptors; there are no weights, and training reads none."""
    config = TeachConfig(store.path, teacher="lite0", task="features")
    content = {
        "format": TEACHER_FORMAT,
        "name": TEACHER,
        "task": "features",
        "label_free": True,
        "outputs": {"descriptors": "descriptors"},
        "settings": decisive_settings(LESSONS.get(config.task), config),
        "store_fingerprint": store.fingerprint,
        "fingerprint": "synthetic",
        "descriptor_size": DESCRIPTOR_SIZE,
        "classes": store.classes,
        "shapes": len(store.shapes),
    }
    write_json(store.path / "teachers" / TEACHER / "teacher.json", content)


def items(count: int) -> list[ShapeRecord]:
    """Return as many shapes as a large collection's, named alike."""
    return [
        ShapeRecord(f"{number % CLASSES:08d}/{number:032x}", f"{number % CLASSES:08d}", "train")
        for number in range(count)
    ]


def folder_bytes(path: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
