"""Data sets made of others: some of the classes, or scans from one side."""

from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from pointmcd.data.store import Store
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare

#: Points of a scan, at most; of shapes of which fewer are seen, all.
SCANNED = 1024


def only_classes(source: Path, folder: Path, classes: Sequence[str]) -> Path:
    """Unpack these classes of a zip ROOT/CLASS/SPLIT/NAME, and return the folder ROOT."""
    with ZipFile(source) as archive:
        names = [name for name in archive.namelist() if name.split("/")[1] in classes]
        archive.extractall(folder, names)
    return folder / names[0].split("/")[0]


def scans_of(source: Path, work: Path) -> Path:
    """Write of each mesh the points that one view, drawn at random, sees, as a cloud.

    Returns:
        the folder of the clouds, CLASS/SPLIT/NAME.npy.
    """
    prepare(PrepareConfig(source, work / "meshes", points=4 * SCANNED, val_fraction=0))
    store, random = Store(work / "meshes"), np.random.default_rng(0)
    for index, shape in enumerate(store.shapes):
        file = work / "scans" / shape.label / shape.split / f"{Path(shape.name).name}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        where = np.array([index])
        view = random.integers(store.num_views)
        seen = store.visibility(where, store.num_points)[0, :, view]
        points = store.points(where, store.num_points)[0, seen]
        np.save(file, random.permutation(points)[:SCANNED])
    return work / "scans"
