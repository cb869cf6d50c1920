"""Plot of the confusion matrix."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pointmcd.typing import Indices

#: Up to this many classes, counts are written into the cells.
_COUNTS_UP_TO = 30


def confusion_figure(confusion: Indices, classes: Sequence[str], title: str) -> Figure:
    """Draw counts [K, K] of shapes by true class (row) and predicted class (column).

    Each row's colours are shares of that true class. The figure has no window; write it with
    `figure.savefig(path, dpi=150)`.
    """
    count = len(classes)
    side = min(3.5 + 0.28 * count, 12)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
    names = [readable(name) for name in classes]
    size = 9 if count <= _COUNTS_UP_TO else 6
    axes.set_xticks(range(count), names, rotation=90, fontsize=size)
    axes.set_yticks(range(count), names, fontsize=size)
    axes.set(xlabel="predicted class", ylabel="true class", title=title)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, label="% of the true class", shrink=0.6, aspect=35)
    if count <= _COUNTS_UP_TO:
        for row, column in zip(*np.nonzero(confusion), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            number = str(confusion[row, column])
            axes.text(
                column, row, number, ha="center", va="center", color=colour, fontsize=size - 2
            )
    return figure


def readable(name: str) -> str:
    """A class name as text in a figure: no underscores, and no dollar starts a formula."""
    return name.replace("_", " ").replace("$", r"\$")
