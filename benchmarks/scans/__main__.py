"""What `train --one-view` gives on scans from one side, and what it costs on whole shapes.

    python -m benchmarks.scans ../shared/data/psb25.zip WORK

trains PointNet with all labels, whole shapes alone and `--one-view 0.5`, and asks both for the
class of each test shape: as its points are, and as cameras in eight random directions see them
(hidden point removal; other directions than those of the store's views), each scan centred and
scaled anew, as `predict` does. WORK goes on where it was interrupted; the section of a data set in
benchmarks/scans/README.md is written anew. The test split is read once, at the end of each run.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.shared.page import machine, sections, table, write
from benchmarks.shared.trials import describe, describe_store, parser
from pointmcd.data.store import Store
from pointmcd.evaluation.comparison_table import interval_text, percent
from pointmcd.files import read_json, write_json
from pointmcd.inference.predictor import open_predictor
from pointmcd.metrics.statistics import Spread, bootstrap_difference
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.robustness.corruptions import occlusion
from pointmcd.training.config import TrainConfig
from pointmcd.training.train import train
from pointmcd.typing import Doubles

PAGE = Path(__file__).with_name("README.md")
#: Probabilities of a view in training.
ARMS = (0.0, 0.5)
#: Scans of a test shape.
SCANS = 8


def config(work: Path, one_view: float, seed: int, points: int, epochs: int) -> TrainConfig:
    """Return the settings of one run."""
    return TrainConfig(
        work / "store",
        work / "runs" / f"view-{one_view:g}-s{seed}",
        teacher=None,
        points=points,
        epochs=epochs,
        seed=seed,
        one_view=one_view,
    )


def scanned(points: Doubles, index: int, number: int = 0) -> Doubles:
    """Return what a camera sees of a shape's points, the same for every run."""
    seen = occlusion(points, 1, np.random.default_rng([number, index]))
    return np.unique(seen, axis=0)


def right(run: Path, store: Store, whole: bool) -> list[float]:
    """Return for each test shape the share that a run knows of it, or its scans; kept on disk."""
    file = run / f"{'whole' if whole else 'scans'}.json"
    if not file.exists():
        model, found = open_predictor(run, device="cpu"), []
        for index in store.indices("test"):
            points = store.points(np.array([index]), store.num_points)[0].astype(np.float64)
            clouds = (scanned(points, int(index), number) for number in range(SCANS))
            said = [model.predict(cloud) for cloud in ([points] if whole else clouds)]
            known = [getattr(one, "label", None) == store.shapes[index].label for one in said]
            found.append(float(np.mean(known)))
        write_json(file, found)
    kept: list[float] = read_json(file)
    return kept


def section(title: str, work: Path, seeds: int, points: int, epochs: int) -> Iterator[str]:
    """Yield the paragraphs of a data set."""
    store = Store(work / "store")
    yield f"## {title}"
    sized = config(work, ARMS[1], 0, points, epochs).for_shapes(len(store.indices("train")))
    yield (
        f"{describe_store(store)}; {len(store.classes)} classes; seeds"
        f" {', '.join(map(str, range(seeds)))}. Settings: {describe(sized)}, {sized.epochs} epochs."
    )
    rows = []
    for name, whole in (("whole shapes", True), ("scans from one side", False)):
        plain, seen = (
            np.array(
                [
                    right(config(work, arm, s, points, epochs).folder, store, whole)
                    for s in range(seeds)
                ],
                dtype=np.float64,
            )
            for arm in ARMS
        )
        gain = bootstrap_difference(seen, plain, list(range(seeds)), list(range(seeds)))
        accuracies = (percent(Spread.of(list(side.mean(axis=1)))) for side in (plain, seen))
        rows.append([name, *accuracies, interval_text(gain)])
    yield table(
        ("test shapes", "trained on whole shapes", "`--one-view 0.5`", "difference (95% interval)"),
        rows,
    )


def main() -> None:
    """Do everything, from the shapes to the page."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=2, help="how many")
    options.add_argument("--points", type=int, default=256)
    options.add_argument("--epochs", type=int, default=40)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    prepare(PrepareConfig(chosen.source, chosen.work / "store"))
    size = (chosen.points, chosen.epochs)
    for seed in range(chosen.seeds):
        for arm in ARMS:
            train(config(chosen.work, arm, seed, *size))
    head = (
        "# Trained on whole shapes, used on scans",
        "Written by `python -m benchmarks.scans ../shared/data/SET.zip WORK`; `--help` lists its"
        " options. PointNet without a teacher; test accuracy in percent, mean ± standard deviation"
        " over seeds, of the last epoch. A scan is what one camera in a random direction sees of"
        " the 2,048 points of a shape (hidden point removal), centred and scaled anew; eight of"
        " each shape.",
        machine(),
    )
    own = list(section(chosen.source.stem, chosen.work, chosen.seeds, *size))
    write(PAGE, [*head, *sections(PAGE, own)])


if __name__ == "__main__":
    main()
