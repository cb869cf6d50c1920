"""From a folder without labels to a classifier, with a simulated labeller.

    python -m benchmarks.walk ../shared/data/furniture10.zip WORK

unpacks the meshes of a labelled zip (CLASS/{train,test}/NAME.off) into one folder without classes,
labels the shapes that `pointmcd label` would show first, and runs the commands of
docs/few-labels.md. The classes of all other shapes are compared at the end alone. The page is
benchmarks/walk/README.md; the sections of other sets stay.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

from benchmarks.shared.page import machine, sections, write
from benchmarks.shared.trials import parser
from pointmcd.data.labels import LabelRow, write_labels
from pointmcd.data.store import Store
from pointmcd.evaluation.comparison_table import comparison_table
from pointmcd.evaluation.seeds import train_seeds
from pointmcd.inference.predict import predict
from pointmcd.labelling.propose import propose, shape_features
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.tables import to_markdown
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig

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


def walk(
    source: Path, work: Path, labels: int, folds: int, epochs: int, seeds: int
) -> Iterator[str]:
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
    (found,) = train_seeds(config, range(seeds), folds=folds)
    minutes = (time.process_time() - begun) / 60
    rest = sorted(set(truth) - {row.path for row in rows})
    outcome = {
        variant.label: [answers(one.path, meshes, rest, truth) for one in variant.results]
        for variant in found.all_variants
    }
    yield f"## {source.stem}"
    yield (
        f"{len(truth)} meshes without classes, {len(rows)} labelled as proposed (they show"
        f" {len({row.label for row in rows})} of {len(set(truth.values()))} classes). PointNet, 256"
        f" points, {epochs} epochs, default settings otherwise."
    )
    yield f"What `train --labels labels.csv --seeds 0-{seeds - 1} --folds {folds}` says:"
    yield to_markdown(comparison_table(found))
    yield f"What comes out on the other {len(rest)} shapes, whose classes no run was told:"
    yield "\n".join(
        f"- {label}: **{np.mean([right for right, _ in said]):.1%}** right, at a mean confidence of"
        f" {np.mean([sure for _, sure in said]):.1%}."
        for label, said in outcome.items()
    )
    yield f"Machine time: {minutes:.0f} minutes of one core for everything, the folds included."


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
    options.add_argument("--seeds", type=int, default=2, help="how many")
    given = options.parse_args()
    chosen = (given.labels, given.folds, given.epochs, given.seeds)
    own = list(walk(given.source, given.work, *chosen))
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
