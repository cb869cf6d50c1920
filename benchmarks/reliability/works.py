"""Tiny preparations, lessons and trainings, each begun in a forked child that may die at any time.

Each works in WORK/here, since what it writes tells its place.
"""

import hashlib
import importlib
import json
import os
import shutil
import signal
import sys
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from pointmcd.datasets.furniture import furniture10
from pointmcd.errors import PointMCDError
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.train import train

#: Exit status of a child that raised a PointMCDError of one line, and of one that failed otherwise.
REFUSED, FAILED = 3, 1
CLASSES, TRAIN, TEST = ("bed", "chair", "lamp"), 4, 2
CAMERAS = {"cameras": [[30, 0], [30, 120], [-30, 240]], "size": 64}


@dataclass(frozen=True)
class Work:
    """One of the commands on a tiny set.

    Attributes:
        name: what is done.
        here: where it writes.
        lay_out: make that folder as the work finds it.
        begin: do the work, or go on with it.
    """

    name: str
    here: Path
    lay_out: Callable[[], None]
    begin: Callable[[], object]

    def fresh(self) -> None:
        """Empty the folder, and lay out what the work begins from."""
        self.here.mkdir(parents=True, exist_ok=True)
        for path in self.here.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.lay_out()


def make_works(work: Path) -> dict[str, Work]:
    """Make the set, a store of it and a teacher in `work`; return the works by their names."""
    meshes, rig, here = work / "set", work / "rig.json", work / "here"
    store, taught = work / "store", work / "taught"
    options = {"rig": rig, "points": 1024, "shard_size": 3, "val_fraction": 0.25}
    lesson = {"epochs": 60, "batch_size": 4, "device": "cpu"}
    if not taught.exists():
        _unpack(meshes)
        rig.write_text(json.dumps(CAMERAS))
        prepare(PrepareConfig(meshes, store, workers=1, **options))
        shutil.copytree(store, work / "half")
        teach(TeachConfig(work / "half", **lesson))
        (work / "half").rename(taught)
    config = TrainConfig(
        taught, here / "run", teacher="lite0", epochs=4, points=64, batch_size=4, device="cpu"
    )
    works = [
        Work(
            name, here, lambda: None, lambda n=n: prepare(_prepare_config(meshes, here, n, options))
        )
        for name, n in (("prepare", 1), ("prepare, two workers", 2))
    ]
    works += [
        Work(
            "teach",
            here,
            lambda: shutil.copytree(store, here / "store") and None,
            lambda: teach(TeachConfig(here / "store", **lesson)),
        ),
        Work("train", here, lambda: None, lambda: train(config)),
    ]
    torch.optim.SGD([torch.zeros(1)])  # the first optimizer imports for seconds; once is enough
    torch.set_num_threads(1)
    return {one.name: one for one in works}


def _prepare_config(meshes: Path, here: Path, workers: int, options: dict) -> PrepareConfig:
    return PrepareConfig(meshes, here / "store", workers=workers, **options)


def _unpack(folder: Path) -> None:
    with zipfile.ZipFile(furniture10()) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".off"))
        for label in CLASSES:
            for split, count in (("train", TRAIN), ("test", TEST)):
                for name in [name for name in names if f"/{label}/{split}/" in name][:count]:
                    target = folder / label / split / Path(name).name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(name))


@dataclass
class Child:
    """A forked child that does a work, in a process group of its own.

    Attributes:
        pid: its process.
        told: the file that its error goes to.
    """

    pid: int
    told: Path

    def wait(self, seconds: float) -> int:
        """Return its exit status, negative for a signal; kill it after so many seconds."""
        end = time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > end:
                os.killpg(self.pid, signal.SIGKILL)
                status = os.waitpid(self.pid, 0)[1]
                break
            time.sleep(0.002)
        return os.waitstatus_to_exitcode(status)

    @property
    def text(self) -> str:
        """What it said at the end."""
        return self.told.read_text() if self.told.exists() else ""


def start(work: Work, told: Path) -> Child:
    """Fork a child that begins a work; what it raises is written to the file `told`."""
    told.unlink(missing_ok=True)
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        with suppress(OSError):  # it has ended already
            os.setpgid(pid, pid)
        return Child(pid, told)
    os.setpgid(0, 0)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)
    status = 0
    try:
        work.begin()
        told.with_suffix(".modules").write_text("\n".join(sys.modules))
    except PointMCDError as error:
        told.write_text(str(error))
        status = REFUSED if "\n" not in str(error) else FAILED
    except BaseException:
        told.write_text(traceback.format_exc())
        status = FAILED
    os._exit(status)


def import_all(told: Path) -> None:
    """Import what a child that ended had imported by then: later children need not."""
    for name in told.with_suffix(".modules").read_text().splitlines():
        with suppress(Exception):
            importlib.import_module(name)


def content(folder: Path) -> dict[str, str]:
    """Return a hash of every file of a folder; of metrics, all but the seconds that they took."""
    return dict(_hashes(folder))


def _hashes(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path.name == "metrics.jsonl":
                records = [json.loads(line) for line in data.splitlines()]
                data = json.dumps([{**one, "seconds": 0} for one in records]).encode()
            yield path.relative_to(folder).as_posix(), hashlib.sha256(data).hexdigest()
