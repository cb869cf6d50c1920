"""Teachers of few labels, with classes spread to the other train shapes and without.

    python -m benchmarks.propagation STORE NAME

makes both teachers for each draw of the labels in a prepared store, and writes the section NAME of
benchmarks/propagation/README.md; those of other sets stay. The accuracy is that on the train shapes
whose labels were held back and on the validation split; the test split is not read.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.shared.page import machine, sections, table, write
from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.stored import map_output
from pointmcd.teachers.teach import teach
from pointmcd.typing import Doubles

PAGE = Path(__file__).with_name("README.md")
TEACHERS = {"the labels alone": "false", "with spread classes": "true"}


def accuracies(store: Store, fraction: float, seed: int, propagate: str) -> tuple[float, float]:
    """Return the accuracy in percent on shapes without a known label, and on the validation split.

    Held-back labels are read here alone, to judge.
    """
    name = f"propagate-{propagate}-{fraction:g}-s{seed}"
    options = {"propagate": propagate}
    teach(TeachConfig(store.path, name=name, label_fraction=fraction, seed=seed, options=options))
    every = np.arange(len(store.shapes))
    said = np.asarray(map_output(store, name, "logits", every)[:]).argmax(axis=1)
    train, known = store.indices("train"), labelled_train(store, fraction, seed)

    def right(indices: np.ndarray) -> float:
        return float(100 * (said[indices] == store.labels(indices)).mean())

    return right(np.setdiff1d(train, known)), right(store.indices("val"))


def section(store: Store, title: str, fraction: float, draws: int) -> Iterator[str]:
    """Yield the paragraphs of one data set and fraction."""
    found: dict[str, Doubles] = {
        name: np.array([accuracies(store, fraction, seed, value) for seed in range(draws)])
        for name, value in TEACHERS.items()
    }
    known, held = len(labelled_train(store, fraction, 0)), len(store.indices("train"))
    yield f"## {title}, {fraction:.0%} of the labels"
    yield (
        f"{known} labelled of {held} train shapes, {len(store.indices('val'))} validation shapes,"
        f" {len(store.classes)} classes, draws 0 to {draws - 1}."
    )
    rows = [[name, *map(_spread, values.T)] for name, values in found.items()]
    gain = found["with spread classes"] - found["the labels alone"]
    rows.append(["difference", *map(_spread, gain.T)])
    yield table(["teacher", "train shapes without label", "validation"], rows)


def _spread(values: Doubles) -> str:
    return f"{values.mean():.1f} ± {values.std(ddof=1):.1f}"


def main() -> None:
    """Teach, and write the page."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("store", type=Path)
    options.add_argument("name")
    options.add_argument("--fraction", type=float, default=0.1)
    options.add_argument("--draws", type=int, default=5)
    chosen = options.parse_args()
    own = section(Store(chosen.store), chosen.name, chosen.fraction, chosen.draws)
    head = (
        "# Classes spread from few labels",
        "Written by `python -m benchmarks.propagation STORE NAME`. Accuracy of the teacher (lite0,"
        " settings of the classification lesson) in percent, mean ± standard deviation over draws"
        " of the labels. `NAME` is the data set that the store was prepared from.",
        machine(),
    )
    write(PAGE, [*head, *sections(PAGE, list(own))])


if __name__ == "__main__":
    main()
