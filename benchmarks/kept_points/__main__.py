"""What it costs to distil PointNet++ at all points rather than at those that it keeps.

    python -m benchmarks.kept_points

One thread, both sides interleaved in one process, median of repeats: a step of student, VAFP and
loss, forward and backward. Writes benchmarks/kept_points/README.md. What it gains is measured by
`python -m benchmarks.psb25 SOURCE WORK --students pointnet2 pointnet2-propagated`.
"""

import statistics
import time
from pathlib import Path

import torch

from pointmcd import ViewDistillation, create_student

RESULTS = Path(__file__).with_name("README.md")
BATCH, POINTS, VIEWS, REPEATS = 16, (512, 1024), 12, 7
NAMES = ("pointnet2", "pointnet2-propagated")


def step(student: torch.nn.Module, branch: ViewDistillation, points: torch.Tensor) -> float:
    """Seconds of one step; half of the points are visible in a view."""
    visibility = torch.rand(*points.shape[:2], VIEWS) < 0.5
    targets = torch.rand(len(points), VIEWS, 512)
    start = time.perf_counter()
    loss = branch.distance(branch(student(points), visibility), targets)
    loss.backward()
    return time.perf_counter() - start


def main() -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    lines = [
        "# PointNet++: embeddings at kept points or carried to all points",
        "",
        f"Written by `python -m benchmarks.kept_points`: a distilled step, batch {BATCH}, {VIEWS}"
        f" views, one thread, interleaved, median of {REPEATS}.",
        "",
        "| points | kept, seconds | all, seconds | ratio |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for count in POINTS:
        points = torch.randn(BATCH, count, 3)
        points /= points.norm(dim=2).amax(dim=1)[:, None, None]
        sides = [(create_student(name), ViewDistillation(1024)) for name in NAMES]
        times = [[step(*side, points) for side in sides] for _ in range(REPEATS + 1)][1:]
        kept, everywhere = (statistics.median(column) for column in zip(*times, strict=True))
        lines.append(f"| {count} | {kept:.2f} | {everywhere:.2f} | {everywhere / kept:.2f} |")
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
