"""From a folder without labels to a classifier, with a simulated labeller.

    python -m benchmarks.walk ../shared/data/furniture10.zip WORK

unpacks the meshes of a labelled zip (CLASS/{train,test}/NAME.off) into one folder without classes,
labels the shapes that `pointmcd label` would show first, and runs the commands of
docs/few-labels.md. The classes of all other shapes are compared at the end alone. The page is
benchmarks/walk/README.md; the sections of other sets stay.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

from benchmarks.shared.page import machine, sections, write
from benchmarks.shared.trials import parser
from pointmcd.data.labels import LabelRow, write_labels
from pointmcd.data.store import Store
from pointmcd.inference.predict import predict
from pointmcd.labelling.propose import propose, shape_features
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.calibration import temperature_of
from pointmcd.training.config import TrainConfig
from pointmcd.training.folds import cross_validate
from pointmcd.training.run import Run
from pointmcd.training.train import train

PAGE = Path(__file__).with_name("README.md")


def unpack(source: Path, folder: Path) -> dict[str, str]:
    """Unpack meshes under numbers; return the class of each name."""
    folder.mkdir(parents=True, exist_ok=True)
    with ZipFile(source) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".off"))
        order = np.random.default_rng(0).permutation(len(names))
        truth = {}
        for number, place in enumerate(order):
            (folder / f"{number:05d}.off").write_bytes(archive.read(names[place]))
            truth[f"{number:05d}"] = names[place].split("/")[1]
    return truth


def walk(source: Path, work: Path, labels: int, folds: int, epochs: int) -> Iterator[str]:
    """Yield the paragraphs of one data set."""
    begun = time.process_time()
    meshes, store, file = work / "meshes", work / "store", work / "labels.csv"
    truth = unpack(source, meshes)
    prepare(PrepareConfig(meshes, store, points=512, workers=1))
    opened = Store(store)
    chosen = propose(opened, labels, [], shape_features(opened))
    rows = [LabelRow(opened.shapes[i].name, truth[opened.shapes[i].name]) for i in chosen]
    write_labels(file, rows)
    teach(TeachConfig(store, labels=file, device="cpu"))
    settings: dict[str, Any] = {"points": 256, "epochs": epochs, "device": "cpu"}
    config = TrainConfig(store, work / "run", labels=file, **settings)
    checked = cross_validate(config, folds)
    run = Run(train(config))
    rest = sorted(set(truth) - {row.path for row in rows})
    right, sure = answers(run.path, meshes, rest, truth)
    minutes = (time.process_time() - begun) / 60
    alone, _ = answers(
        train(replace(config, out=work / "alone", teacher=None)), meshes, rest, truth
    )
    yield f"## {source.stem}"
    yield (
        f"{len(truth)} meshes without classes, {len(rows)} labelled as proposed (they show"
        f" {len({row.label for row in rows})} of {len(set(truth.values()))} classes). PointNet, 256"
        f" points, {epochs} epochs, default settings otherwise."
    )
    yield (
        f"- `train --folds {folds}` says: {checked.accuracy:.1%} [{checked.low:.1%},"
        f" {checked.high:.1%}] on the labelled shapes, held out in turn.\n"
        f"- On the other {len(rest)} shapes, which it has not been told: **{np.mean(right):.1%}**"
        f" right, at a mean confidence of {np.mean(sure):.1%} (temperature"
        f" {temperature_of(run, 'last'):.2f}).\n"
        f"- Without the teacher, from the same labels alone: {np.mean(alone):.1%}.\n"
        f"- Machine time: {minutes:.0f} minutes of one core for everything, the folds included, the"
        " training without the teacher not."
    )


def answers(
    run: Path, meshes: Path, names: list[str], truth: dict[str, str]
) -> tuple[list[bool], list[float]]:
    """Predict on meshes; return which are right, and the confidences."""
    said = predict(run, [meshes / f"{name}.off" for name in names], device="cpu")
    right = [truth[one.path.stem] == getattr(one, "label", None) for one in said]
    return right, [float(getattr(one, "confidence", 0.0)) for one in said]


def main() -> None:
    """Walk, and write the page."""
    options = parser(__doc__)
    options.add_argument("--labels", type=int, default=40, help="how many")
    options.add_argument("--folds", type=int, default=4)
    options.add_argument("--epochs", type=int, default=12)
    given = options.parse_args()
    own = list(walk(given.source, given.work, given.labels, given.folds, given.epochs))
    head = (
        "# From a folder without labels to a classifier",
        "Written by `python -m benchmarks.walk ../shared/data/SET.zip WORK`; `--help` lists its"
        " options. A labeller is simulated; the steps are those of"
        " [few labels](../../docs/few-labels.md).",
        machine(),
    )
    write(PAGE, [*head, *sections(PAGE, own)])


if __name__ == "__main__":
    main()
