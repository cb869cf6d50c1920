"""Growth of cost with size, the needs of large collections, the memory of an epoch.

    python -m benchmarks.growth

One thread, processor seconds, median of a few; writes benchmarks/growth/README.md and growth.png
beside it, and its tables of unit costs, plan and memory into docs/scale.md.
"""

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.growth import loading, memory, preparing, training
from benchmarks.growth.curve import Curve
from benchmarks.growth.figure import draw
from benchmarks.growth.page import memory_section, page, quoted
from benchmarks.growth.plan import Costs, plan_table, unit_table
from benchmarks.growth.units import Units, measure_units
from benchmarks.shared.page import ROOT, write
from pointmcd.datasets.folder import list_shapes, load_shape

PAGE = Path(__file__).with_name("README.md")
SCALE = ROOT / "docs" / "scale.md"
FURNITURE = 32


def main() -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    start, load = time.perf_counter(), os.getloadavg()[0]
    with TemporaryDirectory() as folder:
        work = Path(folder)
        curves, costs = measure(work)
        epoch = memory.measure_epoch(work)
    draw(PAGE.with_name("growth.png"), curves, epoch)
    write(PAGE, page(curves, costs, epoch, time.perf_counter() - start, load))
    tables = {
        "units": unit_table(costs),
        "plan": plan_table(costs),
        "memory": memory_section(epoch),
    }
    SCALE.write_text(quoted(SCALE.read_text(encoding="utf-8"), tables), encoding="utf-8")


def measure(work: Path) -> tuple[list[Curve], Costs]:
    """Return all curves, and the unit costs among them."""
    steps = training.steps()
    of_shape = list(preparing.of_shape(work))
    source = preparing.some_furniture(work / "furniture", FURNITURE)
    workers = preparing.workers(source, work)
    units = real_units(source, work)
    shards = loading.of_shards(work)
    (opening, listing), (splitting, _) = loading.of_shapes(work)
    curves = [*training.projection(), *steps, *of_shape, workers]
    curves += [preparing.features(), shards, opening, splitting]
    per_load = list(shards.seconds.values())
    names = training.STEP_POINTS
    costs = Costs(
        units,
        by_faces=of_shape[0].seconds,
        step={n: c.seconds[1024] / training.STEP_BATCH for n, c in zip(names, steps, strict=True)},
        load=(per_load[0], per_load[-1]),
        open=opening.seconds,
        listing=listing,
        memory=loading.memory_of_opening(work),
    )
    return curves, costs


def real_units(source: Path, work: Path) -> Units:
    """Return the unit costs of the furniture that was unpacked."""
    faces = [len(load_shape(shape).faces) for shape in list_shapes(source)]
    return measure_units(source, work, len(faces), float(np.mean(faces)))


if __name__ == "__main__":
    main()
