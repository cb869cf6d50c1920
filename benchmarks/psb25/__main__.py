"""What distillation gains on psb25: baseline, distilled and three controls, seed by seed.

    python -m benchmarks.psb25 ../shared/data/psb25.zip WORK

makes WORK/store and WORK/runs, goes on where it was interrupted, reads the test part once, at the
end of each run, and writes benchmarks/psb25/README.md. On two cores it takes about two hours for
PointNet and half an hour for each other student (`--students pointnet2` for one; the sections of
the others stay). Two processes of one thread each are faster than one of two: once the store is
there, start one with `--share 0/2` and one with `--share 1/2`, then run it without, for the page.
"""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.shared.trials import ARMS, Trial, describe, main, run_trials, write_page
from pointmcd.data.store import Store
from pointmcd.preparation.prepare import prepare
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.stored import read_teacher, teacher_folder
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig

RESULTS = Path(__file__).with_name("README.md")
POINTS = 512
BOTH = ("baseline", "distilled")
TRIALS = (
    Trial("pointnet", 20, (0, 1, 2), tuple(ARMS)),
    Trial("dgcnn", 10, (0,), BOTH),
    Trial("pointnet2", 10, (0,), BOTH),
    Trial("curvenet", 10, (0,), BOTH),
    Trial("pointnet2-propagated", 10, (0,), ("distilled",)),
)


def settings(work: Path) -> TrainConfig:
    """What all runs have in common."""
    # The method's augmentation and a plain start; the defaults are others since:
    # docs/when-distillation-pays.md.
    return TrainConfig(work / "store", points=POINTS, scale=1.5, shift=0.2, distill_start="plain")


def head(work: Path) -> Iterator[str]:
    """What stands above the tables."""
    store = Store(work / "store")
    counts = {split: len(store.indices(split)) for split in ("train", "val", "test")}
    yield (
        "# psb25: what distillation gains\n\n"
        "Written by `python -m benchmarks.psb25 ../shared/data/psb25.zip WORK`; what was tried"
        " before, on the validation part, is in [search.md](search.md). A section is"
        " written when its trial is run, and stays when others are.\n\n"
        f"psb25, {len(store.classes)} classes: {counts['train']} train, {counts['val']} validation"
        f" (held out of train), {counts['test']} test shapes; {POINTS} points, 12 views."
        f" {platform.machine()}, {os.cpu_count()} cores, no GPU, torch {torch.__version__}."
    )
    for name in ("lite0", "random-lite0"):
        yield teacher_line(store, name)
    yield (
        "Settings of the distilled arm, the same in all trials; the other arms differ in the one"
        f" thing they are named after: {describe(settings(work))}."
    )


def teacher_line(store: Store, name: str) -> str:
    """How a teacher did on the validation part; as the page has it, if it is not in the store."""
    start = f"Teacher `{name}`: "
    if not (teacher_folder(store, name) / "teacher.json").exists():
        lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
        return next((line for line in lines if line.startswith(start)), f"{start}not made here.")
    meta = read_teacher(store, name)
    return (
        f"{start}{meta['val_accuracy']:.1%} of {meta['val_shapes']} validation shapes,"
        f" {meta['val_view_accuracy']:.1%} of their single views."
    )


def run(source: Path, work: Path, share: str, students: tuple[str, ...]) -> None:
    """Everything, from the meshes to the page."""
    prepare(source, work / "store")
    chosen = [trial for trial in TRIALS if not students or trial.student in students]
    names = ["lite0"]
    if any("distilled-random-teacher" in trial.arms for trial in chosen):
        names.append("random:lite0")
    for teacher in names:
        teach(TeachConfig(work / "store", teacher=teacher))
    run_trials([c for trial in chosen for c in trial.configs(settings(work), work)], share)
    if share == "0/1":
        write_page(RESULTS, head(work), TRIALS, work, "overall_accuracy")


if __name__ == "__main__":
    main(__doc__, run)
