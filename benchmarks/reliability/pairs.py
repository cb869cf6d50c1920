"""Two processes that do one work in one place at the same time."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.reliability.disk import half_written
from benchmarks.reliability.kills import calm
from benchmarks.reliability.works import REFUSED, Work, content, start

_HANGING = 300.0


def pair_runs(work: Work, runs: int, seed: int, told: Path) -> Iterator[dict[str, object]]:
    """Yield one record per pair, the second begun at a random moment of the first."""
    expected, seconds = calm(work, told)
    chance = random.Random(seed)
    for _ in range(runs):
        work.fresh()
        first = start(work, told)
        time.sleep(chance.uniform(0, seconds) if chance.random() < 0.7 else 0)
        second = start(work, told.with_suffix(".second"))
        ends = [child.wait(_HANGING) for child in (first, second)]
        record: dict[str, object] = {"status": ends, "texts": [first.text, second.text]}
        found = content(work.here)
        names = sorted(found.keys() | expected.keys())
        record["differing"] = [n for n in names if found.get(n) != expected.get(n)]
        record["halves"] = list(half_written(work.here))
        record["fault"] = not set(ends) <= {0, REFUSED} or 0 not in ends
        yield record
