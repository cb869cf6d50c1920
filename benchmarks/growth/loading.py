"""Curves of loading from stores of ever more shards, and of opening large stores."""

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.growth.curve import Call, Curve, measure, sweep
from benchmarks.growth.synthetic_store import CLASSES, TEACHER, items, write_meta, write_store
from benchmarks.shared.race import peak_memory
from pointmcd.data import store as store_module
from pointmcd.data.dataset import ShapeDataset
from pointmcd.data.splits import assign_validation
from pointmcd.data.store import Store
from pointmcd.teachers.features import StoredRows

#: Maps that are kept where a process may open 1,024 files, as on most systems.
KEPT = 512
SHARDS = (8, 32, 128, 256, 512, 1024)
SHARD_SIZE, POINTS, BATCH, BATCHES = 8, 256, 32, 16
SHAPES = (12_311, 52_000, 200_000, 800_000)


def of_shards(work: Path, counts: Sequence[int] = SHARDS, kept: int = KEPT) -> Curve:
    """Return the cost of loading a shape; each shard has three mapped files."""
    seconds = {}
    for count in counts:
        store = write_store(work / f"shards-{count}", count * SHARD_SIZE, SHARD_SIZE, POINTS)
        cache = lru_cache(maxsize=kept)(store_module._map.__wrapped__)
        with patch.object(store_module, "_map", cache):
            seconds[count] = measure(batches(store)) / (BATCH * BATCHES)
    return Curve(f"loading a shape, N {POINTS}, {kept} maps kept", "shards", seconds)


def batches(store: Store) -> Call:
    """Return a call that draws batches from all shards; every map that fits is open beforehand."""
    every = np.arange(len(store.shapes))
    rows = StoredRows(store, store.path / "teachers" / TEACHER / "descriptors", every)
    dataset = ShapeDataset(store, every, POINTS, {"descriptors": rows})
    random = np.random.default_rng(0)

    def call() -> None:
        for _ in range(BATCHES):
            dataset.__getitems__(random.integers(len(every), size=BATCH).tolist())

    for start in range(0, len(every), SHARD_SIZE):
        dataset.__getitems__([start])
    return call


def of_shapes(work: Path, counts: Sequence[int] = SHAPES) -> Iterator[tuple[Curve, dict[int, int]]]:
    """Yield the cost of opening store.json and of settling splits; with bytes of store.json."""
    sizes = {}
    for count in counts:
        folder = work / f"shapes-{count}"
        shards = -(-count // 1024)
        full = [min(1024, count - 1024 * number) for number in range(shards)]
        write_meta(folder, count, [f"{number:05d}" for number in range(shards)], full, 2048)
        sizes[count] = (folder / "store.json").stat().st_size
    calls = {count: partial(partial, opened, work / f"shapes-{count}") for count in counts}
    yield sweep("opening a store, its fingerprint included", "shapes", calls, repeats=1), sizes
    calls = {count: partial(splitting, count) for count in counts}
    yield sweep(f"choosing validation shapes of {CLASSES} classes", "shapes", calls, 1), sizes


def memory_of_opening(work: Path, counts: Sequence[int] = SHAPES) -> dict[int, int | None]:
    """Return the peak memory, in bytes, of opening the stores of `of_shapes`; None but on Linux."""
    return {count: peak_memory(partial(opened, work / f"shapes-{count}")) for count in counts}


def opened(path: Path) -> str:
    """Open a store and take its fingerprint, as `train` does."""
    return Store(path).fingerprint


def splitting(count: int) -> Call:
    """Return a call that chooses the validation split of that many shapes."""
    shapes = items(count)
    columns = [s.name for s in shapes], [s.label for s in shapes], [s.split for s in shapes]
    return partial(assign_validation, *columns, 0.15, 0)
