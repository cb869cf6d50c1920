"""What a student learns without labels: pretrained on meshes alone, probed and fine-tuned.

    python -m benchmarks.unsupervised ../shared/data WORK

makes three stores in WORK (all meshes of furniture10 and the train part of psb25 without classes;
psb25; psb_parts17), a teacher without labels, the pretrained students, those fine-tuned and those
trained from scratch with 10% and all of psb25's labels, goes on where it was interrupted, and
writes benchmarks/unsupervised/README.md. The test parts are read when a training has ended, and
nothing is chosen by them. On two cores it takes about two hours. Two processes of one thread each
(OMP_NUM_THREADS=1) are faster than one of two: start one with `--share 0/2`, once the teacher is
there another with `--share 1/2`, then run it without, for the page.
"""

import argparse
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.shared.trials import describe
from benchmarks.unsupervised.bars import draw_probes
from benchmarks.unsupervised.pool import pool
from pointmcd.data.store import Store
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import to_markdown
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.evaluation.statistics import Spread
from pointmcd.files import read_json
from pointmcd.preparation.prepare import prepare
from pointmcd.probing.cells import PROBE_NOTES, probe_markdown
from pointmcd.probing.probe import probe
from pointmcd.probing.scores import ProbeRow, ProbeScores
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.train import train

RESULTS = Path(__file__).with_name("README.md")
PICTURE = RESULTS.with_name("unsupervised.png")
POINTS = 512
#: Seeds by student, and epochs of pretraining.
SEEDS = {"pointnet": (0, 1, 2), "dgcnn": (0,)}
PRETRAIN_EPOCHS = {"pointnet": 60, "dgcnn": 15}
#: Of all that is trained with labels.
EPOCHS = {"pointnet": 20, "dgcnn": 10}
SHARES = (0.1, 1.0)
ARMS = ("scratch", "finetuned")
PROBED = ("psb25", "psb_parts17")


def pretraining(work: Path, student: str, seed: int) -> TrainConfig:
    """A student that sees no label."""
    return TrainConfig(
        work / "unlabelled",
        work / "runs" / f"{student}-pretrained-s{seed}",
        task="pretrain",
        student=student,
        seed=seed,
        points=POINTS,
        epochs=PRETRAIN_EPOCHS[student],
    )


def training(work: Path, student: str, arm: str, share: float, seed: int) -> TrainConfig:
    """A student with a share of psb25's labels; the arms differ in their first weights only."""
    start = pretraining(work, student, seed).folder if arm == "finetuned" else None
    return TrainConfig(
        work / "psb25",
        work / "runs" / f"{student}-{arm}-{share:g}-s{seed}",
        student=student,
        teacher=None,
        seed=seed,
        points=POINTS,
        epochs=EPOCHS[student],
        init=start,
        label_fraction=share,
    )


def prepare_all(data: Path, work: Path) -> None:
    """The three stores and the teacher."""
    meshes = work / "meshes"
    if not (work / "unlabelled" / "store.json").exists():
        sources = {"psb25": ("train",), "furniture10": ("train", "test")}
        pool({data / f"{name}.zip": splits for name, splits in sources.items()}, meshes)
    prepare(meshes, work / "unlabelled", rig="ring16", val_fraction=0.05)
    for name in PROBED:
        prepare(data / f"{name}.zip", work / name, rig="ring16")
    teach(TeachConfig(work / "unlabelled", task="features"))


def run_all(work: Path, share: str) -> None:
    """Pretrain, then train with labels; of a share K/N only every N-th pair of student and seed."""
    number, of = map(int, share.split("/"))
    pairs = [(student, seed) for student, seeds in SEEDS.items() for seed in seeds]
    for student, seed in pairs[number::of]:
        train(pretraining(work, student, seed))
        for part in SHARES:
            for arm in ARMS:
                run = train(training(work, student, arm, part, seed))
                if not (run / "test.json").exists():
                    evaluate(run)


def probed(work: Path, student: str, name: str) -> list[ProbeRow]:
    """The rows of one student on one store; a row's scores are those of its seeds."""
    seeds = SEEDS[student]
    pretrained = [pretraining(work, student, seed).folder for seed in seeds]
    supervised = [training(work, student, "scratch", 1.0, seed).folder for seed in seeds]
    rows = _kept(work, name, [*pretrained, *supervised])
    own, theirs = rows[: len(seeds)], rows[len(seeds) : 2 * len(seeds)]
    return [
        _joined(f"{student}, pretrained without labels", own),
        _joined(f"{student}, supervised on psb25 from scratch", theirs),
        *rows[2 * len(seeds) :],
    ]


def _kept(work: Path, name: str, runs: list[Path]) -> list[ProbeRow]:
    """The rows of a probe of these runs: those that stand in the first, or made now."""
    file = runs[0] / f"probe-{name}-test-last-max.json"
    kept = read_json(file) if file.exists() else {"settings": {}}
    if kept["settings"].get("runs") != [str(run.resolve()) for run in runs]:
        return probe(runs[0], work / name, beside=runs[1:])
    return [ProbeRow(row["name"], tuple(map(_score, row["scores"]))) for row in kept["rows"]]


def _score(saved: dict[str, Any]) -> ProbeScores:
    episodes = {key: None if s is None else Spread(**s) for key, s in saved["few_shot"].items()}
    return ProbeScores(**saved | {"few_shot": episodes})


def _joined(name: str, rows: list[ProbeRow]) -> ProbeRow:
    return ProbeRow(name, tuple(score for row in rows for score in row.scores))


def page(work: Path) -> Iterator[str]:
    """The parts of the page."""
    yield head(work)
    tables = {name: {student: probed(work, student, name) for student in SEEDS} for name in PROBED}
    draw_probes(PICTURE, {name: rows["pointnet"] for name, rows in tables.items()}, "PointNet")
    yield f"![Bars of the SVM column for PointNet]({PICTURE.name})"
    for name, of_students in tables.items():
        yield f"## Frozen features on {name}"
        for rows in of_students.values():
            yield probe_markdown(rows)
    yield PROBE_NOTES
    for student, seeds in SEEDS.items():
        for share in SHARES:
            yield from fine_tuned(work, student, share, seeds)


def head(work: Path) -> str:
    """What was done, on what."""
    store = Store(work / "unlabelled")
    counts = {split: len(store.indices(split)) for split in ("train", "val")}
    one = pretraining(work, "pointnet", 0)
    ends = "; ".join(_end(work, student) for student in SEEDS)
    return (
        "# Without labels\n\n"
        "Written by `python -m benchmarks.unsupervised ../shared/data WORK`.\n\n"
        f"Pretraining: {counts['train']} meshes of furniture10 and psb25's train part,"
        f" {counts['val']} more to watch it by, no class known; {POINTS} points,"
        f" {store.num_views} views; teacher lite0-features: the frozen ImageNet encoder's pooled"
        " features, standardised over these"
        " meshes. No test mesh of psb25 is among them, its validation meshes are; psb_parts17 was"
        " not seen. Nothing was chosen on a test part. A student is frozen when it is probed"
        " (embeddings max-pooled over points), and its last epoch is taken. Rows of a student have"
        " the seeds named below, those of random weights seeds 0, 1, 2."
        f" {platform.machine()}, {os.cpu_count()} cores, no GPU, torch {torch.__version__}.\n\n"
        f"Settings of pretraining: {describe(one)}. Agreement (mean cosine similarity of the"
        f" student's and the teacher's descriptors, shapes held out of pretraining): {ends}."
    )


def _end(work: Path, student: str) -> str:
    runs = [Run(pretraining(work, student, seed).folder) for seed in SEEDS[student]]
    values = ", ".join(f"{run.metrics()[-1]['val_agreement']:.3f}" for run in runs)
    seeds = ", ".join(map(str, SEEDS[student]))
    return f"{student}, {PRETRAIN_EPOCHS[student]} epochs, seeds {seeds}: {values}"


def fine_tuned(work: Path, student: str, share: float, seeds: tuple[int, ...]) -> Iterator[str]:
    """The two arms with a share of the labels, and each seed's accuracy."""
    folders = {
        arm: [training(work, student, arm, share, seed).folder for seed in seeds] for arm in ARMS
    }
    shapes = [Run(run).meta["shapes"]["train"] for run in folders["scratch"]]
    yield (
        f"## {student} fine-tuned on psb25 with {share:.0%} of the labels"
        f" ({int(np.mean(shapes))} shapes), {EPOCHS[student]} epochs"
    )
    yield to_markdown(compare(folders["finetuned"], folders["scratch"]))
    yield "\n".join(_accuracies(folders))


def _accuracies(folders: dict[str, list[Path]]) -> Iterator[str]:
    seeds = [Run(run).meta["seed"] for run in folders["scratch"]]
    yield "| overall accuracy, last epoch | " + " | ".join(f"seed {i}" for i in seeds) + " |"
    yield "| --- |" + " ---: |" * len(seeds)
    for arm, runs in folders.items():
        found: list[Any] = [
            read_json(run / "test.json")["last"]["overall_accuracy"] for run in runs
        ]
        yield f"| {arm} | " + " | ".join(f"{100 * value:.1f}" for value in found) + " |"


def main() -> None:
    """Parse DATA, WORK and --share, and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--share", default="0/1", help="K/N: only every N-th student and seed")
    arguments = parser.parse_args()
    prepare_all(arguments.data, arguments.work)
    run_all(arguments.work, arguments.share)
    if arguments.share == "0/1":
        parts = (part.strip() for part in page(arguments.work))
        RESULTS.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
