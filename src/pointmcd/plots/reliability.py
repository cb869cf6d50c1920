"""Plot of confidence against accuracy."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from pointmcd.plots.style import tidy
from pointmcd.typing import Bools, Doubles

#: Bins of equally many shapes, and the fewest shapes that one should hold.
_BINS, _FEWEST = 10, 12


def reliability_figure(
    said: Mapping[str, tuple[Doubles, Bools]], colours: Mapping[str, str]
) -> Figure:
    """Draw, for each variant, how often it is right where it is so sure (a reliability diagram).

    DeGroot and Fienberg, The Statistician 32 (1983); its bins hold equally many shapes.

    Args:
        said: confidences [n] from 0 to 1 and whether the class was right [n], by variant.
        colours: of the variants.
    """
    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 100], [0, 100], color="#9aa3ad", linewidth=1.2, linestyle="--")
    for label, (confidence, right) in said.items():
        order = np.argsort(confidence, kind="stable")
        bins = np.array_split(order, max(1, min(_BINS, len(order) // _FEWEST)))
        places = [(100 * confidence[one].mean(), 100 * right[one].mean()) for one in bins]
        axes.plot(
            *zip(*places, strict=True), "o-", color=colours[label], label=label, clip_on=False
        )
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    axes.set(xlabel="confidence, %", ylabel="right, % of the shapes of that confidence")
    axes.legend(frameon=False, loc="upper left")
    return tidy(figure)
