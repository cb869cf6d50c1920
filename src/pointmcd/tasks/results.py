"""Evaluated runs, and variants: the runs that differ in nothing but their seed."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pointmcd.errors import PointMCDError
from pointmcd.metrics.metrics import Metrics
from pointmcd.metrics.part_iou import class_means
from pointmcd.metrics.statistics import Spread, class_interval, majority_vote, score_interval
from pointmcd.typing import Doubles, Indices

#: "teacher": not of a checkpoint, but of the run's teacher.
Checkpoint = Literal["last", "best", "teacher"]
#: What a model says of shapes, by name, [n, ...] each.
Arrays = dict[str, npt.NDArray[Any]]
#: What `known_labels` says without a label file.
NO_FILE = "none"


def known_labels(info: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run knew of the labels: their fraction, or how many of them in a label file.

    `info` is the content of run.json, `config` that of config.yaml.
    """
    count = info.get("labels", info.get("shapes", {}).get("train"))
    file = NO_FILE if config.get("labels") is None else f"of {count} labels"
    return {"label_fraction": config.get("label_fraction", 1.0), "label file": file}


def unreadable(store: Path, error: PointMCDError) -> str:
    """Return a sentence on a store, without the folders that lead to it: pages are passed on."""
    reason = str(error)
    for path in (store.absolute(), store.resolve()):
        reason = reason.replace(f"{path.parent}{os.sep}", "")
    return f"The store cannot be read: {reason}"


@dataclass(frozen=True)
class Section:
    """A section of a report that one task alone has.

    Attributes:
        anchor: its id on the page.
        title: in the list of sections.
        template: jinja2 template of its content, by name in report/templates.
        values: what the template is given.
    """

    anchor: str
    title: str
    template: str
    values: dict[str, Any]


@dataclass(frozen=True)
class RunResult:
    """An evaluated run; shapes are sorted by name, so that rows can be compared.

    Attributes:
        path: the run folder.
        info: the content of run.json.
        config: the content of config.yaml.
        checkpoint: which weights made the predictions.
        names: the n test shapes.
        labels: int64 [n], true classes.
        arrays: what the model said of them.
        metrics: how good that is.
        voting: how many rescaled copies of each cloud were voted over; 1: none.
        temperature: by which `predict` divides logits of that checkpoint; 1: none was fitted.
        folds: how many folds the answers are of; 0: they are the run's own.
    """

    path: Path
    info: dict[str, Any]
    config: dict[str, Any]
    checkpoint: Checkpoint
    names: tuple[str, ...]
    labels: Indices
    arrays: Arrays
    metrics: Metrics
    voting: int = 1
    temperature: float = 1.0
    folds: int = 0

    @property
    def known_labels(self) -> dict[str, Any]:
        """Labels known in training; see `known_labels`."""
        return known_labels(self.info, self.config)

    @property
    def scores(self) -> Doubles:
        """Float64 [n], the score of each shape."""
        return self.metrics.scores

    @property
    def score(self) -> float:
        """The main metric, which is the mean of `scores`."""
        return next(iter(self.metrics.main.values()))

    @property
    def class_score(self) -> float:
        """The mean over classes of the mean score of each class."""
        return list(self.metrics.main.values())[1]

    @property
    def arm(self) -> str:
        """Name of the variant: "baseline", "distilled", or a control."""
        return str(self.info["arm"])

    @property
    def student(self) -> str:
        """Name of the point encoder."""
        return str(self.info["student"])

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.info["seed"])

    @property
    def classes(self) -> tuple[str, ...]:
        """The K class names; class i is `classes[i]`."""
        return tuple(self.info["classes"])


@dataclass(frozen=True)
class Variant:
    """The runs of one setting, one per seed, sorted by seed.

    Attributes:
        label: short name, unique in a comparison.
        results: at least one run.
        joint_scores: float64 [n], one score per shape for all seeds together.
    """

    label: str
    results: tuple[RunResult, ...]
    joint_scores: Doubles

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seed of each run."""
        return tuple(result.seed for result in self.results)

    @property
    def score(self) -> Spread:
        """The main metric, over seeds."""
        return Spread.of([result.score for result in self.results])

    @property
    def joint_score(self) -> float:
        """The mean of `joint_scores`: of classes, the accuracy of the vote over seeds."""
        return float(self.joint_scores.mean())

    @property
    def labels_by_seed(self) -> bool:
        """Whether each seed knew other labels."""
        files = {result.info.get("settings", {}).get("labels") for result in self.results}
        part = self.results[0].known_labels["label_fraction"] < 1
        return len(self.results) > 1 and (part or len(files) > 1)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the main metric over test shapes, of all seeds together."""
        return score_interval(self.scores.mean(axis=0))

    @property
    def class_score(self) -> Spread:
        """The mean over classes of the same, over seeds."""
        return Spread.of([result.class_score for result in self.results])

    @property
    def class_interval(self) -> tuple[float, float]:
        """The 95% interval of that mean over test shapes, of all seeds together."""
        return class_interval(self.scores.mean(axis=0), self.results[0].labels)

    def metric(self, name: str) -> Spread:
        """Another metric by its name, over seeds."""
        return Spread.of([result.metrics.main[name] for result in self.results])

    @cached_property
    def scores(self) -> Doubles:
        """Float64 [S, n]: the score of each shape, by seed."""
        return np.stack([result.scores for result in self.results])

    @property
    def per_class(self) -> dict[str, float | None]:
        """Score of each class, mean over seeds; None for a class without test shapes."""
        first = self.results[0]
        return class_means(self.scores, first.labels, first.classes)


def majority_class(results: Sequence[RunResult]) -> Indices:
    """The class that most seeds chose of each shape, int64 [n]."""
    return majority_vote(
        np.stack([result.arrays["predictions"] for result in results]),
        np.stack([result.arrays["probabilities"] for result in results]),
    )
