"""The cost of distilling PointNet++ at all points rather than at those that it keeps.

    python -m benchmarks.kept_points

One thread, both sides interleaved in one process, median of repeats: a step of student, VAFP and
loss, forward and backward. Writes benchmarks/kept_points/README.md. What it gains is measured by
`python -m benchmarks.psb25 SOURCE WORK --students pointnet2 pointnet2-propagated`.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.shared.page import machine, table, write
from benchmarks.shared.race import Lap, Race, run
from pointmcd import ViewProjection, create_student

PAGE = Path(__file__).with_name("README.md")
BATCH, POINTS, VIEWS, REPEATS = 16, (512, 1024), 12, 7


def step(student: torch.nn.Module, projection: ViewProjection, points: Tensor) -> None:
    """Go forward and backward once; half of the points are visible in a view."""
    visibility = torch.rand(*points.shape[:2], VIEWS) < 0.5
    targets = torch.rand(len(points), VIEWS, 512)
    F.l1_loss(projection(student(points), visibility), targets).backward()


def lap(count: int, batch: int = BATCH, repeats: int = REPEATS) -> Lap:
    """Time steps at all points beside steps at kept ones."""
    points = torch.randn(batch, count, 3)
    points /= points.norm(dim=2).amax(dim=1)[:, None, None]
    kept, everywhere = (
        partial(step, create_student(name), ViewProjection(1024), points)
        for name in ("pointnet2", "pointnet2-propagated")
    )
    return run(Race(f"{count} points", everywhere, {"kept": kept}, {}, repeats))[0]


def page(laps: Sequence[Lap]) -> list[str]:
    """Return the page, paragraph by paragraph."""
    rows = [
        [lap.part, f"{lap.ours:.2f}", f"{lap.yardstick:.2f}", f"{lap.ratio:.2f}"] for lap in laps
    ]
    return [
        "# PointNet++: embeddings at kept points or carried to all points",
        f"Written by `python -m benchmarks.kept_points`: a distilled step, batch {BATCH}, {VIEWS}"
        f" views, one thread, interleaved, median of {REPEATS}, seconds of processor time.",
        machine(),
        table(["a step at", "kept points, s", "all points, s", "ratio"], rows),
    ]


def main() -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    write(PAGE, page([lap(count) for count in POINTS]))


if __name__ == "__main__":
    main()
