"""Students on ModelNet40's official test split, beside the published figures.

    python -m benchmarks.modelnet40 ../shared/data/modelnet40_1024.zip WORK

prepares WORK/store, teaches, trains baselines and distilled students with a fraction of the labels
and with all, pretrains students without labels for a linear SVM, goes on where it was interrupted,
and writes benchmarks/results/modelnet40.md with what is done so far. The test split is read once,
at the end of each run. Options cut it to size; sections of the page that others made stay. On a
GPU, `--at-once 4` trains four runs at a time.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from benchmarks.modelnet40.published import CLASSIFIED, PROBED
from benchmarks.modelnet40.timing import timed, timing_rows
from benchmarks.shared.page import ROOT, machine, sections, table, write
from benchmarks.shared.trials import (
    BOTH,
    describe,
    describe_store,
    parser,
    seeds_done,
    train_all,
    trained_on,
)
from pointmcd.data.store import Store
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import comparison_table
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.probing.config import ProbeConfig
from pointmcd.probing.probe import probe
from pointmcd.probing.scores import probe_table
from pointmcd.tables import to_markdown
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.train import train

PAGE = ROOT / "benchmarks" / "results" / "modelnet40.md"
STUDENTS = ("pointnet", "pointnet-vanilla", "pointnet2", "dgcnn", "curvenet")
FITTED = ("train", "train+val")


def options() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    made = parser(__doc__)
    made.add_argument("--stored", type=int, default=1024, help="points of a shape in the store")
    made.add_argument("--points", type=int, default=1024, help="of a shape in training and test")
    made.add_argument("--students", nargs="*", default=["pointnet"], choices=STUDENTS)
    made.add_argument(
        "--fractions", nargs="*", type=float, default=[0.1, 1.0], help="of the labels"
    )
    made.add_argument("--fit-on", nargs="*", default=FITTED, choices=FITTED)
    made.add_argument("--seeds", type=int, default=5, help="how many")
    made.add_argument("--variants", nargs="*", default=BOTH, choices=BOTH)
    made.add_argument("--teacher", default="lite0", help="encoder, or several joined by +")
    made.add_argument("--at-once", type=int, default=1, help="runs trained at a time")
    made.add_argument("--epochs", type=int, default=0, help="0: as many as `train` takes")
    made.add_argument("--pretrain-epochs", type=int, default=0, help="0: as many as `train` takes")
    made.add_argument("--workers", type=int, help="processes that prepare; one for each core")
    made.add_argument(
        "--no-probe", action="store_true", help="no student pretrained without labels, and no SVM"
    )
    made.add_argument(
        "--unseen", nargs="*", default=[], metavar="NAME=STORE", help="other sets for the SVM"
    )
    made.add_argument("--page", action="store_true", help="train nothing, write the page")
    return made


def source_of(path: Path) -> str:
    """Return the source of clouds whose folders are those of the zip."""
    return f"modelnet40:{path}"


@dataclass(frozen=True)
class Cell:
    """What the runs of one section have in common: a student, and what it is fitted on."""

    student: str
    fraction: float
    fit_on: str = "train"

    def config(self, chosen: argparse.Namespace, variant: str, seed: int) -> TrainConfig:
        """Return the settings of one run."""
        own = "" if self.fit_on == "train" else f"-{self.fit_on}"
        name = f"{self.student}-{variant}-{self.fraction:g}{own}"
        if variant != "baseline" and chosen.teacher != "lite0":
            name += f"-{chosen.teacher}"
        name += f"-{chosen.points}-points-{chosen.epochs}-epochs-s{seed}"
        return TrainConfig(
            chosen.work / "store",
            chosen.work / "runs" / name,
            student=self.student,
            teacher=None if variant == "baseline" else chosen.teacher,
            label_fraction=self.fraction,
            points=chosen.points,
            epochs=chosen.epochs,
            seed=seed,
            fit_on=self.fit_on,
        )

    def commands(self, chosen: argparse.Namespace, seed: int) -> Iterator[str]:
        """Yield the commands that make one seed's rows, without this study."""
        of_labels = f" --label-fraction {self.fraction:g}" if self.fraction < 1 else ""
        own = f"--student {self.student} --points {chosen.points} --epochs {chosen.epochs}"
        own += f"{of_labels} --seed {seed}"
        own += "" if self.fit_on == "train" else f" --fit-on {self.fit_on}"
        source = source_of(Path(chosen.source.name))
        yield f"pointmcd prepare {source} STORE --points {chosen.stored}"
        by = "" if chosen.teacher == "lite0" else f" --teacher {chosen.teacher}"
        distils = "distilled" in chosen.variants
        if distils:
            yield f"pointmcd teach STORE{by}{of_labels}{f' --seed {seed}' if of_labels else ''}"
        yield f"pointmcd train STORE {own} --no-distill --out runs/baseline"
        if distils:
            yield f"pointmcd train STORE {own}{by} --out runs/distilled"
        for variant in BOTH if distils else BOTH[:1]:
            yield f"pointmcd evaluate runs/{variant}"


def pretraining(chosen: argparse.Namespace, student: str, seed: int) -> TrainConfig:
    """Return a run that sees no label."""
    return TrainConfig(
        chosen.work / "store",
        chosen.work / "runs" / f"{student}-pretrained-s{seed}",
        task="pretrain",
        student=student,
        points=chosen.points,
        epochs=chosen.pretrain_epochs,
        seed=seed,
    )


def run_all(chosen: argparse.Namespace) -> None:
    """Prepare, teach and train, seed by seed, so that an interruption leaves whole seeds."""
    work, store = chosen.work, chosen.work / "store"
    with timed(work, "prepare", store):
        prepare(
            PrepareConfig(
                source_of(chosen.source), store, points=chosen.stored, workers=chosen.workers
            )
        )
    for seed in range(chosen.seeds):
        for fraction in chosen.fractions if "distilled" in chosen.variants else ():
            with timed(work, "teach", store / "features"):  # the first: it encodes all views
                teach(teaching(chosen, fraction, seed))
        if not chosen.no_probe:
            teach(TeachConfig(store, task="features"))
            for student in chosen.students:
                train(pretraining(chosen, student, seed))
    cells = list(product(chosen.students, chosen.fractions, chosen.fit_on))
    train_all(
        (
            Cell(*cell).config(chosen, variant, seed)
            for seed in range(chosen.seeds)
            for cell in cells
            for variant in chosen.variants
        ),
        chosen.at_once,
    )


def teaching(chosen: argparse.Namespace, fraction: float, seed: int) -> TeachConfig:
    """Return the teacher of a run: of all labels there is one, else one for each seed's labels."""
    seed = 0 if fraction == 1 else seed
    return TeachConfig(chosen.work / "store", chosen.teacher, label_fraction=fraction, seed=seed)


def page(chosen: argparse.Namespace) -> list[str]:
    """Return the page, paragraph by paragraph."""
    store = Store(chosen.work / "store")
    head = (
        "# ModelNet40",
        "Written by `python -m benchmarks.modelnet40 ../shared/data/modelnet40_1024.zip WORK`;"
        " `--help` lists its options. A section holds the runs that are finished.",
        f"{len(store.classes)} classes, {describe_store(store)}; official test split; one fixed"
        " sample of each shape in training and test, without normals; no voting. Views are splatted"
        " from the points. Where a section says train, validation is held out of it; published"
        " figures are of all of train (train+val here). Nothing was chosen on the test split.",
    )
    parts = sections(PAGE, *own_sections(chosen, len(store.shapes)))
    return [*head, *sorted(parts, key=lambda part: part.startswith("## Published"))]


def own_sections(chosen: argparse.Namespace, shapes: int) -> Iterator[list[str]]:
    """Yield the sections of what this machine did, and the published figures."""
    if rows := timing_rows(chosen.work, shapes):
        head = ["step", "core hours", "hours", "core seconds a shape"]
        yield ["## Time", table(head, rows), machine()]
    for cell in product(STUDENTS, chosen.fractions, FITTED):
        if found := list(section(chosen, Cell(*cell))):
            yield found
    if not chosen.no_probe:
        yield from probe_sections(chosen)
    head = ["network", "overall accuracy", "where"]
    yield ["## Published, on all labels", table(head, CLASSIFIED)]
    head = ["method", *head[1:]]
    yield ["## Published, linear SVM on frozen features", table(head, PROBED)]


def section(chosen: argparse.Namespace, cell: Cell) -> Iterator[str]:
    """Yield the comparison of a cell's finished runs, and the commands of its first seed.

    Of a cell without distilled runs, the baselines alone are in the table.
    """
    alone, taught = (set(seeds_done(partial(cell.config, chosen, v))) for v in BOTH)
    both = alone & taught
    if not (seeds := sorted(both or alone)):
        return
    baseline, distilled = ([cell.config(chosen, v, s).folder for s in seeds] for v in BOTH)
    first = Run(baseline[0])
    known = f"{cell.fraction:.0%} of the labels ({first.meta['shapes']['train']:,} shapes)"
    fitted = f"fitted on {cell.fit_on}, {chosen.points} points, {first.config.epochs} epochs"
    by = "" if chosen.teacher == "lite0" else f", teacher {chosen.teacher}"
    yield f"## {cell.student}, {known}, {fitted}{by}"
    yield "\n".join(["```sh", *cell.commands(chosen, seeds[0]), "```"])
    shown = [*baseline, *distilled] if both else baseline
    yield f"Settings: {describe(first.config)}. {trained_on(*map(Run, shown))}"
    compared = compare(distilled, baseline) if both else compare(baseline, [])
    yield to_markdown(comparison_table(compared))


def probe_sections(chosen: argparse.Namespace) -> Iterator[list[str]]:
    """Yield the scores of frozen students that were pretrained without labels."""
    for student in STUDENTS:
        runs = [pretraining(chosen, student, seed).folder for seed in range(99)]
        finished = [
            run for run in runs if (run / "run.json").exists() and Run(run).meta["finished"]
        ]
        if finished:
            first, *others = finished
            config, title = Run(first).config, f"## {student}, pretrained without labels and frozen"
            rows = probe(ProbeConfig(first, chosen.work / "store", tuple(others)))
            commands = (
                "pointmcd teach STORE --task features",
                f"pointmcd train STORE --task pretrain --student {student} --points {config.points}"
                f" --epochs {config.epochs} --out runs/pretrained",
                "pointmcd probe runs/pretrained STORE",
            )
            yield [
                title,
                "\n".join(["```sh", *commands, "```"]),
                "On ModelNet40's train split without val; the SVM is fitted on train and val."
                f" Settings: {describe(config)}, {config.epochs} epochs.",
                to_markdown(probe_table(rows)),
            ]
            for name, _, store in (text.partition("=") for text in chosen.unseen):
                rows = probe(ProbeConfig(first, Path(store), tuple(others)))
                yield [
                    f"{title}, on {name}",
                    "The same, on a set that pretraining saw nothing of.",
                    to_markdown(probe_table(rows)),
                ]


def main() -> None:
    """Do everything, from the clouds to the page."""
    chosen = options().parse_args()
    if not chosen.page:
        run_all(chosen)
    PAGE.parent.mkdir(exist_ok=True)
    write(PAGE, page(chosen))


if __name__ == "__main__":
    main()
