"""Figures of the gain over the baseline: for each class, and overall with its interval."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from pointmcd.evaluation.comparison_table import Difference
from pointmcd.plots.confusion import readable
from pointmcd.plots.style import GAIN, LOSS, tidy
from pointmcd.tasks.task import Wording


def gains_figure(
    difference: Difference, counts: Mapping[str, int], limits: tuple[float, float], wording: Wording
) -> Figure:
    """Bars of the difference in the score of each class, greatest gain on top.

    Args:
        difference: a variant against the baseline.
        counts: number of shapes of each class.
        limits: lowest and highest gain to show (fractions), so that figures of several variants can
            have one scale.
        wording: what the task calls its metrics.
    """
    known = {name: gain for name, gain in difference.per_class.items() if gain is not None}
    names = sorted(known, key=lambda name: (known[name], name))
    points = 100 * np.array([known[name] for name in names])
    figure = Figure(figsize=(7.5, 1.2 + 0.27 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(range(len(names)), points, color=[GAIN if p >= 0 else LOSS for p in points])
    axes.axvline(0, color="#333333", linewidth=1)
    texts = [f"{readable(name)} ({counts[name]})" for name in names]
    axes.set_yticks(range(len(names)), texts, fontsize=9)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlim(105 * min(limits[0], 0), 105 * max(limits[1], 0))
    axes.set_xlabel(f"gain in {wording.short}, points (in brackets: shapes)")
    return tidy(figure, "x")


def differences_figure(
    differences: Sequence[Difference], baseline: str, colours: Mapping[str, str], wording: Wording
) -> Figure:
    """Each variant's difference in the main metric with its 95% interval, around zero."""
    figure = Figure(figsize=(7.5, 1.0 + 0.42 * len(differences)), layout="constrained")
    axes = figure.add_subplot()
    for row, difference in enumerate(differences):
        interval, colour = difference.overall, colours[difference.variant]
        axes.plot([100 * interval.low, 100 * interval.high], [row, row], color=colour, linewidth=3)
        axes.plot([100 * interval.mean], [row], "o", color=colour, markersize=9)
    axes.axvline(0, color=colours[baseline], linewidth=1.5)
    axes.set_yticks(range(len(differences)), [difference.variant for difference in differences])
    axes.set_ylim(len(differences) - 0.4, -0.6)
    axes.set_xlabel(f"difference to {baseline}, points of {wording.score} (95% interval)")
    return tidy(figure, "x")
