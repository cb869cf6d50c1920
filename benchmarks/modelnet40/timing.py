"""Times of the steps of a study that may be interrupted."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pointmcd.files import read_json, write_json


@contextmanager
def timed(work: Path, step: str, product: Path) -> Iterator[None]:
    """Note the time of a step in WORK/times.json, if it is made from nothing, in one go.

    An interrupted step has no time, nor has one that finds its product there.
    """
    work.mkdir(parents=True, exist_ok=True)
    whole = not product.exists()
    start, used = time.perf_counter(), _cores()
    yield
    if whole:
        passed = {"hours": (time.perf_counter() - start) / 3600, "core": (_cores() - used) / 3600}
        write_json(work / "times.json", _times(work) | {step: passed})


def timing_rows(work: Path, shapes: int) -> list[list[str]]:
    """Return step, core hours, hours and core seconds a shape of each step that has a time."""
    return [
        [step, f"{t['core']:.2f}", f"{t['hours']:.2f}", f"{3600 * t['core'] / shapes:.3f}"]
        for step, t in _times(work).items()
    ]


def _times(work: Path) -> dict[str, dict[str, float]]:
    path = work / "times.json"
    return read_json(path) if path.exists() else {}


def _cores() -> float:
    """Return the processor seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
