"""Agreement of hidden point removal with exact visibility, and of clouds' views with meshes'.

    python -m benchmarks.hidden_points [--rows ROWS.json]

One thread, about 11 minutes, on the embedded furniture10: `measured_radius`, and a rule fitted anew
on one train shape of each class, are judged on one test shape of each. Writes
benchmarks/hidden_points/README.md and its figure. With --rows what was measured is kept in, or
taken from, that file.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.hidden_points.cloud_views import cloud_tables, uniform
from benchmarks.hidden_points.figure import draw
from benchmarks.hidden_points.page import NOISE, RADII, Row, page
from benchmarks.shared.page import write
from pointmcd.datasets.folder import list_shapes, load_shape
from pointmcd.datasets.furniture import furniture10
from pointmcd.ops.farthest_points import farthest_points
from pointmcd.shapes.mesh import Mesh
from pointmcd.views.hidden_points import hidden_point_removal, measured_radius
from pointmcd.views.neighbourhoods import roughness
from pointmcd.views.raycast import Raycaster, visible_points
from pointmcd.views.rig import get_rig

PAGE = Path(__file__).with_name("README.md")
#: Points of a cloud, and from how many of ring12's cameras they are judged: other ones per shape.
VIEWS = {1000: 3, 2000: 3, 5000: 3, 10_000: 2, 30_000: 1, 100_000: 1}
KEPT = 2048


def meshes(split: str) -> Iterator[Mesh]:
    """Yield one mesh of each class: the first of train, the last of test."""
    shapes = [shape for shape in list_shapes(furniture10()) if shape.split == split]
    for label in sorted({str(shape.label) for shape in shapes}):
        of_class = [shape for shape in shapes if shape.label == label]
        yield load_shape(of_class[0 if split == "train" else -1])


def agreement(seen: npt.NDArray[np.bool_], exact: npt.NDArray[np.bool_]) -> list[float]:
    """Return IoU, precision and recall of points [N, V] called visible."""
    both = float((seen & exact).sum())
    sums = (float((seen | exact).sum()), float(seen.sum()), float(exact.sum()))
    return [both / max(total, 1.0) for total in sums]


def measure(mesh: Mesh, number: int, half: str) -> Iterator[Row]:
    """Yield how removal does on clouds of one mesh at every density, noise and radius."""
    rig, ring = get_rig("ring12"), get_rig("ring12").cameras
    cameras = tuple(ring[(5 * number + 4 * turn) % 12] for turn in range(3))
    caster = Raycaster(mesh, replace(rig, cameras=cameras))
    points, face = uniform(mesh, max(VIEWS))
    exact, random = visible_points(caster, points, face), np.random.default_rng(number)
    directions = random.normal(size=points.shape)
    kept = farthest_points(points, KEPT)
    for noise in NOISE:
        placed = caster.framing.apply(points + noise * directions)
        for count, views in VIEWS.items():
            cloud, truth = placed[:count], exact[:count, :views]
            eyes = caster.rig.frames.position[:views]
            by = [agreement(hidden_point_removal(cloud, eyes, r), truth) for r in RADII]
            row = {"half": half, "points": count, "noise": noise, "rough": roughness(cloud)}
            row |= {"by_radius": by, "radius": measured_radius(cloud)}
            yield row | {"rule": agreement(hidden_point_removal(cloud, eyes), truth)}
        if half == "test":
            eyes = caster.rig.frames.position
            dense, alone = hidden_point_removal(placed, eyes), placed[kept]
            row = {"half": "kept", "noise": noise, "dense": agreement(dense[kept], exact[kept])}
            by = [agreement(hidden_point_removal(alone, eyes, r), exact[kept]) for r in RADII]
            row |= {"rule": agreement(hidden_point_removal(alone, eyes), exact[kept])}
            yield row | {"by_radius": by}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, help="file that keeps what was measured")
    rows: Path | None = parser.parse_args().rows
    if rows is not None and rows.exists():
        found = json.loads(rows.read_text(encoding="utf-8"))
    else:
        removal = [
            row
            for half in ("train", "test")
            for number, mesh in enumerate(meshes(half))
            for row in measure(mesh, number, half)
        ]
        found = {"removal": removal, "views": cloud_tables(list(meshes("test")))}
        if rows is not None:
            rows.write_text(json.dumps(found), encoding="utf-8")
    draw(
        [row for row in found["removal"] if row["half"] == "test"],
        RADII,
        PAGE.with_name("hidden_points.png"),
    )
    write(PAGE, page(found))


if __name__ == "__main__":
    main()
