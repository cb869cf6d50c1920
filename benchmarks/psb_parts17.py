"""What distillation gains in part segmentation on psb_parts17, with all four students.

    python benchmarks/psb_parts17.py ../shared/data/psb_parts17.zip WORK

makes WORK/store and WORK/runs, goes on where it was interrupted, reads the test part once, at the
end of each run, and writes benchmarks/results/psb_parts17.md. Two processes of one thread each are
faster than one of two: once the store and its teacher are there, start one with `--share 0/2` and
one with `--share 1/2`, then run it without, for the page.
"""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import torch
from trials import Trial, describe, main, run_trials, write_page

from pointmcd.data.prepare import prepare
from pointmcd.data.store import Store
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.export import read_teacher
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig

RESULTS = Path(__file__).parent / "results" / "psb_parts17.md"
POINTS, BATCH_SIZE = 512, 16
BOTH = ("baseline", "distilled")
TRIALS = (
    Trial("pointnet", 40, (0, 1, 2), (*BOTH, "distilled-all-visible")),
    Trial("pointnet", 40, (0, 1, 2), ("baseline",), rotation="any"),
    Trial("dgcnn", 20, (0,), BOTH),
    Trial("pointnet2", 20, (0,), BOTH),
    Trial("curvenet", 20, (0,), BOTH),
)


def settings(work: Path) -> TrainConfig:
    """What all runs have in common."""
    return TrainConfig(
        work / "store", task="segmentation", points=POINTS, batch_size=BATCH_SIZE, device="cpu"
    )


def head(work: Path) -> Iterator[str]:
    """What stands above the tables."""
    store = Store(work / "store")
    counts = {split: len(store.indices(split)) for split in ("train", "val", "test")}
    yield (
        "# psb_parts17: what distillation gains in part segmentation\n\n"
        "Written by `python benchmarks/psb_parts17.py ../shared/data/psb_parts17.zip WORK`.\n\n"
        f"{len(store.classes)} classes, {store.num_parts} parts: {counts['train']} train,"
        f" {counts['val']} validation (held out of train), {counts['test']} test shapes; {POINTS}"
        f" points, {store.num_views} views. {platform.machine()}, {os.cpu_count()} cores, no GPU,"
        f" torch {torch.__version__}."
    )
    meta = read_teacher(store, "lite0-segmentation")
    yield (
        f"Teacher `lite0-segmentation`, {meta['settings']['epochs']} epochs: pixel mIoU"
        f" {meta['val_pixel_miou']:.1%}, {meta['val_pixel_accuracy']:.1%} of the object's pixels"
        f" right, on all views of {meta['val_shapes']} validation shapes."
    )
    yield f"Settings of the distilled arm, the same in all trials: {describe(settings(work))}."


def run(source: Path, work: Path, share: str, students: tuple[str, ...]) -> None:
    """Everything, from the meshes to the page."""
    prepare(source, work / "store", rig="ring16")
    teach(TeachConfig(work / "store", task="segmentation"))
    chosen = [trial for trial in TRIALS if not students or trial.student in students]
    run_trials([c for trial in chosen for c in trial.configs(settings(work), work)], share)
    if share == "0/1":
        write_page(RESULTS, head(work), TRIALS, work, "instance_miou")


if __name__ == "__main__":
    main(__doc__, run)
