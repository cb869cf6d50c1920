"""A figure of probe scores: one group of bars per data set, one bar per encoder."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pointmcd.plots.style import tidy
from pointmcd.probing.scores import ProbeRow

_COLOURS = ("#0072b2", "#56b4e9", "#b8bec7", "#e69f00")


def draw_probes(path: Path, groups: Mapping[str, Sequence[ProbeRow]], title: str) -> None:
    """Draw SVM accuracies with their standard deviation over seeds.

    Args:
        path: PNG to write.
        groups: rows by data set, the same encoders in each.
        title: above the bars.
    """
    figure = Figure(figsize=(8.5, 4.4), layout="constrained")
    axes = figure.add_subplot()
    rows = list(groups.values())
    width = 0.8 / len(rows[0])
    for number, row in enumerate(rows[0]):
        scores = [[100 * s.svm for s in group[number].scores] for group in rows]
        means = [float(np.mean(values)) for values in scores]
        spreads = [float(np.std(values, ddof=1)) if len(values) > 1 else 0.0 for values in scores]
        places = np.arange(len(rows)) + (number - (len(rows[0]) - 1) / 2) * width
        colour = _COLOURS[number % len(_COLOURS)]
        bars = axes.bar(places, means, 0.92 * width, yerr=spreads, color=colour, label=row.name)
        axes.bar_label(bars, [f"{mean:.1f}" for mean in means], fontsize=9, padding=2)
    axes.set_xticks(range(len(rows)), list(groups))
    axes.set_ylim(0, 105)
    axes.set_ylabel("linear SVM on frozen features, test accuracy, %")
    axes.set_title(title, fontsize=11)
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=2)
    tidy(figure)
    figure.savefig(path, dpi=130)
