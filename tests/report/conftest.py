import zipfile
from pathlib import Path

import pytest
from synthetic_runs import Bench, PartsBench

from pointmcd.data.store import Store
from pointmcd.datasets.furniture import furniture10
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.views.rig import Rig

RIG = Rig("test4", ((30.0, 0.0), (30.0, 90.0), (30.0, 180.0), (-60.0, 45.0)), size=96)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three classes of real furniture, one shape to train and two to test each."""
    folder = tmp_path_factory.mktemp("furniture")
    with zipfile.ZipFile(furniture10()) as archive:
        for label in ("bed", "chair", "lamp"):
            for split, count in (("train", 1), ("test", 2)):
                found = [n for n in archive.namelist() if f"{label}/{split}/" in n]
                for name in sorted(n for n in found if n.endswith(".off"))[:count]:
                    target = folder / "source" / label / split / Path(name).name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(name))
    prepare(
        PrepareConfig(
            folder / "source", folder / "store", points=256, rig=RIG, workers=1, val_fraction=0.0
        )
    )
    return Store(folder / "store")


@pytest.fixture
def bench(store: Store, tmp_path: Path) -> Bench:
    indices = store.indices("test")
    return Bench(
        tmp_path / "runs",
        names=[store.shapes[i].name for i in indices],
        labels=store.labels(indices).tolist(),
        classes=store.classes,
        store=str(store.path),
        fingerprint=store.fingerprint,
    )


@pytest.fixture
def parts_bench(parts_store: Path, tmp_path: Path) -> PartsBench:
    """Runs on the 8 test shapes (bed: low, high; chair: legs, seat, back) of a real store."""
    labelled = Store(parts_store)
    assert labelled.parts is not None
    indices = labelled.indices("test")
    return PartsBench(
        tmp_path / "part-runs",
        names=[labelled.shapes[i].name for i in indices],
        labels=labelled.labels(indices).tolist(),
        classes=labelled.classes,
        store=str(parts_store),
        fingerprint=labelled.fingerprint,
        parts=labelled.parts,
        truth=labelled.part_labels(indices, 128),
    )
