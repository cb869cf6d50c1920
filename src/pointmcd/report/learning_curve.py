"""The score over the number of labelled shapes, one line per arm."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from pointmcd.evaluation.arms import Arm
from pointmcd.plots.style import arm_colours, tidy

#: Labelled train shapes, mean score, and its deviation over seeds (0 with one).
_Point = tuple[float, float, float]


def learning_curve_figure(arms: Sequence[Arm]) -> Figure | None:
    """Mean and deviation over seeds by number of labels; None where all arms have one share.

    Args:
        arms: of any shares of the labels; those that differ in nothing else make one line.
    """
    if len({arm.results[0].config.get("label_fraction", 1.0) for arm in arms}) < 2:
        return None
    lines = _lines(arms)
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for label, colour in arm_colours(lines).items():
        shapes, means, deviations = np.array(sorted(lines[label])).T
        axes.plot(shapes, 100 * means, color=colour, label=label, marker="o", linewidth=1.8)
        low, high = 100 * (means - deviations), 100 * (means + deviations)
        axes.fill_between(shapes, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(_ticks(lines)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.set_xlabel("labelled train shapes")
    axes.set_ylabel(f"{arms[0].measure.score}, % (mean ± deviation over seeds)")
    axes.legend(frameon=False)
    return tidy(figure)


def _lines(arms: Sequence[Arm]) -> dict[str, list[_Point]]:
    lines: dict[str, list[_Point]] = defaultdict(list)
    for arm in arms:
        score = arm.score
        shapes = [r.info["shapes"]["train"] for r in arm.results if "shapes" in r.info]
        if shapes:
            point = (float(np.mean(shapes)), score.mean, score.std or 0.0)
            lines[_name(arm)].append(point)
    return dict(lines)


def _name(arm: Arm) -> str:
    """The arm's label without its share of the labels."""
    share = f"label_fraction {arm.results[0].config.get('label_fraction', 1.0)}"
    return arm.label.replace(f", {share}", "").replace(f"{share}, ", "").replace(f" ({share})", "")


def _ticks(lines: dict[str, list[_Point]]) -> list[float]:
    return sorted({shapes for points in lines.values() for shapes, *_ in points})
