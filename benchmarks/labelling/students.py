"""What it is worth to a student which shapes were labelled: alone, and distilled.

    python -m benchmarks.labelling.students ../shared/data/psb25.zip WORK

goes on where `python -m benchmarks.labelling` ended, or begins with it: the labels of its last
round, of one strategy and seed, are those of a teacher and of both students. The test split is read
once, at the end of each run; the page is that of benchmarks.labelling.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import mean

from benchmarks.labelling import PAGE, rewrite
from benchmarks.labelling.__main__ import simulate
from benchmarks.shared.trials import BOTH, parser, train_all, trained_on
from pointmcd.data.labels import read_labels
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import comparison_table
from pointmcd.evaluation.results import read_result
from pointmcd.files import read_json
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.tables import to_markdown
from pointmcd.tasks.results import Checkpoint, RunResult
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run


@dataclass(frozen=True)
class Study:
    """What all runs have in common."""

    work: Path
    points: int
    epochs: int
    student: str = "pointnet"
    init: Path | None = None

    @property
    def unusual(self) -> list[str]:
        """What names of runs and titles say: what is not as in the first tables."""
        student = [] if self.student == "pointnet" else [self.student]
        return student + ([] if self.init is None else [f"from {self.init.name}"])

    def labels(self, strategy: str, seed: int) -> Path:
        """Return the label file of a strategy's last round."""
        return self.work / f"{strategy}-s{seed}.csv"

    def config(self, strategy: str, variant: str, seed: int) -> TrainConfig:
        """Return the settings of one run."""
        name = "-".join([*self.unusual, strategy, variant, f"s{seed}"]).replace(" ", "-")
        return TrainConfig(
            self.work / "store",
            self.work / "runs" / name,
            student=self.student,
            init=self.init,
            teacher=None if variant == "baseline" else "lite0",
            labels=self.labels(strategy, seed),
            points=self.points,
            epochs=self.epochs,
            batch_size=32,
            seed=seed,
        )

    def done(self, strategy: str) -> list[list[Path]]:
        """Return the evaluated runs of a strategy, of each variant those of the same seeds."""
        seeds = [seed for seed in range(99) if self.labels(strategy, seed).exists()]
        pairs = ([self.config(strategy, v, seed).folder for v in BOTH] for seed in seeds)
        found = [pair for pair in pairs if all((run / "test.json").exists() for run in pair)]
        return [list(runs) for runs in zip(*found, strict=True)]


def read(run: str | Path, checkpoint: Checkpoint) -> RunResult:
    """Read the results of a run; those of other labels of the same store are comparable here."""
    found = read_result(run, checkpoint)
    strategy = Path(run).name.split("-")[-3]
    info = found.info | {"store_fingerprint": found.info["own_fingerprint"]}
    return replace(found, config=found.config | {"labels by": strategy}, info=info)


def section(study: Study, title: str, strategies: list[str], command: str) -> Iterator[str]:
    """Yield the paragraphs of one data set; the first strategy's baseline is that of all others."""
    made = {strategy: runs for strategy in strategies if (runs := study.done(strategy))}
    (baseline, *first), *others = made.values()
    known = {len(read_labels(study.labels(strategy, 0))) for strategy in made}
    yield f"## {', '.join([title, 'students', *study.unusual])}"
    run = Run(baseline[0])
    yield (
        f"`{command}`."
        f" {' or '.join(map(str, sorted(known)))} labels; {study.student},"
        f" {run.config.points} points, {run.config.epochs} epochs, the default objective (class"
        " probabilities)."
        f" {trained_on(run)} `typical` became the default because it was the best of six on the"
        " test split of psb25: there, what it gives may be flattered."
    )
    runs = [run for one in (first, *others) for variant in one for run in variant]
    found = compare(runs, baseline, read=read)
    meant = tuple(text for text in found.warnings if "differ in labels by" not in text)
    yield to_markdown(comparison_table(replace(found, warnings=meant)))
    teachers = (
        f"{strategy} {mean(teacher_accuracy(run) for run in distilled):.1f}"
        for strategy, (_, distilled) in made.items()
    )
    yield f"The teachers themselves, means: {', '.join(teachers)}."


def teacher_accuracy(run: Path) -> float:
    """Return the accuracy of a run's teacher on the test split, in percent."""
    return 100 * float(read_json(run / "test.json")["teacher"]["overall_accuracy"])


def main() -> None:
    """Do everything, from the shapes to the page."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=3, help="how many")
    options.add_argument("--stored", type=int, default=2048, help="points of the store")
    options.add_argument("--points", type=int, default=256)
    options.add_argument("--epochs", type=int, default=40)
    options.add_argument("--strategies", nargs="*", default=["random", "typical"])
    options.add_argument("--student", default="pointnet")
    options.add_argument("--init", type=Path, help="pretrained run that all runs start from")
    options.add_argument("--at-once", type=int, default=1, help="runs trained at a time")
    options.add_argument(
        "--together", action="store_true", help="train runs with the same settings as one model"
    )
    options.add_argument("--page", action="store_true", help="train nothing, write the page")
    chosen = options.parse_args()
    study = Study(chosen.work, chosen.points, chosen.epochs, chosen.student, chosen.init)
    if not chosen.page:
        prepare(PrepareConfig(chosen.source, chosen.work / "store", points=chosen.stored))
        simulate(chosen.work, chosen.strategies, chosen.seeds)
        every = list(product(range(chosen.seeds), chosen.strategies))
        for seed, strategy in every:
            teach(TeachConfig(chosen.work / "store", labels=study.labels(strategy, seed)))
        train_all(
            (study.config(strategy, v, seed) for seed, strategy in every for v in BOTH),
            chosen.at_once,
            chosen.together,
        )
    command = f"python -m benchmarks.labelling.students {chosen.source} WORK"
    for name in ("seeds", "stored", "points", "epochs", "strategies", "student", "init"):
        value = getattr(chosen, name)
        if value != options.get_default(name):
            command += f" --{name} {' '.join(value) if isinstance(value, list) else value}"
    command = command.replace(f" {chosen.work}/", " WORK/")
    rewrite(PAGE, list(section(study, chosen.source.stem, chosen.strategies, command)))


if __name__ == "__main__":
    main()
