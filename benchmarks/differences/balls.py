"""How many balls hold more points than are taken: only there does the order of the points matter.

    python -m benchmarks.differences.balls NAME=STORE...

counts them over 100 test shapes of prepared stores, for CurveNet and PointNet++ at 256, 512 and
1,024 points, and writes a section of benchmarks/differences/README.md. No weight plays a part.
"""

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.differences.__main__ import HEAD, PAGE
from benchmarks.shared.page import sections, table, write
from pointmcd.data.store import Store
from pointmcd.ops.ball_query import ball_group
from pointmcd.students import curvenet, pointnet2
from pointmcd.students.registry import create_student
from pointmcd.typing import Indices

STUDENTS, POINTS = ("curvenet", "pointnet2"), (256, 512, 1024)
SHAPES, BATCH = 100, 10


class Counter:
    """Takes the place of `ball_group`, and counts the balls of each kind."""

    def __init__(self) -> None:
        self.full: dict[tuple[float, int], list[float]] = {}

    def __call__(self, centres: Tensor, points: Tensor, radius: float, k: int) -> Tensor:
        """As `ball_group`."""
        members = (torch.cdist(centres, points) <= radius).sum(dim=2)
        self.full.setdefault((radius, k), []).append(float((members > k).float().mean()))
        return ball_group(centres, points, radius, k)


def some(store: Store) -> Indices:
    """Return test shapes, evenly over the store."""
    test = store.indices("test")
    return test[:: max(len(test) // SHAPES, 1)][:SHAPES]


def counted(store: Store, student: str, points: int) -> Iterator[list[object]]:
    """Yield, for each kind of ball, the share of those that hold more than k points."""
    counter, test = Counter(), some(store)
    with ExitStack() as stack:
        for module in (curvenet, pointnet2):
            stack.enter_context(patch.object(module, "ball_group", counter))
        model = create_student(student).eval()
        with torch.no_grad():
            for start in range(0, len(test), BATCH):
                model(torch.from_numpy(store.points(test[start : start + BATCH], points)))
    for (radius, k), shares in counter.full.items():
        yield [student, points, f"{radius:g}", k, f"{sum(shares) / len(shares):.1%}"]


def main() -> None:
    """Count, and write the section."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("stores", metavar="NAME=STORE", nargs="+")
    own = ["## Balls with more points than are taken"]
    own.append(
        "`python -m benchmarks.differences.balls NAME=STORE...`, over test shapes. Where a ball"
        " holds no more than k points all are taken, whatever their order."
    )
    for name, path in (given.split("=", 1) for given in options.parse_args().stores):
        store = Store(path)
        rows = (row for s in STUDENTS for count in POINTS for row in counted(store, s, count))
        own.append(f"{name}, {len(some(store))} shapes:")
        own.append(table(["student", "points", "radius", "k", "of all balls"], rows))
    write(PAGE, [*HEAD, *sections(PAGE, own)])


if __name__ == "__main__":
    main()
