"""What the deliberate differences of CurveNet from its paper do to its accuracy.

    python -m benchmarks.differences ../shared/data/psb25.zip WORK

trains CurveNet with all labels and, equally, one variant for each difference that is taken back
(variants.py), goes on where it was interrupted, reads the test split once, at the end of each run,
and writes the section of the set in benchmarks/differences/README.md. On a GPU, `--at-once 4`.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from benchmarks.shared.page import sections, write
from benchmarks.shared.trials import describe, describe_store, parser, train_all, trained_on
from pointmcd.data.store import Store
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import comparison_table
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.tables import to_markdown
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run

PAGE = Path(__file__).with_name("README.md")
VARIANTS = {
    "curvenet": "ours",
    "benchmarks.differences.variants:UnorderedBalls": "balls take points in an order by chance",
    "benchmarks.differences.variants:LearningSuppression": "gradients through the suppression",
}


def config(work: Path, student: str, points: int, epochs: int, seed: int) -> TrainConfig:
    """Return the settings of one run."""
    name = f"{student.rpartition(':')[2]}-{points}-points-{epochs}-epochs-s{seed}"
    return TrainConfig(
        work / "store",
        work / "runs" / name,
        student=student,
        teacher=None,
        points=points,
        epochs=epochs,
        batch_size=32,
        clip_gradients=1.0,
        seed=seed,
    )


def section(work: Path, title: str, points: int, epochs: int) -> Iterator[str]:
    """Yield the paragraphs of one set, of the seeds that all students have."""
    runs = {
        student: {s: config(work, student, points, epochs, s).folder for s in range(99)}
        for student in VARIANTS
    }
    done = [
        {s for s, run in every.items() if (run / "test.json").exists()} for every in runs.values()
    ]
    seeds = sorted(set.intersection(*done))
    ours, *others = ([every[s] for s in seeds] for every in runs.values())
    first = Run(ours[0])
    yield f"## {title}"
    yield (
        f"{describe_store(Store(work / 'store'))}. {epochs} epochs, {describe(first.config)}."
        f" {trained_on(first)}"
    )
    yield "\n".join(f"- `{student}`: {what}" for student, what in VARIANTS.items())
    found = compare([run for every in others for run in every], ours)
    yield to_markdown(comparison_table(found))


def main() -> None:
    """Do everything, from the shapes to the page."""
    options = parser(__doc__)
    options.add_argument("--seeds", type=int, default=3, help="how many")
    options.add_argument("--points", type=int, default=512)
    options.add_argument("--epochs", type=int, default=60)
    options.add_argument("--at-once", type=int, default=1, help="runs trained at a time")
    options.add_argument("--page", action="store_true", help="train nothing, write the page")
    chosen = options.parse_args()
    if not chosen.page:
        prepare(PrepareConfig(chosen.source, chosen.work / "store"))
        every = product(range(chosen.seeds), VARIANTS)
        train_all(
            (config(chosen.work, name, chosen.points, chosen.epochs, s) for s, name in every),
            chosen.at_once,
        )
    head = (
        "# CurveNet's differences from its paper",
        "Written by `python -m benchmarks.differences ../shared/data/SET.zip WORK`. All runs are"
        " equal but for the student; each variant takes one difference back.",
    )
    write(
        PAGE,
        [
            *head,
            *sections(
                PAGE,
                list(section(chosen.work, chosen.source.stem, chosen.points, chosen.epochs)),
            ),
        ],
    )


if __name__ == "__main__":
    main()
