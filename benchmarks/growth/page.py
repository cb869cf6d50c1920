"""The page of the growth study, and its tables written into another document."""

import re
from collections.abc import Mapping, Sequence

from benchmarks.growth import loading, memory
from benchmarks.growth.curve import Curve
from benchmarks.growth.memory import Epoch
from benchmarks.growth.plan import Costs, plan_table, unit_table
from benchmarks.growth.units import POINTS
from benchmarks.shared.page import machine, table
from pointmcd.views.rig import get_rig

MEGABYTE = 1e6


def quoted(text: str, tables: Mapping[str, str]) -> str:
    """Return a document with what is between `<!-- NAME -->` and `<!-- end -->` replaced."""
    for name, lines in tables.items():
        new = f"<!-- {name} -->\n{lines}\n<!-- end -->"
        text = re.sub(f"<!-- {name} -->.*?<!-- end -->", lambda _, new=new: new, text, flags=re.S)
    return text


def page(
    curves: Sequence[Curve], costs: Costs, epoch: Epoch, seconds: float, load: float
) -> list[str]:
    """Return the page, paragraph by paragraph."""
    rig = get_rig("ring12")
    return [
        "# Growth",
        f"Written by `python -m benchmarks.growth` in {seconds / 60:.1f} minutes, load average"
        f" {load:.1f} at the start. {machine()} Seconds are those of one processor thread"
        " (`time.process_time`), median of a few after one that does not count; on the clock where"
        " it says so. The exponent is the slope of the line through the logarithms, all sizes"
        " alike; its word goes by the three largest sizes, where what does not grow weighs least.",
        "![Cost against size on logarithmic axes; resident memory over an epoch](growth.png)",
        "## Curves",
        curve_table(curves),
        f"Loading: three files a shard, {loading.SHARD_SIZE} shapes each. Where more shards are"
        " drawn from than maps are kept, files are opened anew.",
        "## Unit costs",
        f"Seconds and bytes of {costs.units.shapes} shapes of the embedded furniture are means"
        f" ({costs.units.faces:,.0f} faces, {POINTS:,} points, {len(rig)} views of"
        f" {rig.size} x {rig.size}): all of `prepare`, and of `teach` the features of the views"
        " and the heads' training; the rest is from the curves. Loading is without augmentation.",
        unit_table(costs),
        "## Projection",
        "Unit cost times number of shapes; nothing here was run at that size but store.json.",
        plan_table(costs),
        "## Memory",
        memory_section(epoch),
    ]


def curve_table(curves: Sequence[Curve]) -> str:
    """Return a table with a row a curve, its ends alone."""
    rows = []
    for curve in curves:
        (first, least), (last, most) = (list(curve.seconds.items())[i] for i in (0, -1))
        clock = " (clock)" if curve.clock == "wall" else ""
        ends = f"{first:,} to {last:,}", f"{least:.3g}", f"{most:.3g}"
        exponents = f"{curve.exponent:.2f}", f"{curve.last_exponent:.2f}"
        rows.append([f"{curve.cost}{clock}", curve.against, *ends, *exponents, growth(curve)])
    head = ["cost", "against", "from, to", "s", "s", "exponent", "at the end", "growth"]
    return table(head, rows, left=2)


def growth(curve: Curve) -> str:
    """Return the growth in a word; for workers, how many times faster."""
    if curve.against != "workers":
        return curve.growth
    seconds = list(curve.seconds.values())
    return f"{seconds[0] / seconds[-1]:.2f} times faster"


def memory_section(epoch: Epoch) -> str:
    """Return how memory was limited and measured, and the peaks."""
    data, files = (f"{limit / 2**20:.0f} MiB" for limit in epoch.limits)
    return (
        f"An epoch of PointNet with distillation, on the CPU, on {epoch.shapes:,} random shapes of"
        f" {memory.POINTS:,} points, 64 of them drawn in a step: every epoch reads all that is"
        f" stored of a train shape. Above what the imports took, the process may have {data} of"
        f" data segments (RLIMIT_DATA) and {files} of pages of files: looked at ten times a"
        " second, and given back to the system when passed (MADV_PAGEOUT), as a system with little"
        f" memory does by itself; {epoch.given_back} times.\n\n{memory_table(epoch)}"
    )


def memory_table(epoch: Epoch) -> str:
    """Return the peaks of the epoch's samples."""
    quarters = {"2nd quarter": (0.25, 0.5), "3rd": (0.5, 0.75), "4th": (0.75, 1)}
    rows = {
        "the store": epoch.store,
        "anonymous, after the imports": epoch.imports[0],
        **{f"anonymous, {name}": epoch.peak(1, *ends) for name, ends in quarters.items()},
        "pages of files, after the imports": epoch.imports[1],
        "pages of files, whole run": epoch.peak(2),
    }
    megabytes = [(name, f"{size / MEGABYTE:,.0f}") for name, size in rows.items()]
    return table(["peak of resident memory", "MB"], megabytes)
