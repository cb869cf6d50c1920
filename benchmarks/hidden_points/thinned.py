"""How many points of a large cloud hidden point removal needs.

    python -m benchmarks.hidden_points.thinned

One thread, about 8 minutes, on five test shapes of the embedded furniture10, each seen by two
cameras. Writes benchmarks/hidden_points/thinned.md.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import numpy.typing as npt

from benchmarks.hidden_points.__main__ import KEPT, agreement, meshes
from benchmarks.hidden_points.cloud_views import uniform
from benchmarks.shared.page import machine, table, write
from pointmcd.ops.farthest_points import farthest_points
from pointmcd.shapes.mesh import Mesh
from pointmcd.views.hidden_points import hidden_point_removal
from pointmcd.views.raycast import Raycaster, visible_points
from pointmcd.views.rig import get_rig

PAGE = Path(__file__).with_name("thinned.md")
ALL, COUNTS = 400_000, (10_000, 20_000, 30_000, 50_000, 100_000)
NOISE = (0.0, 0.005, 0.01)

#: Noise, number of points, and the way in which they were chosen.
Cell = tuple[float, int, str]


def measure(mesh: Mesh, number: int) -> Iterator[tuple[Cell, list[float]]]:
    """Yield IoU, precision and recall on the points that are kept, and seconds, per choice."""
    rig = get_rig("ring12")
    cameras = tuple(rig.cameras[(5 * number + 4 * turn) % 12] for turn in range(2))
    caster = Raycaster(mesh, replace(rig, cameras=cameras))
    points, face = uniform(mesh, ALL)
    exact, chance = visible_points(caster, points, face), np.random.default_rng(number)
    directions = chance.normal(size=points.shape)
    for noise in NOISE:
        placed = caster.framing.apply(points + noise * directions)
        order = farthest_points(placed.astype(np.float32), max(COUNTS))
        kept, drawn = order[:KEPT], chance.permutation(ALL)
        choices: dict[tuple[int, str], npt.NDArray[np.int64]] = {(ALL, "all"): np.arange(ALL)}
        for count in COUNTS:
            choices[count, "farthest first"] = order[:count]
            choices[count, "by chance"] = np.union1d(kept, drawn[: count - KEPT])
        for (count, way), chosen in choices.items():
            began = process_time()
            seen = np.zeros(exact.shape, dtype=bool)
            seen[chosen] = hidden_point_removal(placed[chosen], caster.rig.frames.position)
            seconds = (process_time() - began) / len(cameras)
            yield (noise, count, way), [*agreement(seen[kept], exact[kept]), seconds]


def page(found: dict[Cell, list[list[float]]]) -> list[str]:
    """Return the page, paragraph by paragraph."""
    rows = []
    for (noise, count, way), values in sorted(found.items(), key=lambda c: (c[0][0], *c[0][:0:-1])):
        iou, precision, recall, seconds = np.mean(values, axis=0)
        marks = f"{iou:.3f} / {precision:.3f} / {recall:.3f}"
        rows.append([f"{noise:.1%}", way, f"{count:,}", marks, f"{seconds:.2f}"])
    return [
        "# How many points hidden point removal needs",
        f"Written by `python -m benchmarks.hidden_points.thinned`: five shapes of {ALL:,} points,"
        " drawn by chance; removal works on fewer, with the radius of their number and noise, and"
        f" is judged against ray-casting on the {KEPT:,} points, farthest first, that a store"
        " keeps and that are always among the fewer. Seconds of processor time for one view.",
        machine(),
        table(["noise", "chosen", "points", "IoU / precision / recall", "s a view"], rows),
        "Farthest first prefers what noise has moved farthest. Of noisy clouds 20,000 points by"
        " chance serve as well as all; of clean ones more points go on to help, at a growing cost."
        " `prepare` takes 30,000 by chance beside those that it keeps (`MAX_POINTS`).",
    ]


def main() -> None:
    """Measure and write."""
    found: dict[Cell, list[list[float]]] = {}
    for number, mesh in enumerate(list(meshes("test"))[::2]):
        for cell, values in measure(mesh, number):
            found.setdefault(cell, []).append(values)
    write(PAGE, page(found))


if __name__ == "__main__":
    main()
