"""Run folders as training and evaluation write them, with predictions of chosen quality."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import ArrayLike

from pointmcd.training.run import RUN_FORMAT

CLASSES = ("bed", "chair", "lamp")
PARTS = {"bed": ["frame", "leg"], "chair": ["back", "leg", "seat"], "lamp": ["foot", "shade"]}


@dataclass
class Bench:
    """A place for run folders that share one test split."""

    folder: Path
    names: Sequence[str] = tuple(f"shape{i:03d}" for i in range(60))
    labels: Sequence[int] = tuple(i % 3 for i in range(60))
    classes: Sequence[str] = CLASSES
    store: str = "/nowhere/store"
    fingerprint: str = "0123456789abcdef"
    epochs: int = 5
    info: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    scores: Sequence[str] = ("val_accuracy", "val_class_accuracy")

    def predictions(self, accuracy: float, seed: int) -> np.ndarray:
        """Right with probability `accuracy`, else the next class."""
        right = np.random.default_rng(seed).random(len(self.labels)) < accuracy
        labels = np.asarray(self.labels)
        return np.where(right, labels, (labels + 1) % len(self.classes))

    def run(
        self,
        variant: str = "baseline",
        seed: int = 0,
        accuracy: float = 0.7,
        *,
        predictions: ArrayLike | None = None,
        order: Sequence[int] | None = None,
        name: str | None = None,
        info: dict[str, Any] | None = None,
        config: dict[str, Any] | None = None,
    ) -> Path:
        """Write one run; `order` permutes the rows of its predictions files."""
        run = self.folder / (name or f"{variant}-{seed}")
        run.mkdir(parents=True)
        self._describe(run, variant, seed, info or {}, config or {})
        self._history(run, variant, accuracy, seed)
        guess = np.asarray(
            self.predictions(accuracy, 100 * seed + len(variant))
            if predictions is None
            else predictions
        )
        self._predictions(run, guess, np.asarray(order if order is not None else range(len(guess))))
        return run

    def variant(
        self, variant: str, accuracy: float, seeds: Sequence[int] = (0, 1, 2)
    ) -> list[Path]:
        """Write one run per seed."""
        return [self.run(variant, seed, accuracy) for seed in seeds]

    def _describe(
        self, run: Path, variant: str, seed: int, info: dict[str, Any], config: dict[str, Any]
    ) -> None:
        distilled = variant.startswith("distilled")
        teacher = {"name": "lite0", "weights": "imagenet"} if distilled else None
        content = {
            "format": RUN_FORMAT,
            "pointmcd": "0.1.0",
            "task": "classification",
            "student": "pointnet",
            "num_classes": len(self.classes),
            "classes": list(self.classes),
            "store": self.store,
            "store_fingerprint": self.fingerprint,
            "teacher": teacher,
            "versions": {"python": "3.11.7", "torch": "2.13.0", "numpy": "2.4.6"},
            "parts": None,
            "seed": seed,
            "settings": {},
            "finished": True,
            "shapes": {"train": 120, "val": 20, "test": len(self.names)},
            "parameters": 1_234_567,
            "arm": variant,
        }
        (run / "run.json").write_text(json.dumps({**content, **self.info, **info}))
        settings = {
            "store": self.store,
            "out": str(run),
            "student": "pointnet",
            "teacher": "lite0" if distilled else None,
            "epochs": self.epochs,
            "batch_size": 32,
            "points": 512,
            "seed": seed,
            "optimizer": "sgd",
            "lr": 0.1,
            "task_weight": 0.1,
            "objective": ["vafp:1"],
            "visibility": "all" if variant == "distilled-all-visible" else "exact",
            "pairing": "wrong" if variant == "distilled-wrong-view" else "true",
        }
        (run / "config.yaml").write_text(yaml.safe_dump({**settings, **self.config, **config}))

    def _history(self, run: Path, variant: str, accuracy: float, seed: int) -> None:
        noise = np.random.default_rng(seed).normal(0, 0.01, self.epochs)
        lines = []
        for epoch in range(1, self.epochs + 1):
            share = 1 - np.exp(-4 * epoch / self.epochs)
            reached = float(accuracy * share + noise[epoch - 1])
            record = {
                "epoch": epoch,
                "lr": 0.1,
                "task_loss": float(2.5 * np.exp(-3 * epoch / self.epochs) + abs(noise[epoch - 1])),
                "vafp_loss": 0.4 / epoch**0.3 if variant.startswith("distilled") else None,
                "train_accuracy": reached,
                **dict.fromkeys(self.scores, reached),
                "val_loss": 1.0,
                "seconds": 1.5,
            }
            lines.append(json.dumps(record))
        (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")

    def _predictions(self, run: Path, guess: np.ndarray, order: np.ndarray) -> None:
        count = len(self.classes)
        odds = np.random.default_rng(len(guess)).uniform(2, 9, len(guess))
        logits = odds[:, None] * np.eye(count)[guess]
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        predictions = guess.astype(np.int64)
        self._save(run, order, predictions=predictions, probabilities=np.float32(probabilities))

    def _save(self, run: Path, order: np.ndarray, **arrays: np.ndarray) -> None:
        arrays |= {"names": np.asarray(self.names), "labels": np.asarray(self.labels)}
        rows = {key: values[order] for key, values in arrays.items()}
        for checkpoint in ("last", "best"):
            np.savez(run / f"predictions-test-{checkpoint}.npz", **rows)


@dataclass
class PartsBench(Bench):
    """The same for part segmentation; `truth` [n, N] holds global part ids, -1 unlabelled."""

    parts: dict[str, list[str]] = field(default_factory=lambda: PARTS)
    truth: np.ndarray | None = None
    scores: Sequence[str] = (
        *("val_instance_miou", "val_class_miou", "val_part_miou"),
        "val_point_accuracy",
    )

    def __post_init__(self) -> None:
        self.info = {"task": "segmentation", "parts": self.parts, **self.info}
        self.config = {"task": "segmentation", **self.config}
        if self.truth is None:
            start, size = self._starts_and_sizes()
            self.truth = start + np.random.default_rng(5).integers(0, size, (len(start), 16))

    def predictions(self, accuracy: float, seed: int) -> np.ndarray:
        """Each point right with probability `accuracy`, else the next part of its class."""
        start, size = self._starts_and_sizes()
        right = np.random.default_rng(seed).random(self.truth.shape) < accuracy
        own = np.maximum(self.truth, start)  # unlabelled points are predicted too
        return np.where(right, own, start + (own - start + 1) % size)

    def _starts_and_sizes(self) -> tuple[np.ndarray, np.ndarray]:
        """First part and number of parts of each shape's class, [n, 1] each."""
        sizes = np.array([len(self.parts[name]) for name in self.classes])
        starts = np.cumsum(sizes) - sizes
        labels = np.asarray(self.labels)
        return starts[labels, None], sizes[labels, None]

    def _predictions(self, run: Path, guess: np.ndarray, order: np.ndarray) -> None:
        self._save(run, order, truth=np.int16(self.truth), predictions=np.int16(guess))
