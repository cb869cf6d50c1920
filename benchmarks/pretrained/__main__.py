"""Train the students that come with the package, and put their weights where it looks for them.

    python -m benchmarks.pretrained ../shared/data/ldraw32.zip WORK

makes WORK/store and WORK/runs, goes on where it was interrupted, and trains a baseline and, but for
mfcad16, a distilled student equally. The better on the validation split is exported in float16 to
src/pointmcd/training/assets, with its card; the test split is read once, at the end of each run.
The page is benchmarks/pretrained/README.md; the sections of other sets stay.
"""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from benchmarks.shared.page import sections, write
from benchmarks.shared.trials import (
    BOTH,
    describe,
    describe_store,
    parser,
    trained_and_evaluated,
    trained_on,
    unpack_some,
)
from pointmcd.data.store import Store
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import comparison_table
from pointmcd.inference.export import CARD, export_run
from pointmcd.inference.predictor import open_predictor
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.tables import to_markdown
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.weights import SHIPPED, WEIGHTS

PAGE = Path(__file__).with_name("README.md")
STUDENT = "pointnet2"
#: Angles about the vertical that test shapes are turned by.
HEADINGS = (0, 45, 90, 135, 180, 225, 270, 315)


class ShippedSet(NamedTuple):
    """A set whose terms allow to ship weights.

    Attributes:
        licence: of the weights.
        words: what the terms ask for in their card.
        settings: of both runs, where its users need others than the defaults.
        objective: of the distilled run; "": none is trained.
    """

    licence: str
    words: str
    settings: Mapping[str, Any]
    objective: str


SETS = {
    "ldraw32": ShippedSet(
        "cc-by-2.0",
        "Trained on 2,490 parts of the LDraw Parts Library (https://www.ldraw.org), by its"
        " authors, CC BY 2.0, a few CC BY 4.0. LEGO is a trademark of the LEGO Group, which"
        " sponsors neither LDraw nor this.",
        {},
        "logits:9",
    ),
    "furniture10": ShippedSet(
        "cc-by-3.0",
        "Trained on 254 models of the SweetHome3D furniture libraries, CC0 and CC BY 3.0; titles"
        " and authors stand in ATTRIBUTION.csv of furniture10.zip, which comes with pointmcd.",
        {"rotation": "up"},  # the furniture of others faces anywhere
        "logits:9",
    ),
    "mfcad16": ShippedSet(
        "mit",
        "Trained on blocks of MFCAD (https://github.com/hducg/MFCAD), (c) 2020 hducg, MIT: 1,500"
        " of its 9,224 train blocks, drawn at random, tested on 750 of its 3,090 test blocks.",
        {"task": "segmentation", "features": ("normals",)},  # any mesh has normals
        "",
    ),
}


@dataclass(frozen=True)
class Training:
    """What the runs of a set have in common."""

    work: Path
    title: str
    points: int
    epochs: int

    @property
    def set(self) -> ShippedSet:
        """What is to be known of the set."""
        return SETS[self.title]

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the runs."""
        return BOTH if self.set.objective else BOTH[:1]

    def config(self, variant: str) -> TrainConfig:
        """Return the settings of a run."""
        distilled = variant == "distilled"
        return TrainConfig(
            self.work / "store",
            self.work / "runs" / variant,
            student=STUDENT,
            teacher="lite0" if distilled else None,
            objective=(self.set.objective,) if distilled else (),
            points=self.points,
            epochs=self.epochs,
            **self.set.settings,
        )


def validation(run: Path) -> float:
    """Return the score of a run's last epoch on the validation split."""
    return float(Run(run).metrics()[-1][Run(run).task.best])


def ship(run: Path, title: str) -> Path:
    """Export the weights of a run to the folder of the package, and return it."""
    terms = SETS[title]
    out = run.parent.parent / "export"
    export_run(run, "safetensors", out, half=True, licence=terms.licence)
    folder = SHIPPED / f"{STUDENT}-{title}"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(out / WEIGHTS, folder / WEIGHTS)
    unknown = "Licence: unknown to pointmcd; see the source of the data"
    card = (out / CARD).read_text(encoding="utf-8").replace(str(run), "RUN")
    card = card.replace(unknown, "Licence: see the end of this card")
    (folder / CARD).write_text(f"{card}\n## Attribution\n\n{terms.words}\n", encoding="utf-8")
    return folder


def section(training: Training, folder: Path) -> Iterator[str]:
    """Yield the paragraphs of one set."""
    runs = {variant: training.config(variant).folder for variant in training.variants}
    store, first = Store(training.work / "store"), Run(runs["baseline"])
    chosen = max(runs, key=lambda name: validation(runs[name]))
    said = ", ".join(f"{name} {validation(run):.1%}" for name, run in runs.items())
    size = (folder / WEIGHTS).stat().st_size / 1e6
    yield f"## {folder.name}"
    yield (
        f"{training.title}, classes: {len(store.classes)}; {describe_store(store)}. {STUDENT},"
        f" {training.epochs} epochs, rotation {first.config.rotation}, {describe(first.config)}."
        f" {trained_on(first)}"
    )
    distilled, baseline = list(runs.values())[1:], [runs["baseline"]]
    found = compare(distilled, baseline) if distilled else compare(baseline)
    yield to_markdown(comparison_table(found))
    yield f"On the validation split: {said}; shipped is {chosen}, {size:.1f} MB in float16."
    if not first.task.dense:
        degrees = ", ".join(map(str, HEADINGS))
        shares = ", ".join(f"{share:.1%}" for share in by_heading(runs[chosen], store))
        yield f"On the test split, turned about the vertical by {degrees} degrees: {shares}."


def by_heading(run: Path, store: Store) -> Iterator[float]:
    """Yield the accuracy on the test shapes at each heading."""
    trained = open_predictor(run, "last", torch.device("cpu"))
    indices = store.indices("test")
    points, labels = np.array(store.points(indices, trained.points)), store.labels(indices)
    for angle in HEADINGS:
        turn = Rotation.from_euler(store.up, angle, degrees=True).as_matrix().T.astype(np.float32)
        with torch.inference_mode():
            some = [trained.model(batch) for batch in torch.from_numpy(points @ turn).split(16)]
        yield float((torch.cat(some).argmax(dim=1).numpy() == labels).mean())


def main() -> None:
    """Do everything, from the shapes to the weights and the page."""
    options = parser(__doc__)
    options.add_argument("--points", type=int, default=1024)
    options.add_argument("--epochs", type=int, default=100)
    options.add_argument(
        "--drawn",
        type=int,
        help="train shapes drawn of a large set with parts",
    )
    given = options.parse_args()
    training = Training(given.work, given.source.stem, given.points, given.epochs)
    source, features = given.source, training.set.settings.get("features", ())
    if given.drawn:
        source = unpack_some(source, given.work / source.stem, given.drawn, drawn=True)
    prepare(PrepareConfig(source, given.work / "store", features=features))
    if training.set.objective:
        teach(TeachConfig(given.work / "store", label_smoothing=0.0))
    runs = [trained_and_evaluated(training.config(variant)) for variant in training.variants]
    folder = ship(max(runs, key=validation), training.title)
    head = (
        "# The weights that come with the package",
        "Written by `python -m benchmarks.pretrained ../shared/data/SET.zip WORK`."
        " Baseline and distilled student (`logits:9`) are trained equally, and the"
        " better on the validation split is shipped. For mfcad16, with `--drawn 1500 --epochs 14`,"
        " the baseline alone is trained.",
    )
    write(PAGE, [*head, *sections(PAGE, list(section(training, folder)))])


if __name__ == "__main__":
    main()
