import json
import zipfile
from pathlib import Path

import pytest

from pointmcd.shapes.furniture import furniture10

CLASSES = ("chair", "table", "sofa")


@pytest.fixture(scope="session")
def few_meshes(tmp_path_factory) -> Path:
    """Fourteen real meshes in CLASS/{train,test}/NAME.off: 3 for training, 1 or 2 for the test."""
    folder = tmp_path_factory.mktemp("meshes")
    with zipfile.ZipFile(furniture10()) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".off"))
        for label in CLASSES:
            for split, count in (("train", 3), ("test", 2 if label != "sofa" else 1)):
                members = [name for name in names if f"/{label}/{split}/" in name][:count]
                for member in members:
                    target = folder / label / split / Path(member).name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(member))
    return folder


@pytest.fixture(scope="session")
def small_rig(tmp_path_factory) -> Path:
    """A rig of three tiny pictures: preparing a shape takes a few milliseconds."""
    path = tmp_path_factory.mktemp("rig") / "small.json"
    path.write_text(json.dumps({"cameras": [[30, 0], [30, 120], [-30, 240]], "size": 24}))
    return path


@pytest.fixture
def quick(small_rig) -> dict:
    """Options that make `prepare` quick: one process, few points, several shards."""
    return {"points": 32, "rig": small_rig, "workers": 1, "shard_size": 4}


@pytest.fixture(scope="session")
def files_of():
    """Return every file of a folder and its bytes."""

    def files(folder: Path) -> dict[str, bytes]:
        paths = (path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}

    return files
