"""Draw the test accuracy of psb25's runs, into docs/images.

python -m benchmarks.few_labels.figure WORK [--fraction 0.1]   # variants, seed by seed
python -m benchmarks.few_labels.figure WORK --curve            # over the number of labels
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.shared.page import ROOT
from pointmcd.files import read_json
from pointmcd.plots.style import tidy

PICTURE = ROOT / "docs" / "images" / "few-labels-psb25.png"
CURVE = PICTURE.with_name("few-labels-curve-psb25.png")
#: Rows of the figure from the top: the variant, its text, its colour.
ROWS = (
    ("baseline", "baseline: the labels alone", "#5f6672"),
    ("vafp", "projection of views (vafp)", "#0072b2"),
    ("logits", "class probabilities (logits)", "#0072b2"),
    ("logits-vafp", "both", "#0072b2"),
    ("teacher", "the teacher itself", "#d55e00"),
)

#: The same for the lines of the curve.
CURVES = (
    ("teacher", "the teacher itself", "#d55e00"),
    ("logits", "distilled: class probabilities of the teacher (logits)", "#0072b2"),
    ("baseline", "baseline: the labels alone", "#5f6672"),
)


def accuracies(work: Path, variant: str, fraction: float) -> list[float]:
    """Return the accuracy in percent of each seed's last epoch; the teacher's from `logits`."""
    run, entry = ("logits", "teacher") if variant == "teacher" else (variant, "last")
    files = sorted((work / "runs").glob(f"{run}-{fraction:g}-s*/test.json"))
    return [100 * read_json(file)[entry]["overall_accuracy"] for file in files]


def figure(work: Path, fraction: float) -> Figure:
    """Return the figure: a dot for each seed, a bar for the mean."""
    drawn = Figure(figsize=(7.5, 2.7), layout="constrained")
    axes = drawn.add_subplot()
    for row, (variant, _, colour) in enumerate(ROWS):
        values = accuracies(work, variant, fraction)
        axes.barh(row, np.mean(values), color=colour, alpha=0.3, height=0.62)
        axes.plot(values, [row] * len(values), "o", color=colour, markersize=5, alpha=0.8)
        axes.text(1, row, f"{np.mean(values):.1f}", va="center", fontsize=10)
    axes.set_yticks(range(len(ROWS)), [text for _, text, _ in ROWS])
    axes.invert_yaxis()
    axes.set_xlabel(f"test accuracy, %, with {fraction:.0%} of the labels (a dot: one seed)")
    return tidy(drawn, "x")


def curve(work: Path) -> Figure:
    """Return the figure over the number of labels: dots of seeds, lines through the means."""
    found = {float(run.name.split("-")[1]) for run in (work / "runs").glob("logits-*-s*")}
    fractions = sorted(one for one in found if accuracies(work, "logits", one))
    known = {
        one: read_json(work / "runs" / f"logits-{one:g}-s0" / "run.json")["shapes"]["train"]
        for one in fractions
    }
    drawn = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = drawn.add_subplot()
    for variant, text, colour in CURVES:
        means = [np.mean(accuracies(work, variant, one)) for one in fractions]
        axes.plot(known.values(), means, color=colour, label=text, linewidth=1.8)
        for one in fractions:
            values = accuracies(work, variant, one)
            axes.plot(
                [known[one]] * len(values), values, "o", color=colour, markersize=4, alpha=0.6
            )
    axes.set_xscale("log")
    axes.set_xticks([*known.values()], [f"{n} ({one:.0%})" for one, n in known.items()])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("labelled train shapes of 561 (a dot: one seed)")
    axes.set_ylabel("test accuracy, %")
    axes.legend(frameon=False)
    return tidy(drawn)


def main() -> None:
    """Write the picture."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("work", type=Path)
    options.add_argument("--fraction", type=float, default=0.1)
    options.add_argument("--curve", action="store_true")
    given = options.parse_args()
    if given.curve:
        curve(given.work).savefig(CURVE, dpi=130)
    else:
        figure(given.work, given.fraction).savefig(PICTURE, dpi=130)


if __name__ == "__main__":
    main()
