"""The score over the number of labelled shapes, one line per variant."""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from pointmcd.evaluation.comparison_table import Comparison
from pointmcd.plots.style import tidy, variant_colours
from pointmcd.tasks.results import Variant

#: Labelled train shapes, mean score, and its deviation over seeds (NaN with one).
_Point = tuple[float, float, float]


def learning_curve_figure(comparison: Comparison) -> Figure | None:
    """Mean and std over seeds by number of labels; None if all variants know as many.

    Variants, and teachers, that differ in nothing but the labels that they know make one line.
    """
    variants = [*comparison.all_variants, *(teacher for teacher, _ in comparison.teachers)]
    if len({tuple(variant.results[0].known_labels.values()) for variant in variants}) < 2:
        return None
    lines = _lines(variants)
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for label, colour in variant_colours(lines).items():
        shapes, means, deviations = np.array(sorted(lines[label])).T
        axes.plot(shapes, 100 * means, color=colour, label=label, marker="o", linewidth=1.8)
        # Bars, not a band: that would narrow to nothing where one seed says nothing of a spread.
        axes.errorbar(shapes, 100 * means, 100 * deviations, fmt="none", ecolor=colour, capsize=4)
    axes.set_xscale("log")
    ticks = sorted({shapes for points in lines.values() for shapes, *_ in points})
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.set_xlabel("labelled train shapes")
    axes.set_ylabel(f"{comparison.task.wording.score}, % (mean; bars: ± std over seeds)")
    axes.legend(frameon=False)
    return tidy(figure)


def _lines(variants: Sequence[Variant]) -> dict[str, list[_Point]]:
    """The points of each line, by the variants' names without what they know of the labels."""
    lines: dict[str, list[_Point]] = defaultdict(list)
    for variant in variants:
        name = variant.label
        for key, value in variant.results[0].known_labels.items():
            known = f"{key} {value}"
            for text in (f", {known}", f"{known}, ", f" ({known})"):
                name = name.replace(text, "")
        shapes = [r.info["shapes"]["train"] for r in variant.results if "shapes" in r.info]
        if shapes:
            spread = variant.score
            lines[name].append(
                (
                    float(np.mean(shapes)),
                    spread.mean,
                    math.nan if spread.std is None else spread.std,
                )
            )
    return lines
