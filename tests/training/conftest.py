import json
import shutil
from pathlib import Path

import pytest

from pointmcd.checkpoint import load_checkpoint
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run

#: Whole runs of the tiny student take a fraction of a second.
QUICK = {
    "student": "tiny_student:TinyStudent",
    "teacher": None,
    "epochs": 2,
    "batch_size": 4,
    "points": 64,
    "lr": 0.01,
    # Not the defaults: tests that change one of these must not depend on what the recipe says.
    "objective": ("vafp:1,distance=l1",),
    "distill_course": "constant",
    "device": "cpu",
}


@pytest.fixture(scope="session")
def taught_parts(parts_store, tmp_path_factory):
    """The store of parts with a teacher of one epoch, lite0-segmentation. To be read only."""
    store = tmp_path_factory.mktemp("taught-parts") / "store"
    shutil.copytree(parts_store, store)
    teach(TeachConfig(store, task="segmentation", epochs=1, views_per_step=1, device="cpu"))
    return store


@pytest.fixture
def make(taught_store, tmp_path):
    """Make configs of quick runs, each in a folder of its own: make("a", lr=0.1)."""

    def config(out, store=taught_store, **options):
        return TrainConfig(Path(store), tmp_path / "runs" / out, **(QUICK | options))

    return config


def _content(folder, seconds=False):
    """What a run left: tensors and states of its checkpoints, its records, its description."""
    left = {"files": sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))}
    for which in ("last", "best"):
        tensors, left[f"{which} state"] = load_checkpoint(folder / f"{which}.safetensors")
        left[which] = {
            name: (str(t.dtype), tuple(t.shape), t.numpy().tobytes()) for name, t in tensors.items()
        }
    dropped = set() if seconds else {"seconds"}
    records = Run(folder).metrics()
    left["records"] = [{k: v for k, v in m.items() if k not in dropped} for m in records]
    left["run"] = json.loads((folder / "run.json").read_text())
    return left


@pytest.fixture(scope="session")
def content():
    return _content
