"""Cost of a few shapes, to plan the whole by: core seconds in one thread.

    OMP_NUM_THREADS=1 python -m benchmarks.modelnet40.cost ../shared/data/modelnet40_1024.zip

prepares every N-th shape twice, of which the first time compiles and loads, encodes the views, and
prints what all would take.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.shared.page import machine
from pointmcd.data.store import Store
from pointmcd.datasets.registry import find_shapes
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.features import cache_features


def cost(source: str, count: int, work: Path) -> tuple[int, float, float]:
    """Return the number of all shapes, and core seconds a shape of preparing and of encoding."""
    every = find_shapes(source).listing.sources
    for shape in every[:: max(len(every) // count, 1)]:
        path = work / "clouds" / f"{shape.name}.{shape.file.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(shape.file.read())
    clouds = f"{source.partition(':')[0]}:{work / 'clouds'}"
    for name in ("warm", "store"):
        config = PrepareConfig(clouds, work / name, points=1024, workers=1)
        prepared = _seconds(lambda config=config: prepare(config))
    store = Store(work / "store")
    encoder = ImageEncoder("lite0", 0, None)
    teaching = TeachConfig(store.path)
    encoded = _seconds(lambda: cache_features(store, teaching, encoder, torch.device("cpu")))
    return len(every), prepared / len(store.shapes), encoded / len(store.shapes)


def _seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("source")
    options.add_argument("--shapes", type=int, default=100)
    chosen = options.parse_args()
    with TemporaryDirectory() as folder:
        count, *seconds = cost(f"modelnet40:{chosen.source}", chosen.shapes, Path(folder))
    print(machine())
    for step, each in zip(("prepare", "encode"), seconds, strict=True):
        print(f"{step}: {each:.3f} core seconds a shape, {each * count / 3600:.2f} core hours")


if __name__ == "__main__":
    main()
