"""Draw the test accuracy of psb25's runs, into docs/images.

python -m benchmarks.few_labels.figure WORK [--fraction 0.1]   # variants, seed by seed
python -m benchmarks.few_labels.figure WORK --curve            # over the number of labels

`--points`, `--epochs` and `--teacher` are those of the runs.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.few_labels.__main__ import EPOCHS, POINTS, TEACHER, Study
from benchmarks.shared.page import ROOT
from pointmcd.files import read_json
from pointmcd.plots.style import tidy
from pointmcd.training.run import Run

PICTURE = ROOT / "docs" / "images" / "few-labels-psb25.png"
CURVE = PICTURE.with_name("few-labels-curve-psb25.png")
#: The points of the curve, of those that have runs.
FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
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


def accuracies(study: Study, variant: str) -> list[float]:
    """Return the accuracy in percent of each seed's last epoch; the teacher's from `logits`."""
    run, entry = ("logits", "teacher") if variant == "teacher" else (variant, "last")
    files = [study.config(run, seed).folder / "test.json" for seed in study.done(run)]
    return [100 * read_json(file)[entry]["overall_accuracy"] for file in files]


def figure(study: Study) -> Figure:
    """Return the figure: a dot for each seed, a bar for the mean."""
    drawn = Figure(figsize=(7.5, 2.7), layout="constrained")
    axes = drawn.add_subplot()
    for row, (variant, _, colour) in enumerate(ROWS):
        values = accuracies(study, variant)
        axes.barh(row, np.mean(values), color=colour, alpha=0.3, height=0.62)
        axes.plot(values, [row] * len(values), "o", color=colour, markersize=5, alpha=0.8)
        axes.text(1, row, f"{np.mean(values):.1f}", va="center", fontsize=10)
    axes.set_yticks(range(len(ROWS)), [text for _, text, _ in ROWS])
    axes.invert_yaxis()
    axes.set_xlabel(f"test accuracy, %, with {study.fraction:.0%} of the labels (a dot: one seed)")
    return tidy(drawn, "x")


def curve(study: Study) -> Figure:
    """Return the figure over the number of labels: dots of seeds, lines through the means."""
    every = [replace(study, fraction=fraction) for fraction in FRACTIONS]
    made = [one for one in every if one.done("logits")]
    known = [Run(one.config("logits", 0).folder).meta["shapes"]["train"] for one in made]
    drawn = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = drawn.add_subplot()
    for variant, text, colour in CURVES:
        values = [accuracies(one, variant) for one in made]
        axes.plot(known, list(map(np.mean, values)), color=colour, label=text, linewidth=1.8)
        for labels, seeds in zip(known, values, strict=True):
            axes.plot([labels] * len(seeds), seeds, "o", color=colour, markersize=4, alpha=0.6)
    axes.set_xscale("log")
    axes.set_xticks(known, [f"{n}\n{one.fraction:.0%}" for n, one in zip(known, made, strict=True)])
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
    options.add_argument("--epochs", type=int, default=EPOCHS)
    options.add_argument("--points", type=int, default=POINTS)
    options.add_argument("--teacher", default=TEACHER)
    options.add_argument("--curve", action="store_true")
    given = vars(options.parse_args())
    path, draw = (CURVE, curve) if given.pop("curve") else (PICTURE, figure)
    draw(Study(**given)).savefig(path, dpi=130)


if __name__ == "__main__":
    main()
