"""What distillation gains in part segmentation on psb_parts17, with all four students.

    python -m benchmarks.psb_parts17 ../shared/data/psb_parts17.zip WORK

makes WORK/store and WORK/runs, goes on where it was interrupted, reads the test part once, at the
end of each run, and writes benchmarks/psb_parts17/README.md. Two processes of one thread each are
faster than one of two: once the store and its teacher are there, start one with `--share 0/2` and
one with `--share 1/2`, then run it without, for the page.
"""

import os
import platform
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.psb25.descriptors import cosine
from benchmarks.shared.trials import Trial, describe, main, run_trials, write_page
from pointmcd.data.store import Store
from pointmcd.preparation.prepare import prepare
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.stored import map_output, read_teacher
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.train import train

RESULTS = Path(__file__).with_name("README.md")
POINTS, BATCH_SIZE = 512, 16
BOTH = ("baseline", "distilled")
TRIALS = (
    Trial("pointnet", 40, (0, 1, 2), BOTH),
    Trial("pointnet", 40, (0,), ("baseline",), rotation="any"),
    Trial("dgcnn", 20, (0,), BOTH),
    Trial("pointnet2", 20, (0,), BOTH),
    Trial("curvenet", 20, (0,), BOTH),
)

#: Tried with PointNet, seed 0, 40 epochs, and judged on the validation part alone.
SEARCH: dict[str, dict[str, Any]] = {
    "baseline": {"teacher": None},
    "distilled, plain start, weight 3": {"distill_start": "plain"},
    "distilled, plain start, weight 0.5": {"distill_start": "plain", "distill_weight": 0.5},
    "distilled, start from the targets, weight 3": {},
    "baseline, rotation any": {"teacher": None, "rotation": "any"},
}


def settings(work: Path) -> TrainConfig:
    """What all runs have in common."""
    return TrainConfig(
        work / "store",
        task="segmentation",
        points=POINTS,
        batch_size=BATCH_SIZE,
        distill_start="targets",  # chosen on the validation part, see SEARCH
        device="cpu",
    )


def search(work: Path) -> dict[str, TrainConfig]:
    """The runs of SEARCH; those that are runs of a trial too are not made twice."""
    known = [c for trial in TRIALS for c in trial.configs(settings(work), work)]
    configs = {}
    for name, options in SEARCH.items():
        config = replace(known[0], **({"teacher": "lite0"} | options), out=work / "search" / name)
        same = [c for c in known if c.decisive() == config.decisive()]
        configs[name] = same[0] if same else config
    return configs


def search_table(work: Path) -> str:
    """What was tried on the validation part."""
    rows = [
        "| PointNet, seed 0, 40 epochs | validation instance mIoU | distillation loss |",
        "| --- | ---: | ---: |",
    ]
    for name, config in search(work).items():
        last = Run(config.folder).metrics()[-1]
        distill = f"{last['distill_loss']:.3f}" if config.teacher else ""
        rows.append(f"| {name} | {100 * last['val_instance_miou']:.1f} | {distill} |")
    return "What was tried before, on the validation part, last epoch:\n\n" + "\n".join(rows)


def head(work: Path) -> Iterator[str]:
    """What stands above the tables."""
    store = Store(work / "store")
    counts = {split: len(store.indices(split)) for split in ("train", "val", "test")}
    yield (
        "# psb_parts17: what distillation gains in part segmentation\n\n"
        "Written by `python -m benchmarks.psb_parts17 ../shared/data/psb_parts17.zip WORK`.\n\n"
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
    train_part = store.indices("train")
    targets = map_output(store, "lite0-segmentation", "descriptors", train_part)[:]
    everything, classes, shapes = cosine(targets, store.labels(train_part))
    yield (
        "What there is to learn in its descriptors: on the train part, 1 - cosine of the best"
        f" single guess is {everything:.3f} for all shapes, {classes:.3f} for the shape's class,"
        f" {shapes:.3f} for the shape."
    )
    yield search_table(work)
    yield f"Settings of the distilled arm, the same in all trials: {describe(settings(work))}."


def run(source: Path, work: Path, share: str, students: tuple[str, ...]) -> None:
    """Everything, from the meshes to the page."""
    prepare(source, work / "store", rig="ring16")
    teach(TeachConfig(work / "store", task="segmentation"))
    chosen = [trial for trial in TRIALS if not students or trial.student in students]
    for config in search(work).values():
        train(config)
    run_trials([c for trial in chosen for c in trial.configs(settings(work), work)], share)
    if share == "0/1":
        write_page(RESULTS, head(work), TRIALS, work, "instance_miou")


if __name__ == "__main__":
    main(__doc__, run)
