"""Does distillation help or hurt on corrupted clouds? Three arms of PointNet on psb25.

    python -m benchmarks.corruptions ../shared/data WORK

trains, in the WORK of benchmarks.unsupervised and with its settings, PointNet from scratch,
fine-tuned (distilled before the labels) and distilled beside the labels, two seeds each; goes on
where it was interrupted; and writes benchmarks/corruptions/README.md. The severities were chosen
before any run was evaluated on them. Where the runs of unsupervised.py stand, it takes a quarter of
an hour of one core for the trainings and as long for the corruptions.
"""

import argparse
import os
import platform
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.unsupervised.__main__ import EPOCHS, POINTS, prepare_all, pretraining, training
from pointmcd.data.store import Store
from pointmcd.errors import RunError
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.robustness.compare import compare_corrupted
from pointmcd.robustness.evaluate import evaluate_corrupted
from pointmcd.robustness.registry import CORRUPTIONS
from pointmcd.robustness.result import read_predictions
from pointmcd.robustness.tables import corrupted_markdown
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.stored import read_teacher
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.train import train

RESULTS = Path(__file__).with_name("README.md")
STUDENT = "pointnet"
SEEDS = (0, 1)
ARMS = ("scratch", "distilled", "finetuned")


def config(work: Path, arm: str, seed: int) -> TrainConfig:
    """One training with all labels; the arms differ in what they are named after only."""
    same = training(work, STUDENT, arm, 1.0, seed)
    return replace(same, teacher="lite0") if arm == "distilled" else same


def train_all(data: Path, work: Path) -> dict[str, list[Path]]:
    """The evaluated runs of each arm."""
    if not (work / "psb25" / "store.json").exists():
        prepare_all(data, work)
    teach(TeachConfig(work / "psb25"))
    runs: dict[str, list[Path]] = {arm: [] for arm in ARMS}
    for seed in SEEDS:
        for arm in ARMS:
            run = config(work, arm, seed).folder
            if not (run / "test.json").exists():
                if arm == "finetuned":
                    train(pretraining(work, STUDENT, seed))
                evaluate(train(config(work, arm, seed)))
            runs[arm].append(run)
    return runs


def page(work: Path, runs: dict[str, list[Path]]) -> Iterator[str]:
    """The page, paragraph by paragraph."""
    store = Store(work / "psb25")
    shapes = {split: len(store.indices(split)) for split in ("train", "val", "test")}
    seeds = ", ".join(map(str, SEEDS))
    yield "# Corrupted clouds: does distillation help or hurt?"
    yield (
        "Written by `python -m benchmarks.corruptions ../shared/data WORK`; what the corruptions"
        " are: [docs/corruptions.md](../../docs/corruptions.md). The severities were chosen before"
        " any run was evaluated on them."
    )
    yield (
        f"psb25, {len(store.classes)} classes: {shapes['train']} train, {shapes['val']} validation,"
        f" {shapes['test']} test shapes, 75 corrupted clouds of each; PointNet, {POINTS} points,"
        f" {EPOCHS[STUDENT]} epochs, last epoch, seeds {seeds}. baseline is trained"
        " from scratch; distilled, by lite0 beside the labels (validation accuracy of the teacher"
        f" {read_teacher(store, 'lite0')['val_accuracy']:.1%}); finetuned, from a student that was"
        " distilled without labels, on psb25's train part and furniture10."
        f" {platform.machine()}, {os.cpu_count()} cores, no GPU, torch"
        f" {torch.__version__}."
    )
    others = [*runs["distilled"], *runs["finetuned"]]
    yield corrupted_markdown(compare_corrupted(others, runs["scratch"]))


def _complete(run: Path) -> bool:
    try:
        return len(read_predictions(run, "test", "last").predictions) == len(CORRUPTIONS)
    except RunError:
        return False


def run(data: Path, work: Path) -> None:
    """Everything, from the meshes to the page."""
    runs = train_all(data, work)
    todo = [run for arm in runs.values() for run in arm if not _complete(run)]
    if todo:
        evaluate_corrupted(todo, store=work / "psb25", checkpoints=["last"])
    parts = [part.strip() for part in page(work, runs)]
    RESULTS.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    run(**vars(parser.parse_args()))
