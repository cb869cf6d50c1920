"""The gain of distillation in part segmentation on psb_parts17, with all four students.

    python -m benchmarks.psb_parts17 ../shared/data/psb_parts17.zip WORK

makes WORK/store and WORK/runs, goes on where it was interrupted, reads the test split once, at the
end of each run, and writes benchmarks/psb_parts17/README.md. Two processes of one thread each are
faster than one of two: once the store and its teacher are there, start one with `--share 0/2` and
one with `--share 1/2`, then run it without, for the page.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.shared.guesses import cosine, guesses
from benchmarks.shared.page import machine, table
from benchmarks.shared.trials import (
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
from pointmcd.training.run import Run
from pointmcd.training.train import train

PAGE = Path(__file__).with_name("README.md")
POINTS, BATCH_SIZE = 512, 16
TEACHER = "lite0-segmentation"
TRIALS = (
    Trial("pointnet", 40, (0, 1, 2)),
    Trial("pointnet", 40, (0,), ("baseline",), rotation="any"),
    Trial("dgcnn", 20, (0,)),
    Trial("pointnet2", 20, (0,)),
    Trial("curvenet", 20, (0,)),
)

#: Tried with PointNet, seed 0, 40 epochs, and judged on the validation split alone.
SEARCH: dict[str, dict[str, Any]] = {
    "baseline": {"teacher": None},
    "distilled, plain start, weight 3": {"objective": ("vafp:3,start=plain",)},
    "distilled, plain start, weight 0.5": {"objective": ("vafp:0.5,start=plain",)},
    "distilled, start from the targets, weight 3": {},
    "baseline, rotation any": {"teacher": None, "rotation": "any"},
}


def settings(work: Path) -> TrainConfig:
    """Return what all runs have in common; the start was chosen on the validation split."""
    return TrainConfig(
        work / "store",
        task="segmentation,head=single",
        points=POINTS,
        batch_size=BATCH_SIZE,
        objective=("vafp:3,start=targets",),
    )


def search(work: Path) -> dict[str, TrainConfig]:
    """Return the runs of SEARCH; those that are runs of a trial too are not made twice."""
    known = [c for trial in TRIALS for c in trial.configs(settings(work), work)]
    configs = {}
    for name, options in SEARCH.items():
        config = replace(known[0], **({"teacher": "lite0"} | options), out=work / "search" / name)
        same = [c for c in known if c.decisive() == config.decisive()]
        configs[name] = same[0] if same else config
    return configs


def search_table(work: Path) -> str:
    """Return what was tried on the validation split."""
    rows = []
    for name, config in search(work).items():
        last = Run(config.folder).metrics()[-1]
        distill = f"{last['vafp_loss']:.3f}" if config.teacher else ""
        rows.append([name, f"{100 * last['val_instance_miou']:.1f}", distill])
    head = ["PointNet, seed 0, 40 epochs", "validation instance mIoU", "distillation loss"]
    return table(head, rows)


def head(work: Path) -> Iterator[str]:
    """Yield what stands above the sections."""
    store = Store(work / "store")
    yield "# psb_parts17: what distillation gains in part segmentation"
    yield "Written by `python -m benchmarks.psb_parts17 ../shared/data/psb_parts17.zip WORK`."
    yield (
        f"{len(store.classes)} classes, {store.num_parts} parts: {describe_store(store)}; {POINTS}"
        f" points, {store.num_views} views. {machine()}"
    )
    meta = read_teacher(store, TEACHER)
    yield (
        f"Teacher `{TEACHER}`, {meta['epochs']} epochs: pixel mIoU"
        f" {meta['val_pixel_miou']:.1%}, {meta['val_pixel_accuracy']:.1%} of the object's pixels"
        f" right, on all views of {meta['val_shapes']} validation shapes."
    )
    indices = store.indices("train")
    targets = map_output(store, TEACHER, "descriptors", indices)[:]
    everything, classes, shapes = guesses(targets, store.labels(indices), cosine)
    yield (
        "What there is to learn in its descriptors: on the train split, 1 - cosine of the best"
        f" single guess is {everything:.3f} for all shapes, {classes:.3f} for the shape's class,"
        f" {shapes:.3f} for the shape."
    )
    yield "What was tried before, on the validation split, last epoch:"
    yield search_table(work)
    yield f"Settings of the distilled runs, the same in all trials: {describe(settings(work))}."


def main() -> None:
    """Do everything, from the meshes to the page."""
    chosen = parser(__doc__, "--share", "--students").parse_args()
    work = chosen.work
    prepare(PrepareConfig(chosen.source, work / "store", rig="ring16"))
    teach(TeachConfig(work / "store", task="segmentation"))
    run_trials(TRIALS, settings(work), chosen)
    if chosen.share == "0/1":
        for config in search(work).values():
            train(config)
        write_page(PAGE, head(work), TRIALS, work, "instance_miou")


if __name__ == "__main__":
    main()
