"""What distillation gains on psb25: baseline, distilled and three controls, seed by seed.

    python benchmarks/psb25.py ../shared/data/psb25.zip WORK

makes WORK/store and WORK/runs, goes on where it was interrupted, reads the test part once, at the
end of each run, and writes benchmarks/results/psb25.md. On two cores it takes about two hours; two
processes of one thread each are faster than one of two: once the store is there, start one with
`--share 0/2` and one with `--share 1/2`, then run it without, for the table.
"""

import argparse
import os
import platform
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from pointmcd.data.prepare import prepare
from pointmcd.data.store import Store
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import to_markdown
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.files import read_json
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.export import read_teacher
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.train import train

RESULTS = Path(__file__).parent / "results" / "psb25.md"
POINTS = 512
#: The method's augmentation; the default has since become milder (docs/when-distillation-pays.md).
SCALE, SHIFT = 1.5, 0.2
ARMS = {
    "baseline": {"teacher": None},
    "distilled": {},
    "distilled-all-visible": {"visibility": "all"},
    "distilled-wrong-view": {"pairing": "wrong"},
    "distilled-random-teacher": {"teacher": "random-lite0"},
}
#: student, epochs, seeds, arms
PLAN = (
    ("pointnet", 20, (0, 1, 2), tuple(ARMS)),
    ("dgcnn", 10, (0,), ("baseline", "distilled")),
)


def configs(work: Path) -> Iterator[TrainConfig]:
    """All runs, seed by seed, so that an interruption leaves whole seeds."""
    for student, epochs, seeds, arms in PLAN:
        for seed in seeds:
            for arm in arms:
                config = TrainConfig(
                    store=work / "store",
                    out=work / "runs" / f"{student}-{arm}-s{seed}",
                    student=student,
                    epochs=epochs,
                    points=POINTS,
                    scale=SCALE,
                    shift=SHIFT,
                    seed=seed,
                )
                yield replace(config, **ARMS[arm])


def run_all(source: Path, work: Path, share: str) -> None:
    """Everything, from the meshes to the evaluated runs."""
    prepare(source, work / "store")
    for teacher in ("lite0", "random:lite0"):
        teach(TeachConfig(work / "store", teacher=teacher))
    number, of = map(int, share.split("/"))
    for config in list(configs(work))[number::of]:
        run = train(config)
        if not (run / "test.json").exists():
            evaluate(run)


def sections(work: Path) -> Iterator[str]:
    """The page, part by part."""
    store = Store(work / "store")
    counts = {split: len(store.indices(split)) for split in ("train", "val", "test")}
    yield (
        "# psb25: what distillation gains\n\n"
        "Written by `python benchmarks/psb25.py ../shared/data/psb25.zip WORK`; what was tried"
        " before, on the validation part, is in [psb25_search.md](psb25_search.md).\n\n"
        f"psb25, {len(store.classes)} classes: {counts['train']} train, {counts['val']} validation"
        f" (held out of train), {counts['test']} test shapes; {POINTS} points, 12 views."
        f" {platform.machine()}, {os.cpu_count()} cores, no GPU, torch {torch.__version__}."
    )
    for name in ("lite0", "random-lite0"):
        meta = read_teacher(store, name)
        yield (
            f"Teacher `{name}`: {meta['val_accuracy']:.1%} of {meta['val_shapes']} validation"
            f" shapes, {meta['val_view_accuracy']:.1%} of their single views."
        )
    for student, epochs, seeds, arms in PLAN:
        folders = {
            arm: [work / "runs" / f"{student}-{arm}-s{seed}" for seed in seeds] for arm in arms
        }
        yield f"## {student}, {epochs} epochs, seeds {', '.join(map(str, seeds))}"
        runs = [run for arm in arms if arm != "baseline" for run in folders[arm]]
        for checkpoint in ("last", "best"):
            yield to_markdown(compare(runs, folders["baseline"], checkpoint))
        yield by_seed(folders)
    distilled = next(c for c in configs(work) if c.arm == "distilled")
    yield (
        "Settings of PointNet's distilled arm; the others differ in the one thing they are named"
        f" after: {describe(distilled)}."
    )


def by_seed(folders: dict[str, list[Path]]) -> str:
    """Overall accuracy of each run, last epoch, in percent."""
    most = max(map(len, folders.values()))
    head = " | ".join(f"seed {seed}" for seed in range(most))
    rows = [f"| overall accuracy | {head} |", "| --- |" + " ---: |" * most]
    for arm, runs in folders.items():
        figures = [read_json(run / "test.json")["last"]["overall_accuracy"] for run in runs]
        rows.append(f"| {arm} | " + " | ".join(f"{100 * f:.1f}" for f in figures) + " |")
    return "\n".join(rows)


def describe(config: TrainConfig) -> str:
    """The settings that decide a run, on one line."""
    settings = {k: v for k, v in config.decisive().items() if k != "seed"}
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--share", default="0/1", help="K/N: only every N-th run, from the K-th")
    arguments = parser.parse_args()
    run_all(arguments.source, arguments.work, arguments.share)
    if arguments.share != "0/1":
        return
    RESULTS.write_text("\n\n".join(s.strip() for s in sections(arguments.work)) + "\n")


if __name__ == "__main__":
    main()
