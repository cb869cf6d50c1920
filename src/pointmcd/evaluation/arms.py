"""Arms: the runs of one setting, trained with several seeds, and their figures over seeds."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pointmcd.evaluation.measures import Measure
from pointmcd.evaluation.run_result import ClassificationResult, RunResult
from pointmcd.evaluation.statistics import Spread, majority_vote
from pointmcd.metrics.part_iou import class_means


@dataclass(frozen=True)
class Arm:
    """The runs of one arm, one per seed, sorted by seed.

    Attributes:
        label: short name, unique in a comparison.
        results: at least one run.
    """

    label: str
    results: tuple[RunResult, ...]

    @property
    def measure(self) -> Measure:
        """What the task calls its figures."""
        return self.results[0].measure

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seed of each run."""
        return tuple(result.seed for result in self.results)

    @property
    def score(self) -> Spread:
        """Overall accuracy or instance mIoU, over seeds."""
        return Spread.of([result.score for result in self.results])

    @property
    def class_score(self) -> Spread:
        """The mean over classes of the same, over seeds."""
        return Spread.of([result.class_score for result in self.results])

    @cached_property
    def scores(self) -> NDArray[np.float64]:
        """Float64 [S, n]: right (1) or wrong (0), or mean IoU, per seed and shape."""
        return np.stack([result.scores for result in self.results])

    @property
    def joint_scores(self) -> NDArray[np.float64]:
        """Float64 [n]: one score per shape for all seeds together, here their mean."""
        mean: NDArray[np.float64] = self.scores.mean(axis=0)
        return mean

    @property
    def per_class(self) -> dict[str, float | None]:
        """Score of each class, mean over seeds; None for a class without test shapes."""
        first = self.results[0]
        return class_means(self.scores, first.labels, first.classes)


@dataclass(frozen=True)
class ClassificationArm(Arm):
    """An arm that names classes: its seeds can vote."""

    results: tuple[ClassificationResult, ...]

    @property
    def joint_scores(self) -> NDArray[np.float64]:
        """Float64 [n]: 1 where the class that most seeds chose is the true one, else 0."""
        return np.equal(self.vote, self.results[0].labels).astype(np.float64)

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """Float32 [n, K], mean over seeds."""
        mean: NDArray[np.float32] = np.mean([r.probabilities for r in self.results], axis=0)
        return mean

    @cached_property
    def vote(self) -> NDArray[np.int64]:
        """Int64 [n]: the class that most seeds chose."""
        return majority_vote(
            np.stack([result.predictions for result in self.results]),
            np.stack([result.probabilities for result in self.results]),
        )

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Int64 [K, K], summed over seeds."""
        total: NDArray[np.int64] = np.sum([r.metrics.confusion for r in self.results], axis=0)
        return total
