"""How cost grows, what large collections would need, and how much memory an epoch takes.

    python -m benchmarks.growth

One thread, processor seconds, median of a few; writes benchmarks/growth/README.md and
growth.png beside it, and its tables of unit costs, plan and memory into docs/scale.md.
"""

import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks.growth import loading, memory, preparing, training
from benchmarks.growth.curve import Curve
from benchmarks.growth.figure import draw
from benchmarks.growth.memory import Epoch
from benchmarks.growth.plan import Costs, plan_table, table, unit_table
from benchmarks.growth.units import Units, measure_units
from pointmcd.datasets.folder import list_shapes, load_shape

RESULTS = Path(__file__).parent
SCALE = Path(__file__).parents[2] / "docs" / "scale.md"
FURNITURE = 32


def main() -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    start, load = time.perf_counter(), os.getloadavg()[0]
    with TemporaryDirectory() as folder:
        work = Path(folder)
        curves, costs = measure(work)
        epoch = memory.measure_epoch(work)
    draw(RESULTS / "growth.png", curves, epoch)
    lines = write(curves, costs, epoch, time.perf_counter() - start, load)
    (RESULTS / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tables = {"units": unit_table(costs), "plan": plan_table(costs), "memory": memory_lines(epoch)}
    SCALE.write_text(quoted(SCALE.read_text(encoding="utf-8"), tables), encoding="utf-8")


def measure(work: Path) -> tuple[list[Curve], Costs]:
    """All curves, and the unit costs among them."""
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


def quoted(text: str, tables: Mapping[str, Sequence[str]]) -> str:
    """A document with what stands between `<!-- NAME -->` and `<!-- end -->` written anew."""
    for name, lines in tables.items():
        new = "\n".join([f"<!-- {name} -->", *lines, "<!-- end -->"])
        text = re.sub(f"<!-- {name} -->.*?<!-- end -->", lambda _, new=new: new, text, flags=re.S)
    return text


def real_units(source: Path, work: Path) -> Units:
    """Of the furniture that was unpacked."""
    faces = [len(load_shape(shape).faces) for shape in list_shapes(source)]
    return measure_units(source, work, len(faces), float(np.mean(faces)))


def write(
    curves: Sequence[Curve], costs: Costs, epoch: Epoch, seconds: float, load: float
) -> list[str]:
    """The page, line by line."""
    machine = f"{os.cpu_count()} cores of {platform.machine()}, Linux, torch {torch.__version__}"
    return [
        "# Growth",
        "",
        f"Written by `python -m benchmarks.growth` in {seconds / 60:.1f} minutes on {machine},"
        f" shared with others (load average {load:.1f} at the start). Seconds are those of one"
        " processor thread (`time.process_time`), median of a few after one that does not count;"
        " on the clock where it says so. The exponent is the slope of the line through the"
        " logarithms, all sizes alike; its word goes by the three largest sizes, where what does"
        " not grow weighs least.",
        "",
        "![Cost against size on logarithmic axes; resident memory over an epoch](growth.png)",
        "",
        "## Curves",
        "",
        *curve_table(curves),
        "",
        f"Loading: three files a shard, {loading.SHARD_SIZE} shapes each. Where more shards are"
        " drawn from than maps are kept, files are opened anew.",
        "",
        "## Unit costs",
        "",
        f"Seconds and bytes of {costs.units.shapes} shapes of the embedded furniture are means"
        f" ({costs.units.faces:,.0f} faces, 2,048 points, 12 views of 224 x 224): all"
        " of `prepare`, and of `teach` the look at the views and the heads' training; the rest is"
        " from the curves. Loading is without augmentation.",
        "",
        *unit_table(costs),
        "",
        "## Plan",
        "",
        "Unit cost times number of shapes; nothing here was run at that size but store.json.",
        "",
        *plan_table(costs),
        "",
        "## Memory",
        "",
        *memory_lines(epoch),
    ]


def curve_table(curves: Sequence[Curve]) -> list[str]:
    """A row a curve, its ends alone."""
    rows = {}
    for curve in curves:
        (first, least), (last, most) = (list(curve.seconds.items())[i] for i in (0, -1))
        clock = " (clock)" if curve.clock == "wall" else ""
        ends = [f"{first:,} to {last:,}", f"{least:.3g}", f"{most:.3g}"]
        exponents = [f"{curve.exponent:.2f}", f"{curve.last_exponent:.2f}"]
        name = f"{curve.cost}{clock} | {curve.against}"
        rows[name] = [*ends, *exponents, growth(curve)]
    head = ["cost", "against", "from, to", "s", "s", "exponent", "at the end", "growth"]
    lines = table(head, rows)
    return [lines[0], "| --- | --- |" + " ---: |" * 5 + " --- |", *lines[2:]]


def growth(curve: Curve) -> str:
    """In a word; for workers, how much faster."""
    if curve.against != "workers":
        return curve.growth
    seconds = list(curve.seconds.values())
    return f"{seconds[0] / seconds[-1]:.2f} times faster"


def memory_lines(epoch: Epoch) -> list[str]:
    """What the epoch's samples say."""
    megabytes = 1e6
    limits = [f"{limit / 2**20:.0f} MiB" for limit in epoch.limits]
    peaks = {
        f"anonymous, {name}": [f"{epoch.peak(1, *part) / megabytes:,.0f}"]
        for name, part in {"2nd quarter": (0.25, 0.5), "3rd": (0.5, 0.75), "4th": (0.75, 1)}.items()
    }
    rows = {
        "the store": [f"{epoch.store / megabytes:,.0f}"],
        "anonymous, after the imports": [f"{epoch.imports[0] / megabytes:,.0f}"],
        **peaks,
        "pages of files, after the imports": [f"{epoch.imports[1] / megabytes:,.0f}"],
        "pages of files, whole run": [f"{epoch.peak(2) / megabytes:,.0f}"],
    }
    return [
        f"An epoch of PointNet with distillation on {epoch.shapes:,} random shapes of"
        f" {memory.POINTS:,} points, 64 of them drawn in a step: every epoch reads all that is"
        f" stored of a train shape. Above what the imports took, the process may have {limits[0]}"
        f" of data segments (RLIMIT_DATA) and {limits[1]} of pages of files: looked at ten times a"
        " second, and given back to the system when passed (MADV_PAGEOUT), as a system with little"
        f" memory does by itself; {epoch.given_back} times.",
        "",
        *table(["peak of resident memory", "MB"], rows),
    ]


if __name__ == "__main__":
    main()
