"""The figure of how far hidden point removal agrees with exact visibility, by radius."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from pointmcd.plots.style import tidy


def draw(rows: Sequence[Mapping[str, Any]], radii: Sequence[float], path: Path) -> None:
    """Draw IoU by radius, a panel per noise and a line per density; dots: what the rule reaches.

    Args:
        rows: with "noise", "points", "by_radius", "radius" and "rule", of any number of shapes.
        radii: the R of "by_radius".
        path: PNG to write.
    """
    noises = sorted({row["noise"] for row in rows})
    counts = sorted({row["points"] for row in rows})
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    panels = figure.subplots(1, len(noises), sharey=True)
    colours = colormaps["viridis"](np.linspace(0, 0.88, len(counts)))
    for axes, noise in zip(panels, noises, strict=True):
        for count, colour in zip(counts, colours, strict=True):
            cell = [row for row in rows if (row["noise"], row["points"]) == (noise, count)]
            iou = np.mean([row["by_radius"] for row in cell], axis=0)[:, 0]
            label = f"{count:,} points" if noise == noises[0] else None
            axes.plot(radii, iou, color=colour, linewidth=1.8, label=label)
            radius = float(np.median([row["radius"] for row in cell]))
            reached = float(np.mean([row["rule"][0] for row in cell]))
            axes.plot([radius], [reached], "o", color=colour, markeredgecolor="black")
        axes.set_xscale("log")
        axes.set_title(f"noise {noise:.1%} of the shape's radius", fontsize=11)
        axes.set_xlabel("R, in distances to the farthest point")
    panels[0].set_ylabel("IoU with exact visibility")
    panels[0].set_ylim(0, 1)
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=len(counts))
    tidy(figure)
    figure.savefig(path, dpi=110)
