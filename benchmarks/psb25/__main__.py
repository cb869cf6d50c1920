"""The gain of distillation on psb25: baseline, distilled and three controls, seed by seed.

    python -m benchmarks.psb25 ../shared/data/psb25.zip WORK

makes WORK/store and WORK/runs, goes on where it was interrupted, reads the test split once, at the
end of each run, and writes benchmarks/psb25/README.md. On two cores it takes about two hours for
PointNet and half an hour for each other student (`--students pointnet2` for one; the sections of
the others stay). Two processes of one thread each are faster than one of two: once the store is
there, start one with `--share 0/2` and one with `--share 1/2`, then run it without, for the page.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.shared.guesses import cosine, guesses, l1
from benchmarks.shared.page import machine, table
from benchmarks.shared.trials import (
    VARIANTS,
    Trial,
    describe,
    describe_store,
    parser,
    run_trials,
    write_page,
)
from pointmcd.data.store import Store
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.stored import map_output, read_teacher
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig

PAGE = Path(__file__).with_name("README.md")
POINTS = 512
#: The teachers, and what makes them.
TEACHERS = {"lite0": "lite0", "random-lite0": "random:lite0"}
TRIALS = (
    Trial("pointnet", 20, (0, 1, 2), tuple(VARIANTS)),
    Trial("dgcnn", 10, (0,)),
    Trial("pointnet2", 10, (0,)),
    Trial("curvenet", 10, (0,)),
    Trial("pointnet2-propagated", 10, (0,), ("distilled",)),
)


def settings(work: Path) -> TrainConfig:
    """Return what all runs have in common."""
    # The method's head and augmentation, and a plain start; the defaults are others since:
    # docs/distillation-in-detail.md.
    return TrainConfig(
        work / "store",
        task="classification,head=single",
        points=POINTS,
        batch_size=32,
        scale=1.5,
        shift=0.2,
        objective=("vafp:3,start=plain",),
    )


def head(work: Path) -> Iterator[str]:
    """Yield what stands above the sections."""
    store = Store(work / "store")
    yield "# psb25: what distillation gains"
    yield (
        "Written by `python -m benchmarks.psb25 ../shared/data/psb25.zip WORK`; what was tried"
        " before, on the validation split, is in [search.md](search.md). A section is written when"
        " its trial is run, and stays when others are."
    )
    yield (
        f"psb25, {len(store.classes)} classes: {describe_store(store)}; {POINTS} points,"
        f" {store.num_views} views. {machine()}"
    )
    for name in TEACHERS:
        meta = read_teacher(store, name)
        yield (
            f"Teacher `{name}`: {meta['val_accuracy']:.1%} of {meta['val_shapes']} validation"
            f" shapes, {meta['val_view_accuracy']:.1%} of their single views."
        )
    yield (
        "What there is to learn in the descriptors: on the train split, the loss of a student that"
        " would answer each view with the best single guess for all shapes, for the shape's class,"
        " or for the shape."
    )
    yield guess_table(store)
    yield (
        "Settings of the distilled runs, the same in all trials; the other variants differ in the"
        f" one thing they are named after: {describe(settings(work))}."
    )


def guess_table(store: Store) -> str:
    """Return how near guesses come to each teacher's descriptors."""
    train = store.indices("train")
    labels = store.labels(train)
    rows = []
    for name in TEACHERS:
        targets = map_output(store, name, "descriptors", train)[:]
        for loss, distance in {"L1": l1, "1 - cosine": cosine}.items():
            rows.append([name, loss, *(f"{x:.3f}" for x in guesses(targets, labels, distance))])
    return table(["teacher", "loss", "one for all", "one per class", "one per shape"], rows, left=2)


def main() -> None:
    """Do everything, from the meshes to the page."""
    chosen = parser(__doc__, "--share", "--students").parse_args()
    work = chosen.work
    prepare(PrepareConfig(chosen.source, work / "store"))
    for teacher in TEACHERS.values():
        teach(TeachConfig(work / "store", teacher=teacher))
    run_trials(TRIALS, settings(work), chosen)
    if chosen.share == "0/1":
        write_page(PAGE, head(work), TRIALS, work, "overall_accuracy")


if __name__ == "__main__":
    main()
