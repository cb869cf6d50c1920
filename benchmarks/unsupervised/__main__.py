"""Students that learn without labels: pretrained on meshes alone, probed and fine-tuned.

    python -m benchmarks.unsupervised ../shared/data WORK

makes three stores in WORK (all meshes of furniture10 and the train split of psb25 without classes;
psb25; psb_parts17), a teacher without labels, the pretrained students, those fine-tuned and those
trained from scratch with 10% and all of psb25's labels, goes on where it was interrupted, and
writes benchmarks/unsupervised/README.md. The test splits are read when a training has ended, and
nothing is chosen by them. On two cores it takes about two hours. Two processes of one thread each
(OMP_NUM_THREADS=1) are faster than one of two: start one with `--share 0/2`, once the teacher is
there another with `--share 1/2`, then run it without, for the page.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.shared.page import machine, table, write
from benchmarks.shared.trials import by_seed, describe, parser
from benchmarks.unsupervised.bars import draw_probes
from benchmarks.unsupervised.runs import (
    EPOCHS,
    POINTS,
    PRETRAIN_EPOCHS,
    PROBED,
    SEEDS,
    SHARES,
    VARIANTS,
    prepare_all,
    pretraining,
    run_all,
    training,
)
from pointmcd.data.store import Store
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import comparison_table
from pointmcd.probing.config import ProbeConfig
from pointmcd.probing.probe import probe
from pointmcd.probing.scores import PROBE_COLUMNS, PROBE_NOTES, ProbeRow, probe_cells
from pointmcd.tables import to_markdown
from pointmcd.training.run import Run

PAGE = Path(__file__).with_name("README.md")
PICTURE = PAGE.with_name("unsupervised.png")


def probed(work: Path, student: str, name: str) -> list[ProbeRow]:
    """Return the rows of one student on one store; a row's scores are those of its seeds."""
    seeds = SEEDS[student]
    pretrained = [pretraining(work, student, seed).folder for seed in seeds]
    supervised = [training(work, student, "scratch", 1.0, seed).folder for seed in seeds]
    first, *others = [*pretrained, *supervised]
    rows = probe(ProbeConfig(first, work / name, tuple(others)))
    count = len(seeds)
    return [
        _joined(f"{student}, pretrained without labels", rows[:count]),
        _joined(f"{student}, supervised on psb25 from scratch", rows[count : 2 * count]),
        *rows[2 * count :],
    ]


def _joined(name: str, rows: list[ProbeRow]) -> ProbeRow:
    return ProbeRow(name, tuple(score for row in rows for score in row.scores))


def page(work: Path) -> Iterator[str]:
    """Yield the page, paragraph by paragraph."""
    yield from head(work)
    tables = {name: {student: probed(work, student, name) for student in SEEDS} for name in PROBED}
    draw_probes(PICTURE, {name: rows["pointnet"] for name, rows in tables.items()}, "PointNet")
    yield f"![Bars of the SVM column for PointNet]({PICTURE.name})"
    for name, of_students in tables.items():
        yield f"## Frozen features on {name}"
        for rows in of_students.values():
            yield table(["features", *PROBE_COLUMNS], map(probe_cells, rows))
    yield PROBE_NOTES
    for student, seeds in SEEDS.items():
        for share in SHARES:
            yield from fine_tuned(work, student, share, seeds)


def head(work: Path) -> Iterator[str]:
    """Yield what was done, on what."""
    store = Store(work / "unlabelled")
    train, val = (len(store.indices(split)) for split in ("train", "val"))
    yield "# Without labels"
    yield "Written by `python -m benchmarks.unsupervised ../shared/data WORK`."
    yield (
        f"Pretraining: {train} meshes of furniture10 and psb25's train split, {val} more to watch"
        f" it by, no class known; {POINTS} points, {store.num_views} views; teacher lite0-features:"
        " the frozen ImageNet encoder's pooled features, standardised over these meshes. No test"
        " mesh of psb25 is among them, its validation meshes are; psb_parts17 was not seen. Nothing"
        " was chosen on a test split. A student is frozen when it is probed (embeddings max-pooled"
        " over points), and its last epoch is taken. Rows of a student have the seeds named below,"
        f" those of random weights seeds 0, 1, 2. {machine()}"
    )
    ends = "; ".join(_agreement(work, student) for student in SEEDS)
    yield (
        f"Settings of pretraining: {describe(pretraining(work, 'pointnet', 0))}. Agreement (mean"
        " cosine similarity of the student's and the teacher's descriptors, shapes held out of"
        f" pretraining): {ends}."
    )


def _agreement(work: Path, student: str) -> str:
    runs = [Run(pretraining(work, student, seed).folder) for seed in SEEDS[student]]
    values = ", ".join(f"{run.metrics()[-1]['val_agreement']:.3f}" for run in runs)
    seeds = ", ".join(map(str, SEEDS[student]))
    return f"{student}, {PRETRAIN_EPOCHS[student]} epochs, seeds {seeds}: {values}"


def fine_tuned(work: Path, student: str, share: float, seeds: tuple[int, ...]) -> Iterator[str]:
    """Yield the comparison with a share of the labels, and each seed's accuracy."""
    folders = {
        variant: [training(work, student, variant, share, seed).folder for seed in seeds]
        for variant in VARIANTS
    }
    shapes = [Run(run).meta["shapes"]["train"] for run in folders["scratch"]]
    yield (
        f"## {student} fine-tuned on psb25 with {share:.0%} of the labels"
        f" ({sum(shapes) // len(shapes)} shapes), {EPOCHS[student]} epochs"
    )
    yield to_markdown(comparison_table(compare(folders["finetuned"], folders["scratch"])))
    yield by_seed(folders, "overall_accuracy")


def main() -> None:
    """Do everything, from the meshes to the page."""
    chosen = parser(__doc__, "--share").parse_args()
    prepare_all(chosen.source, chosen.work)
    run_all(chosen.work, chosen.share)
    if chosen.share == "0/1":
        write(PAGE, page(chosen.work))


if __name__ == "__main__":
    main()
