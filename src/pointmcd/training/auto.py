"""Whether to distil: decided from labels, and from teacher and baseline on the validation split."""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.tasks.task import Task
from pointmcd.training.calibration import LEAST_SHAPES
from pointmcd.training.config import TrainConfig, beside
from pointmcd.training.inputs import count_shapes, find_teacher
from pointmcd.training.run import Run
from pointmcd.training.teacher_metrics import teacher_metrics
from pointmcd.training.train import train
from pointmcd.typing import Indices

#: Labelled fraction of the train split below which labels are few.
_FEW = 0.5
#: Fraction of a training's epochs that the quick baseline runs for, and its steps at least.
_QUICK, _QUICK_STEPS = 0.25, 250


class Decision(NamedTuple):
    """Settings to train with, a baseline's if distillation would not pay, and one line on why."""

    config: TrainConfig
    reason: str


def decide(config: TrainConfig) -> Decision:
    """Decide whether to distil; trains a quick baseline (in RUN-quick) where that must be known.

    Args:
        config: of a distilled run.

    Raises:
        StoreError, ConfigError, RunError: as `train`.
    """
    config.check()
    store, task = Store(config.store, config.labels), config.described_task
    teacher = find_teacher(config, store)
    if teacher is None:
        return Decision(config, "does not distil: has no teacher")
    if not task.labelled:
        return Decision(config, f"distils: --task {config.task} learns nothing else")
    train_shapes = count_shapes(config, store)
    labelled = len(labelled_train(store, config.label_fraction, config.seed))
    few = labelled < _FEW * train_shapes
    known = f"{labelled} of {train_shapes} train shapes have labels"
    if task.teacher_answer in teacher["outputs"]:
        config = replace(config, objective=config.objective or task.few_labels_objective)
    if unmeasured := _unmeasured(task, store, teacher, few):
        reason = f"{known}, and {unmeasured}"
        return Decision(config, f"distils: {reason}") if few else _baseline(config, reason)
    ahead, measured = _lead(config, store, teacher)
    assert task.leads is not None
    needed = task.leads[0 if few else 1]
    reason = f"{known}; {measured}, {ahead:+.1f} points ({needed:+.0f} or more pay)"
    return Decision(config, f"distils: {reason}") if ahead >= needed else _baseline(config, reason)


def _unmeasured(task: Task, store: Store, teacher: dict[str, Any], few: bool) -> str | None:
    """Return why it cannot be measured how far the teacher is ahead, or None."""
    if task.leads is None or task.teacher_answer not in teacher["outputs"]:
        return "the teacher cannot be compared with a baseline"
    count = len(_validated(store))
    if not count:
        return "there is no validation split to measure on"
    if few and count < LEAST_SHAPES:
        return f"{count} validation shapes are too few to measure on"
    return None


def _validated(store: Store) -> Indices:
    """Indices of the validation shapes whose labels are known."""
    return np.array([i for i in store.indices("val") if store.is_labelled(int(i))], dtype=np.int64)


def _baseline(config: TrainConfig, reason: str) -> Decision:
    return Decision(_alone(config), f"does not distil: {reason}")


def _alone(config: TrainConfig) -> TrainConfig:
    return replace(config, teacher=None, objective=())


def _lead(config: TrainConfig, store: Store, teacher: dict[str, Any]) -> tuple[float, str]:
    """Return by how many points of `Task.best` on validation the teacher is ahead, and the two."""
    task, val = config.described_task, _validated(store)
    theirs = teacher_metrics(task, store, teacher, val).main[task.best_name]
    shapes = count_shapes(config, store)
    sized = config.for_shapes(shapes)
    least = math.ceil(_QUICK_STEPS / max(shapes // sized.batch_size, 1))
    quick = replace(
        _alone(sized),
        fit_on="train",
        epochs=min(sized.epochs, max(math.ceil(sized.epochs * _QUICK), least)),
        out=beside(config.folder, "quick"),
    )
    ours = float(Run(train(quick)).metrics()[-1][task.best])
    return 100 * (theirs - ours), (
        f"on {len(val)} validation shapes {teacher['name']} has {theirs:.1%} {task.best_name}, a"
        f" quick baseline {ours:.1%}"
    )
