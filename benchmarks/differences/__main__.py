"""What the deliberate differences of students from their papers do to their accuracy.

    python -m benchmarks.differences ../shared/data/psb25.zip WORK

trains CurveNet with all labels and, equally, one variant for each difference that is taken back
(variants.py), goes on where it was interrupted, reads the test split once, at the end of each run,
and writes a section of benchmarks/differences/README.md. `--student pointnet2` does so with
PointNet++, `--student pointnet` with PointNet, and `--task segmentation` with the networks that
these two have for parts. On a GPU, `--at-once 4`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from benchmarks.shared.page import sections, write
from benchmarks.shared.trials import (
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
from pointmcd.tables import to_markdown
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run

PAGE = Path(__file__).with_name("README.md")
HEAD = (
    "# Deliberate differences from the papers",
    "Written by `python -m benchmarks.differences ../shared/data/SET.zip WORK`; `--help` lists its"
    " options. All runs of a section are equal but for the student; each variant takes one"
    " difference back.",
)
OWN = "benchmarks.differences.variants:"
#: The variants of each task and student, itself first.
VARIANTS = {
    ("classification", "curvenet"): {
        "curvenet": "ours",
        f"{OWN}UnorderedBalls": "balls take points in an arbitrary order",
        f"{OWN}LearningSuppression": "gradients through the suppression",
    },
    ("classification", "pointnet2"): {
        "pointnet2": "ours",
        f"{OWN}UnorderedGroups": "groups of points in an arbitrary order",
    },
    ("classification", "pointnet"): {
        "pointnet": "ours",
        f"{OWN}SquaredPenalty": "the penalty on the feature transform squared",
    },
    ("segmentation", "pointnet"): {
        "pointnet": "ours",
        f"{OWN}WithoutDropout": "no dropout in the head",
    },
    ("segmentation", "pointnet2"): {
        "pointnet2": "ours",
        f"{OWN}WithoutClass": "the class of the shape not read",
    },
}
TASKS, STUDENTS = zip(*VARIANTS, strict=True)
#: What the authors of CurveNet clip gradients at; those of PointNet++ do not.
CLIPPED = {"curvenet": 1.0}


@dataclass(frozen=True)
class Study:
    """What all runs of a section have in common."""

    work: Path
    task: str
    student: str
    points: int
    epochs: int

    def config(self, variant: str, seed: int) -> TrainConfig:
        """Return the settings of one run."""
        name = f"{variant.rpartition(':')[2]}-{self.points}-points-{self.epochs}-epochs-s{seed}"
        return TrainConfig(
            self.work / "store",
            self.work / "runs" / name,
            task=self.task,
            student=variant,
            teacher=None,
            points=self.points,
            epochs=self.epochs,
            batch_size=32,
            clip_gradients=CLIPPED.get(self.student),
            seed=seed,
        )

    def section(self, title: str) -> Iterator[str]:
        """Yield the paragraphs of one set, of the seeds that all variants have."""
        variants = VARIANTS[self.task, self.student]
        seeds = set.intersection(*(set(seeds_done(partial(self.config, v))) for v in variants))
        if not seeds:
            return
        ours, *others = ([self.config(v, s).folder for s in sorted(seeds)] for v in variants)
        first = Run(ours[0])
        parts = "" if self.task == "classification" else " for parts"
        yield f"## {title}, {self.student}{parts}, {self.points} points, {self.epochs} epochs"
        settings = f"{describe_store(Store(self.work / 'store'))}. {describe(first.config)}."
        yield f"{settings} {trained_on(first)}"
        yield "\n".join(f"- `{variant}`: {what}" for variant, what in variants.items())
        found = compare([run for every in others for run in every], ours)
        yield to_markdown(comparison_table(found))


def main() -> None:
    """Do everything, from the shapes to the page."""
    options = parser(__doc__)
    options.add_argument("--task", default="classification", choices=[*dict.fromkeys(TASKS)])
    options.add_argument("--student", default="curvenet", choices=[*dict.fromkeys(STUDENTS)])
    options.add_argument("--seeds", type=int, default=3, help="how many")
    options.add_argument("--points", type=int, default=1024)
    options.add_argument("--epochs", type=int, default=60)
    options.add_argument("--at-once", type=int, default=1, help="runs trained at a time")
    options.add_argument("--page", action="store_true", help="train nothing, write the page")
    chosen = options.parse_args()
    if (chosen.task, chosen.student) not in VARIANTS:
        options.error(f"no difference of {chosen.student} is measured in {chosen.task}")
    study = Study(chosen.work, chosen.task, chosen.student, chosen.points, chosen.epochs)
    if not chosen.page:
        prepare(PrepareConfig(chosen.source, chosen.work / "store"))
        every = product(range(chosen.seeds), VARIANTS[chosen.task, chosen.student])
        train_all((study.config(variant, s) for s, variant in every), chosen.at_once)
    own = list(study.section(chosen.source.stem))
    write(PAGE, [*HEAD, *sections(PAGE, *([own] if own else []))])


if __name__ == "__main__":
    main()
