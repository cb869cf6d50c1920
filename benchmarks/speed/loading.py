"""The race of loading training batches, from the mapped store and from text."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.shared.race import Race
from benchmarks.speed.published.loading import read_batch, write_item
from pointmcd.data.dataset import ShapeDataset
from pointmcd.data.store import Store
from pointmcd.datasets.furniture import furniture10
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.teachers.features import StoredRows, save_array

BATCH, BATCHES, POINTS, SIZE = 32, 4, 1024, 512
FLOOR = 100.0


def races() -> Iterator[Race]:
    """Yield the loading of points, visibility, descriptors and labels, without augmentation."""
    with TemporaryDirectory() as folder:
        yield of_store(Path(folder))


def of_store(work: Path) -> Race:
    """Make a store of real shapes with descriptors of the usual size, and the same as text."""
    prepare(PrepareConfig(furniture10(), work / "store", points=POINTS, workers=1))
    store = Store(work / "store")
    random = np.random.default_rng(0)
    for shard, indices in store.shard_ranges():
        rows = random.random((len(indices), store.num_views, SIZE)).astype(np.float16)
        save_array(work / "descriptors" / f"{shard}.npy", rows)
    train = store.indices("train")
    rows = StoredRows(store, work / "descriptors", train)
    dataset = ShapeDataset(store, train, POINTS, {"descriptors": rows})
    order = random.permutation(len(train))[: BATCH * BATCHES].reshape(BATCHES, BATCH).tolist()
    folders = [[work / "text" / str(item) for item in batch] for batch in order]
    for item, folder in zip(chain(*order), chain(*folders), strict=True):
        found = dataset[item]
        assert found.teacher["descriptors"] is not None
        values = (found.points[0], found.visibility[0].float(), found.teacher["descriptors"][0])
        write_item(folder, *(v.numpy() for v in values), int(found.labels[0]))
    return Race(
        f"{BATCHES} training batches of {BATCH}, N {POINTS}, V {store.num_views}, D {SIZE}",
        lambda: [read_batch(batch) for batch in folders],
        {"mapped": lambda: [dataset.__getitems__(batch) for batch in order]},
        {"mapped": FLOOR},
        repeats=9,
    )
