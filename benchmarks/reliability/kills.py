"""Works that are killed at random moments until they end, beside one that was left in peace."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.reliability.works import Work, content, import_all, start

#: A child is killed within this share of the time of a whole work, and a share more for each kill
#: that the work has had: in the end it outlives the kill.
_FIRST, _MORE, _MOST = 0.4, 0.1, 1.5
_HANGING = 300.0


def calm(work: Work, told: Path) -> tuple[dict[str, str], float]:
    """Do a work in peace, twice; return the files that it leaves, and the seconds that it takes."""
    found = []
    for _ in range(2):  # the first one waits for what the file system is slow to give
        work.fresh()
        began = time.monotonic()
        child = start(work, told)
        if child.wait(_HANGING):
            raise RuntimeError(f"{work.name} fails in peace: {child.text}")
        seconds = time.monotonic() - began
        found.append(content(work.here))
        import_all(told)
    if found[0] != found[1]:
        raise RuntimeError(f"{work.name} differs from itself")
    return found[0], seconds


def kill_runs(work: Work, kills: int, seed: int, told: Path) -> Iterator[dict[str, object]]:
    """Yield one record per work that was killed and begun again until it ended by itself."""
    expected, seconds = calm(work, told)
    chance, struck = random.Random(seed), 0
    while struck < kills:
        work.fresh()
        record: dict[str, object] = {"kills": 0, "moments": [], "faults": []}
        while _killed(work, record, seconds, chance, told):
            pass
        found = content(work.here)
        names = sorted(found.keys() | expected.keys())
        record["differing"] = [n for n in names if found.get(n) != expected.get(n)]
        struck += int(str(record["kills"]))
        yield record


def _killed(work: Work, record: dict, seconds: float, chance: random.Random, told: Path) -> bool:
    """Begin once and kill at a random moment; return whether that came before the end."""
    share = chance.uniform(0, min(_FIRST + _MORE * record["kills"], _MOST))
    child = start(work, told)
    if record["kills"] >= 30:
        share = _HANGING
    end = time.monotonic() + share * seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if pid:
            if status:
                record["faults"].append(child.text or f"status {status}")
            return bool(status) and len(record["faults"]) < 5
        time.sleep(0.001)
    os.killpg(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)
    record["kills"] += 1
    record["moments"].append(round(share, 3))
    return True
