"""Robustness of distilled students to corrupted clouds: three variants of PointNet on psb25.

    python -m benchmarks.corruptions ../shared/data WORK

trains, in the WORK of benchmarks.unsupervised and with its settings, PointNet from scratch,
fine-tuned (distilled without labels first) and distilled with labels, two seeds each; goes on
where it was interrupted; and writes benchmarks/corruptions/README.md. The severities were chosen
before any run was evaluated on them. Where the runs of benchmarks.unsupervised exist, it takes a
quarter of an hour of one core for the trainings and as long for the corruptions.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.shared.page import machine, write
from benchmarks.shared.trials import describe_store, parser, trained_and_evaluated
from benchmarks.unsupervised.runs import EPOCHS, POINTS, prepare_all, pretraining, training
from pointmcd.data.store import Store
from pointmcd.errors import RunError
from pointmcd.robustness.evaluate import evaluate_corrupted
from pointmcd.robustness.registry import CORRUPTIONS
from pointmcd.robustness.result import compare_corrupted, read_corrupted
from pointmcd.robustness.tables import corrupted_tables
from pointmcd.tables import to_markdown
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.stored import read_teacher
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.train import train

PAGE = Path(__file__).with_name("README.md")
STUDENT = "pointnet"
SEEDS = (0, 1)
VARIANTS = ("scratch", "distilled", "finetuned")


def config(work: Path, variant: str, seed: int) -> TrainConfig:
    """Return a run with all labels; variants differ in what they are named after only."""
    same = training(work, STUDENT, variant, 1.0, seed)
    return replace(same, teacher="lite0") if variant == "distilled" else same


def train_all(data: Path, work: Path) -> dict[str, list[Path]]:
    """Return the evaluated runs of each variant."""
    if not (work / "psb25" / "store.json").exists():
        prepare_all(data, work)
    teach(TeachConfig(work / "psb25"))
    runs: dict[str, list[Path]] = {variant: [] for variant in VARIANTS}
    for seed in SEEDS:
        for variant in VARIANTS:
            if variant == "finetuned":
                train(pretraining(work, STUDENT, seed))
            runs[variant].append(trained_and_evaluated(config(work, variant, seed)))
    return runs


def page(work: Path, runs: dict[str, list[Path]]) -> Iterator[str]:
    """Yield the page, paragraph by paragraph."""
    store = Store(work / "psb25")
    seeds = ", ".join(map(str, SEEDS))
    yield "# Corrupted clouds: does distillation help or hurt?"
    yield (
        "Written by `python -m benchmarks.corruptions ../shared/data WORK`; what the corruptions"
        " are: [docs/corruptions.md](../../docs/corruptions.md). The severities were chosen before"
        " any run was evaluated on them."
    )
    yield (
        f"psb25, {len(store.classes)} classes: {describe_store(store)}, {len(CORRUPTIONS)} kinds of"
        f" corruption at five severities; {store.num_views} views (`ring16`;"
        " [psb25](../psb25/README.md) has 12, and so another teacher); PointNet,"
        f" {POINTS} points,"
        f" {EPOCHS[STUDENT]} epochs, last epoch, seeds {seeds}. baseline is trained"
        " from scratch; distilled, by lite0 with labels (validation accuracy of the teacher"
        f" {read_teacher(store, 'lite0')['val_accuracy']:.1%}); finetuned, from a student that was"
        f" distilled without labels, on psb25's train split and furniture10. {machine()}"
    )
    others = [*runs["distilled"], *runs["finetuned"]]
    yield from map(to_markdown, corrupted_tables(compare_corrupted(others, runs["scratch"])))


def _complete(run: Path) -> bool:
    try:
        return len(read_corrupted(run, "test", "last")[0].found) == len(CORRUPTIONS)
    except RunError:
        return False


def main() -> None:
    """Do everything, from the meshes to the page."""
    chosen = parser(__doc__).parse_args()
    work = chosen.work
    runs = train_all(chosen.source, work)
    for run in (run for of_variant in runs.values() for run in of_variant):
        if not _complete(run):
            evaluate_corrupted(run, store=work / "psb25")
    write(PAGE, page(work, runs))


if __name__ == "__main__":
    main()
