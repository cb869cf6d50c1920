"""Pairs of timings: both sides interleaved in one process on one thread, median of repeats."""

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Call = Callable[[], object]


@dataclass(frozen=True)
class Race:
    """One part of the library beside its yardstick.

    Attributes:
        part: what is measured, with its sizes.
        yardstick: the published formulation, once.
        ours: ways to do the same, by name.
        floors: by name, the least allowed yardstick / ours (none: only reported).
        repeats: of each side, after one that does not count.
        memory: measure peak extra memory too.
        memory_floor: the least allowed ratio of the yardstick's extra memory to ours.
    """

    part: str
    yardstick: Call
    ours: Mapping[str, Call]
    floors: Mapping[str, float]
    repeats: int = 5
    memory: bool = False
    memory_floor: float | None = None


@dataclass(frozen=True)
class Lap:
    """One way's result in a race: seconds of both sides, and bytes where they were measured."""

    part: str
    how: str
    yardstick: float
    ours: float
    least: float
    most: float
    floor: float | None
    yardstick_bytes: int | None = None
    ours_bytes: int | None = None
    memory_floor: float | None = None

    @property
    def ratio(self) -> float:
        """Yardstick / ours, by the medians."""
        return self.yardstick / self.ours

    @property
    def met(self) -> bool:
        """Whether both ratios are at their floors or above; without a floor, they are."""
        fast = self.floor is None or self.ratio >= self.floor
        if self.memory_floor is None or self.yardstick_bytes is None or self.ours_bytes is None:
            return fast
        return fast and self.yardstick_bytes >= self.memory_floor * self.ours_bytes


def run(race: Race) -> list[Lap]:
    """Time all sides of a race, interleaved; the ratio's range is over the pairs."""
    calls = {"": race.yardstick, **race.ours}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(race.repeats + 1):
        for name, call in calls.items():
            seconds = timed(call)
            if repeat:
                times[name].append(seconds)
    peaks = {name: peak_memory(call) if race.memory else None for name, call in calls.items()}
    laps = []
    for name in race.ours:
        pairs = [slow / fast for slow, fast in zip(times[""], times[name], strict=True)]
        lap = Lap(
            race.part,
            name,
            yardstick=statistics.median(times[""]),
            ours=statistics.median(times[name]),
            least=min(pairs),
            most=max(pairs),
            floor=race.floors.get(name),
            yardstick_bytes=peaks[""],
            ours_bytes=peaks[name],
            memory_floor=race.memory_floor,
        )
        laps.append(lap)
    return laps


def timed(call: Call) -> float:
    """Return the processor seconds of a call on one thread, after a garbage collection."""
    gc.collect()
    start = time.process_time()
    result = call()
    seconds = time.process_time() - start
    del result  # what it returned is not thrown away within the time
    return seconds


def peak_memory(call: Call) -> int | None:
    """Return the bytes of resident memory at a call's peak above those before; None but on Linux.

    The kernel keeps the peak (VmHWM) since it was last cleared: proc(5), clear_refs.
    """
    clear = Path("/proc/self/clear_refs")
    try:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before must not serve the call
        clear.write_text("5")
    except (OSError, AttributeError):
        return None
    before = status("VmRSS")
    call()
    return max(status("VmHWM") - before, 0)


def status(field: str) -> int:
    """Return the bytes of a field of this process: proc(5)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024
