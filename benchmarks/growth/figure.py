"""Growth as small multiples on logarithmic axes, and resident memory over an epoch below."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from benchmarks.growth.curve import Curve
from benchmarks.growth.memory import Epoch
from pointmcd.plots.style import tidy

COLUMNS = 4
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#b8bec7"
MB = 1e6


def draw(path: Path, curves: Sequence[Curve], epoch: Epoch) -> None:
    """One panel a curve; dashed: what would be linear."""
    rows = -(-len(curves) // COLUMNS)
    figure = Figure(figsize=(13, 2.7 * rows + 3.4), layout="constrained")
    grid = figure.add_gridspec(rows + 1, COLUMNS, height_ratios=[1] * rows + [1.2])
    for number, curve in enumerate(curves):
        _panel(figure.add_subplot(grid[number // COLUMNS, number % COLUMNS]), curve)
    memory = figure.add_subplot(grid[rows, :])
    _memory(memory, epoch)
    tidy(figure)
    figure.savefig(path, dpi=110)


def _panel(axes: Axes, curve: Curve) -> None:
    sizes, seconds = list(curve.seconds), list(curve.seconds.values())
    linear = [seconds[-1] * size / sizes[-1] for size in sizes]
    axes.loglog(sizes, linear, "--", color=GREY, linewidth=1.2)
    axes.loglog(sizes, seconds, "o-", color=BLUE, markersize=4)
    axes.set_xticks(sizes, [_short(size) for size in sizes])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", labelsize=7)
    axes.set_title("\n".join(textwrap.wrap(curve.cost, 34)), fontsize=9)
    axes.set_xlabel(f"{curve.against}, exponent {curve.exponent:.2f}", fontsize=9)
    axes.set_ylabel("seconds" + (" (clock)" if curve.clock == "wall" else ""), fontsize=8)


def _short(size: int) -> str:
    return f"{size / 1000:.0f}k" if size >= 10_000 else str(size)


def _memory(axes: Axes, epoch: Epoch) -> None:
    times, anonymous, files = zip(*epoch.samples, strict=True)
    axes.plot(times, [value / MB for value in files], color=GREY, linewidth=1, label="of files")
    axes.plot(times, [value / MB for value in anonymous], color=BLUE, label="anonymous")
    both = [(a + f) / MB for a, f in zip(anonymous, files, strict=True)]
    axes.plot(times, both, color=ORANGE, linewidth=1, label="all that is resident")
    axes.axhline(epoch.store / MB, linestyle="--", color="black", linewidth=1, label="the store")
    axes.set_yscale("log")
    axes.set_xlabel("seconds", fontsize=9)
    axes.set_ylabel("MB", fontsize=9)
    axes.set_title(
        f"Resident memory over an epoch of {epoch.shapes:,} shapes in {epoch.store / 1e9:.1f} GB",
        fontsize=10,
    )
    axes.legend(frameon=False, fontsize=8, ncols=4)
