"""What there is to learn in a teacher's descriptors: how far guesses of growing knowledge get.

    python -m benchmarks.psb25.descriptors WORK

expects WORK/store with both teachers (benchmarks.psb25 makes them) and writes
benchmarks/psb25/descriptors.md. The test part is not read.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pointmcd import Store, map_output

RESULTS = Path(__file__).with_suffix(".md")
Floats = npt.NDArray[np.float32]


def guesses(targets: Floats, labels: npt.NDArray[np.int64]) -> list[float]:
    """Mean |target - guess| of the best constant, per channel, for all, per class, per shape."""
    classes = np.empty_like(targets)
    for label in np.unique(labels):
        own = labels == label
        classes[own] = np.median(targets[own], axis=(0, 1))
    best = (np.median(targets, axis=(0, 1)), classes, np.median(targets, axis=1, keepdims=True))
    return [float(np.abs(targets - guess).mean()) for guess in best]


def cosine(targets: Floats, labels: npt.NDArray[np.int64]) -> list[float]:
    """Mean 1 - cosine similarity to the mean descriptor of all, of the class, of the shape."""
    classes = np.empty_like(targets)
    for label in np.unique(labels):
        own = labels == label
        classes[own] = unit(targets[own]).mean(axis=(0, 1))
    everything = np.broadcast_to(unit(targets).mean(axis=(0, 1)), targets.shape)
    shapes = np.broadcast_to(unit(targets).mean(axis=1, keepdims=True), targets.shape)
    return [
        float(1 - (unit(targets) * unit(guess)).sum(axis=2).mean())
        for guess in (everything, classes, shapes)
    ]


def unit(vectors: Floats) -> Floats:
    """Scaled to length one along the last axis."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Floats = vectors / np.maximum(length, 1e-12)
    return scaled


def main() -> None:
    """Parse and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    store = Store(parser.parse_args().work / "store")
    train = store.indices("train")
    labels = store.labels(train)
    lines = [
        "# psb25: what there is to learn in the descriptors",
        "",
        "Written by `python -m benchmarks.psb25.descriptors WORK`: on the train part, the loss of"
        " a student that would answer each view with the best single guess for all shapes, for"
        " the shape's class, or for the shape.",
        "",
        "| teacher | loss | one guess for all | one per class | one per shape |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for name in ("lite0", "random-lite0"):
        targets = map_output(store, name, "descriptors", train)[:]
        for loss, measure in (("L1", guesses), ("1 - cosine", cosine)):
            figures = " | ".join(f"{value:.3f}" for value in measure(targets, labels))
            lines.append(f"| {name} | {loss} | {figures} |")
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
