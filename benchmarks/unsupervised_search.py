"""What to pretrain with: teachers, distances and batch sizes, judged on psb25's validation part.

    python benchmarks/unsupervised_search.py WORK

expects the stores of benchmarks/unsupervised.py in WORK, pretrains PointNet once per setting,
probes it on psb25 (fitted on train, read on validation; the test part is not read) and writes
benchmarks/results/unsupervised_search.md. Finished runs are kept.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pointmcd.evaluation.statistics import Spread
from pointmcd.probe.probe import probe
from pointmcd.probe.scores import ProbeScores
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.train import train

RESULTS = Path(__file__).parent / "results" / "unsupervised_search.md"
POINTS, EPOCHS = 512, 30
AUTOENCODER_EPOCHS = 6
STANDARD = "standardised features, cosine"
RANDOM = "random weights"
SETTINGS: dict[str, dict[str, Any]] = {
    STANDARD: {},
    "standardised features, cosine, batch 16": {"batch_size": 16},
    "standardised features, L1": {"distill_loss": "l1"},
    f"{STANDARD}, 60 epochs": {"epochs": 60},
    f"{STANDARD}, 60 epochs, resampled points": {"epochs": 60, "resample": True},
    f"{STANDARD}, 60 epochs, resampled points, scale 1.5, shift 0.2": {
        **{"epochs": 60, "resample": True, "scale": 1.5, "shift": 0.2},
    },
    "whitened features, cosine": {"teacher": "lite0-whitened"},
    "autoencoder, cosine": {"teacher": "lite0-autoencoder"},
}


def config(work: Path, name: str) -> TrainConfig:
    """A setting's run."""
    fields = {"task": "pretrain", "points": POINTS, "epochs": EPOCHS} | SETTINGS[name]
    out = work / "search" / name.replace(",", "").replace(" ", "-")
    return TrainConfig(work / "unlabelled", out, **fields)


def teachers(work: Path, name: str) -> None:
    """Make the teacher that a setting needs."""
    store, wanted = work / "unlabelled", SETTINGS[name].get("teacher", "")
    if wanted == "lite0-whitened":
        teach(TeachConfig(store, task="features", whiten=True))
    if wanted == "lite0-autoencoder":
        teach(TeachConfig(store, task="autoencoder", epochs=AUTOENCODER_EPOCHS))


def rows(work: Path, name: str) -> Iterator[str]:
    """Train and probe a setting; beside the first one the student of random weights."""
    teachers(work, name)
    run = train(config(work, name))
    first = name == STANDARD
    for pooling in ("max", "mean", "both") if first else ("max",):
        beside = first and pooling == "max"
        found = probe(run, work / "psb25", split="val", pooling=pooling, references=beside)
        agreement = f"{Run(run).metrics()[-1]['val_agreement']:.3f}"
        pooled = name if pooling == "max" else f"{name}, {pooling} pooling"
        yield row(pooled, agreement, found[0].scores)
        if beside:
            yield row(RANDOM, "", found[1].scores)


def row(name: str, agreement: str, scores: tuple[ProbeScores, ...]) -> str:
    """One line of the table; mean and deviation where there are several seeds."""
    cells = []
    for field in ("svm", "svm_cross_validated", "knn"):
        spread = Spread.of([getattr(score, field) for score in scores])
        deviation = "" if spread.std is None else f" ± {100 * spread.std:.1f}"
        cells.append(f"{100 * spread.mean:.1f}{deviation}")
    return f"| {name} | {' | '.join(cells)} | {agreement} |"


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    work = parser.parse_args().work
    table = [line for name in SETTINGS for line in rows(work, name)]
    head = [
        "# Without labels: the search, on the validation part",
        "",
        "Written by `python benchmarks/unsupervised_search.py WORK`. PointNet, 512 points,"
        f" {EPOCHS} epochs unless said otherwise, on furniture10 and psb25's train part without"
        " labels, seed 0, last epoch; embeddings max-pooled unless said otherwise. SVM and"
        " neighbours are fitted on psb25's 561 train shapes and read on its 97 validation shapes"
        " (one is 1.0 point). Nearly all of both were pretrained on, without their labels: these"
        " columns say how well shapes that were seen are told apart, agreement alone is of shapes"
        " that were not, and cannot be compared across teachers. The cross-validation is on the"
        " train shapes alone. The autoencoder was"
        f" trained for {AUTOENCODER_EPOCHS} epochs only, not the default 20. Random weights: seeds"
        " 0, 1, 2. The test part was not read.",
        "",
        "| pretrained by | SVM, validation | SVM, cross-validated on train | kNN, validation"
        " | agreement with the teacher, held-out shapes |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    RESULTS.write_text("\n".join([*head, *table]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
