"""Works on a disk that fills up at a random byte, and are run again when there is room."""

import random
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.reliability.kills import calm
from benchmarks.reliability.works import FAILED, REFUSED, Work, content, start
from pointmcd.checkpoint import load_checkpoint
from pointmcd.files import is_temporary, read_json

_ROOM, _PAGE, _HANGING = "1g", 4096, 300.0


def mount(folder: Path) -> None:
    """Mount a file system in memory, seen by this process alone under `unshare --mount`."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_ROOM}", "none", folder], check=True)


def _resize(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)


def _used(folder: Path) -> int:
    words = subprocess.run(
        ["df", "-B1", "--output=used", folder], capture_output=True, text=True, check=True
    )
    return int(words.stdout.split()[-1])


def full_disk_runs(work: Work, runs: int, seed: int, told: Path) -> Iterator[dict[str, object]]:
    """Yield one record per work on a small disk, until so many have found it full."""
    mount(work.here)
    before = _start_size(work)
    expected, _ = calm(work, told)
    need, chance, met = _used(work.here) - before, random.Random(seed), 0
    while met < runs:
        work.fresh()
        # More than is left in the end: some of it is written twice, and removed.
        room = int(chance.uniform(0, 1.5) * need) // _PAGE * _PAGE
        _resize(work.here, str(_used(work.here) + max(room, _PAGE)))
        child = start(work, told)
        status = child.wait(_HANGING)
        record: dict[str, object] = {"room": room, "status": status, "text": child.text}
        record["halves"] = list(half_written(work.here))
        record["differing shards"] = list(_other_shards(work.here, expected))
        _resize(work.here, _ROOM)
        again = start(work, told).wait(_HANGING)
        found = content(work.here)
        names = sorted(found.keys() | expected.keys())
        record["differing"] = [n for n in names if found.get(n) != expected.get(n)]
        met += status != 0
        record["fault"] = status not in (0, REFUSED) or again != 0 or status == FAILED
        yield record


def _start_size(work: Work) -> int:
    work.fresh()
    return _used(work.here)


def half_written(folder: Path) -> Iterator[str]:
    """Yield what is left under a temporary name, or cannot be read as what its name says."""
    for path in sorted(folder.rglob("*")):
        if is_temporary(path):
            yield f"{path}: temporary"
        elif path.is_file():
            try:
                _read(path)
            except Exception as error:
                yield f"{path}: {type(error).__name__}"


def _read(path: Path) -> None:
    kind = path.suffix
    if kind == ".npy":
        np.load(path)
    elif kind == ".json":
        read_json(path)
    elif kind == ".png":
        Image.open(path).load()
    elif kind == ".safetensors":
        load_checkpoint(path)
    elif kind == ".zip":
        zipfile.ZipFile(path).testzip()


def _other_shards(folder: Path, expected: dict[str, str]) -> Iterator[str]:
    """Yield files of shards, which are written once, that differ from those of a calm work."""
    for name, mark in content(folder).items():
        if "/shards/" in name and expected.get(name) != mark:
            yield name
