"""What a teacher gives where few labels are known: objectives beside the baseline, seed by seed.

    python -m benchmarks.few_labels ../shared/data/psb25.zip WORK

makes WORK/store and WORK/runs, goes on where it was interrupted, reads the test split once, at the
end of each run, and writes the section of that data set in benchmarks/few_labels/README.md; those
of others stay. Each seed draws other labels; the teacher and all variants of a seed know the same.
A variant is in the tables with the seeds that are done. `--student` takes another student, `--task
segmentation` parts. On a GPU, `--at-once 4` trains four runs at a time.
"""

import shlex
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared.page import machine, sections, write
from benchmarks.shared.trials import (
    describe,
    describe_store,
    parser,
    seeds_done,
    train_all,
    trained_on,
    unpack_some,
)
from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import comparison_table
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.tables import to_markdown
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run

PAGE = Path(__file__).with_name("README.md")
#: What each variant sets, in the order in which they are run.
VARIANTS: dict[str, dict[str, Any]] = {
    "baseline": {"teacher": None},
    "logits": {"objective": ("logits:9",)},
    "vafp": {"objective": ("vafp:3",)},
    "vafp-all": {"objective": ("vafp:3",), "visibility": "all"},
    "logits-vafp": {"objective": ("logits:9", "vafp:3")},
    "logits-view_logits": {"objective": ("logits:9", "view_logits:9")},
    "logits-contrast": {"objective": ("logits:9", "contrast:0.5")},
    "vafp-wrong": {"objective": ("vafp:3",), "pairing": "wrong"},
    "vafp-shuffled": {"objective": ("vafp:3",), "pairing": "shuffled"},
    "vafp-random": {"objective": ("vafp:3",), "teacher": "random-lite0"},
    "logits-shuffled": {"objective": ("logits:9",), "pairing": "shuffled"},
    "logits-3": {"objective": ("logits:3",)},
    "logits-27": {"objective": ("logits:27",)},
    "logits-smoothed": {"objective": ("logits:9",), "teacher": "smoothed-{fraction:g}-s{seed}"},
    "kd": {"objective": ("logits:9,standardise=false",)},
    "relations": {"objective": ("relations",)},
    "point_logits": {"objective": ("point_logits:1",)},
    "point_logits-10": {"objective": ("point_logits:10",)},
}
#: What the last word of a variant's name says of it, after its objectives.
CONTROLS = {
    "all": ", every point visible in every view",
    "wrong": ", each view with the descriptor of another",
    "shuffled": ", each shape with what the teacher says of another",
    "random": ", of an encoder with random weights",
    "smoothed": ", of a teacher with label smoothing 0.2",
}
#: How the teachers differ that some variants have for themselves.
OWN_TEACHERS: dict[str, dict[str, Any]] = {
    "vafp-random": {"teacher": "random:lite0"},
    "logits-smoothed": {"label_smoothing": 0.2, "name": "smoothed-{fraction:g}-s{seed}"},
}
#: The variants that each task runs by default.
OF_TASK = {
    "classification": (
        *("baseline", "logits", "vafp", "vafp-all"),
        *("logits-vafp", "logits-view_logits", "logits-contrast"),
    ),
    "segmentation": ("baseline", "vafp", "point_logits"),
}
#: Name of a teacher that spreads no classes.
ALONE = "alone-{fraction:g}-s{seed}"
#: Settings that names of runs and titles leave out.
POINTS, EPOCHS, TEACHER, BATCH_SIZE = 256, 40, "lite0", 32


@dataclass(frozen=True)
class Study:
    """What all runs of a section have in common."""

    work: Path
    fraction: float
    student: str = "pointnet"
    task: str = "classification"
    epochs: int = EPOCHS
    points: int = POINTS
    teacher: str = TEACHER
    init: Path | None = None
    unlabelled: Path | None = None
    command: str = ""
    labels_alone: bool = False

    @property
    def unusual(self) -> list[str]:
        """What is not as in the first tables."""
        said = {
            self.student: self.student == "pointnet",
            f"{self.points} points": self.points == POINTS,
            f"{self.epochs} epochs": self.epochs == EPOCHS,
            f"teacher {self.teacher}": self.teacher == TEACHER,
            f"from {self.init and self.init.name}": self.init is None,
            f"{self.strangers:,} unlabelled shapes": self.unlabelled is None,
            "teachers of the labels alone": not self.labels_alone,
        }
        return [words for words, usual in said.items() if not usual]

    @property
    def strangers(self) -> int:
        """Number of shapes of the store of unlabelled ones that are learnt from."""
        shapes = Store(self.unlabelled).shapes if self.unlabelled else ()
        return sum(shape.split != "test" for shape in shapes)

    def named(self, teacher: str, seed: int) -> str:
        """Return the name of a teacher of these labels; of all labels there is one."""
        return teacher.format(fraction=self.fraction, seed=seed if self.fraction < 1 else 0)

    def config(self, variant: str, seed: int) -> TrainConfig:
        """Return the settings of one run."""
        own = {"teacher": ALONE if self.labels_alone else self.teacher} | VARIANTS[variant]
        if own["teacher"]:
            own["teacher"] = self.named(own["teacher"], seed)
        name = "-".join([*self.unusual, variant, f"{self.fraction:g}", f"s{seed}"])
        return TrainConfig(
            self.work / "store",
            self.work / "runs" / name.replace(" ", "-").replace(",", ""),
            student=self.student,
            init=self.init,
            task=self.task,
            label_fraction=self.fraction,
            unlabelled=(self.unlabelled,) if self.unlabelled else (),
            points=self.points,
            epochs=self.epochs,
            batch_size=BATCH_SIZE,
            seed=seed,
            **own,
        )

    def done(self, variant: str) -> list[int]:
        """Return the seeds of a variant that are evaluated."""
        return seeds_done(partial(self.config, variant))


def clouds_of(source: Path, work: Path) -> Path:
    """Write 1,024 points of each mesh as a cloud, and return the folder of all."""
    prepare(PrepareConfig(source, work / "meshes"))
    store, generator = Store(work / "meshes"), np.random.default_rng(0)
    for index, shape in enumerate(store.shapes):
        file = work / "clouds" / f"{shape.name}.npy"
        file.parent.mkdir(parents=True, exist_ok=True)
        points = store.points(np.array([index]), store.num_points)[0]
        np.save(file, points[generator.permutation(len(points))[:1024]])
    return work / "clouds"


def section(study: Study, title: str, variants: Sequence[str] | None) -> Iterator[str]:
    """Yield the paragraphs of one data set and fraction: what is known, and one table a variant.

    Where variants are given, the section is of these alone, and of one command.
    """
    store = Store(study.work / "store")
    known = len(labelled_train(store, study.fraction, 0))
    copies = (len(store.shape_of) - len(store.shapes)) // len(store.indices("train"))
    beside = f", {copies} deformed copies of each train shape" if copies else ""
    whole = [] if len(store.indices("val")) else ["no validation part"]
    share = f"{study.fraction:.0%} of the labels{beside}"
    heading = ", ".join([title, *study.unusual, *whole, share])
    yield f"## {heading}"
    first = [Run(study.config("baseline", seed).folder) for seed in study.done("baseline")[:1]]
    yield (
        f"{describe_store(store)}; {len(store.classes)} classes, {known} labelled shapes. Settings:"
        f" {describe(study.config('baseline', 0))}, {study.epochs} epochs."
        f" {''.join(map(trained_on, first))}"
    )
    yield f"`{study.command}`" + (":" if variants else ", with the options of each table:")
    for variant in variants or VARIANTS:
        paired = [seed for seed in study.done(variant) if seed in study.done("baseline")]
        if variant == "baseline" or not paired:
            continue
        runs, baseline = (
            [study.config(name, seed).folder for seed in paired] for name in (variant, "baseline")
        )
        control = CONTROLS.get(variant.rpartition("-")[2], "")
        own = "" if variants else f" (`--seeds {1 + max(paired)} --variants baseline {variant}`)"
        yield f"`{'`, `'.join(VARIANTS[variant]['objective'])}`{control}{own}:"
        yield to_markdown(comparison_table(compare(runs, baseline)))


def write_page(study: Study, title: str, variants: Sequence[str] | None) -> None:
    """Write the page; the sections of other titles and fractions stay as they are."""
    head = (
        "# Few labels: what a teacher of the same labels gives",
        "Written by `python -m benchmarks.few_labels ../shared/data/SET.zip WORK`;"
        " `--help` lists its options. Each seed draws other labels. The baseline learns from them"
        " alone; the others also see, in each step, a batch drawn from all train shapes, whose"
        " labels nobody reads, with what the teacher says of them. Unlabelled shapes that a title"
        " names are of another store (`--unlabelled STORE`): these batches have them too, and a"
        " baseline, which does not, takes as many steps. `--first N` takes the first N shapes of a"
        " list: of mfcad16 names that begin with `0-`, not all kinds of blocks. Where a title"
        " names nothing"
        f" else: PointNet, {POINTS} points, {EPOCHS} epochs, teacher {TEACHER}.",
        machine(),
    )
    write(PAGE, [*head, *sections(PAGE, list(section(study, title, variants)))])


def command(chosen: Namespace, default: Callable[[str], Any]) -> str:
    """Return the command of a section, but for the seeds and variants, which each table has."""
    told = {**vars(chosen), "source": None, "work": None, "at_once": 1, "together": False}
    told |= {"seeds": default("seeds"), "variants": None, "page": False}
    elsewhere = {"unlabelled": "OTHER/store", "init": "OTHER/runs/NAME"}
    told |= {name: path for name, path in elsewhere.items() if told[name]}
    words = [
        f"--{name.replace('_', '-')}" + ("" if value is True else f" {shlex.quote(str(value))}")
        for name, value in told.items()
        if value != default(name)
    ]
    start = f"python -m benchmarks.few_labels ../shared/data/{chosen.source.name} WORK"
    return " ".join([start, *words])


def main() -> None:
    """Do everything, from the shapes to the page."""
    options = parser(__doc__)
    options.add_argument("--fraction", type=float, default=0.1, help="of the labels")
    options.add_argument("--seeds", type=int, default=5, help="how many")
    options.add_argument("--variants", nargs="*", choices=VARIANTS)
    options.add_argument("--student", default="pointnet")
    options.add_argument("--task", default="classification", choices=OF_TASK)
    options.add_argument("--epochs", type=int, default=EPOCHS)
    options.add_argument("--points", type=int, default=POINTS)
    options.add_argument("--teacher", default=TEACHER, help="encoder, or several joined by +")
    options.add_argument("--init", type=Path, help="pretrained run that all runs start from")
    options.add_argument("--unlabelled", type=Path, help="store of shapes to learn from, too")
    options.add_argument(
        "--clouds", action="store_true", help="take 1,024 points of each mesh: views are splatted"
    )
    options.add_argument("--at-once", type=int, default=1, help="runs trained at a time")
    options.add_argument(
        "--together", action="store_true", help="train runs with the same settings as one model"
    )
    options.add_argument("--first", type=int, help="train shapes of a large set with parts")
    options.add_argument(
        "--copies", type=int, default=0, help="deformed copies of each train shape (prepare)"
    )
    options.add_argument("--val-fraction", type=float, default=0.15, help="of train (prepare)")
    options.add_argument(
        "--labels-alone", action="store_true", help="teachers that spread no classes"
    )
    options.add_argument(
        "--title", default="", help="rest of the section's title: a section of these variants alone"
    )
    options.add_argument("--page", action="store_true", help="train nothing, write the page")
    chosen = options.parse_args()
    fraction, task = chosen.fraction, chosen.task
    given = (chosen.student, task, chosen.epochs, chosen.points, chosen.teacher)
    variants = chosen.variants or OF_TASK[task]
    said = command(chosen, options.get_default)
    study = Study(
        chosen.work, fraction, *given, chosen.init, chosen.unlabelled, said, chosen.labels_alone
    )
    store = chosen.work / "store"
    if not chosen.page:
        source = chosen.source
        if chosen.first:
            source = unpack_some(source, chosen.work / source.stem, chosen.first)
        if chosen.clouds:
            source = clouds_of(source, chosen.work)
        held = {"val_fraction": chosen.val_fraction}
        prepare(PrepareConfig(source, store, variants=chosen.copies, **held))
        for seed in range(chosen.seeds if fraction < 1 else 1):  # of all labels there is one
            known: dict[str, Any] = {"label_fraction": fraction, "seed": seed, "task": task}
            if task == "classification":
                known["label_smoothing"] = 0.0
            if chosen.labels_alone:
                known |= {"options": {"propagate": "false"}, "name": study.named(ALONE, seed)}
            for own in [{}, *(OWN_TEACHERS[name] for name in OWN_TEACHERS if name in variants)]:
                named = {"name": study.named(own["name"], seed)} if "name" in own else {}
                teach(TeachConfig(store, **({"teacher": study.teacher} | known | own | named)))
        pairs = product(range(chosen.seeds), variants)
        train_all(
            (study.config(variant, seed) for seed, variant in pairs),
            chosen.at_once,
            chosen.together,
        )
    title = f"{chosen.source.stem}{' as clouds' if chosen.clouds else ''}{chosen.title}"
    if chosen.title:
        said += f" --seeds {chosen.seeds} --variants {' '.join(variants)}"
        study = replace(study, command=said)
    write_page(study, title, variants if chosen.title else None)


if __name__ == "__main__":
    main()
