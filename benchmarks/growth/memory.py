"""An epoch over a store several times larger than the memory that training may use."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.growth.memory_child import MB
from benchmarks.growth.synthetic_store import folder_bytes, write_store
from benchmarks.shared.page import ROOT
from pointmcd.files import remove

#: Of the store, and megabytes above what the imports take: data segments, and pages of files.
SHAPES, SHARD_SIZE, POINTS = 12_288, 1024, 16_384
DATA, FILES = 512, 256
CHILD = "benchmarks.growth.memory_child"


@dataclass(frozen=True)
class Epoch:
    """Resident memory over a run of one epoch, bytes.

    Attributes:
        shapes: in the store.
        store: its size.
        samples: [seconds, anonymous, of files].
        imports: anonymous memory and pages of files before training.
        given_back: how often pages of files were given back.
        limits: of data segments and of files' pages, above what the imports took.
    """

    shapes: int
    store: int
    samples: list[list[float]]
    imports: tuple[float, float]
    given_back: int
    limits: tuple[int, int]

    def peak(self, column: int, start: float = 0, stop: float = 1) -> float:
        """Return the largest value of a column of the samples within a share of the time."""
        count = len(self.samples)
        part = self.samples[int(start * count) : max(int(stop * count), int(start * count) + 1)]
        return max(sample[column] for sample in part)


def measure_epoch(
    work: Path,
    shapes: int = SHAPES,
    shard_size: int = SHARD_SIZE,
    points: int = POINTS,
    limits: tuple[int, int] = (DATA, FILES),
) -> Epoch:
    """Write the store, train on it in a process of its own, remove it."""
    path = work / "larger-than-memory"
    write_store(path, shapes, shard_size, points)
    size = folder_bytes(path)
    command = [sys.executable, "-m", CHILD, str(path), str(work), *map(str, limits)]
    try:
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"{CHILD} failed:\n{error.stderr}") from error
    finally:
        remove(path)
    found = json.loads((work / "memory.json").read_text())
    imports = found["base_anonymous"], found["base_files"]
    samples, given_back = found["samples"], found["given_back"]
    in_bytes = limits[0] * MB, limits[1] * MB
    return Epoch(shapes, size, samples, imports, given_back, in_bytes)
