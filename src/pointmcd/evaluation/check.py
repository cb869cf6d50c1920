"""Check any task against the contract: train, evaluate and compare it on a made-up store."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from pointmcd.checking import attempt, check_derived, checking
from pointmcd.errors import ConfigError
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.evaluation.results import read_result
from pointmcd.preparation.made_up import make_up_store
from pointmcd.tasks.task import TASKS, Task
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.train import train


def check_task(task: str, student: str = "pointnet") -> None:
    """Check that a task keeps the contract of tasks.

    It trains a student for two epochs on ten made-up shapes with classes and part labels, checks
    what was logged, and, where the task learns from labels, evaluates the run, reads it back and
    compares it with itself.

    Args:
        task: as `--task` takes it: a registered name or `package.module:Name`, with options.
        student: likewise.

    Raises:
        ConfigError: one line that names the first rule broken, and how.
    """
    with checking(f"task {task}"), TemporaryDirectory() as folder:
        _check(task, student, Path(folder))


def _check(task: str, student: str, folder: Path) -> None:
    kind = TASKS.get(task.partition(",")[0])
    check_derived(kind, Task)
    for attribute in ("lesson", "best", "metrics", *(("wording",) if kind.labelled else ())):
        if not hasattr(kind, attribute):
            raise ConfigError(f"lacks the attribute {attribute}")
    if kind.best not in kind.metrics or "val_loss" not in kind.metrics:
        raise ConfigError(f"metrics {kind.metrics}: must hold val_loss and {kind.best} (best)")
    if not kind.labelled:  # it needs a teacher: `pointmcd train` is its check
        return
    store = make_up_store(folder)
    options: dict[str, Any] = {"epochs": 2, "points": 32, "batch_size": 3, "device": "cpu"}
    config = TrainConfig(store.path, folder / "run", task, student=student, teacher=None, **options)
    run = Run(attempt("training fails", lambda: train(config)))
    _check_log(kind, run)
    attempt("evaluating fails", lambda: evaluate(run.path, device="cpu"))
    result = attempt("reading the results fails", lambda: read_result(run.path))
    count = len(store.indices("test"))
    if result.scores.shape != (count,) or not np.isfinite(result.scores).all():
        raise ConfigError(f"scores {result.scores}: expected {count} finite numbers, one a shape")
    if abs(float(result.scores.mean()) - result.score) > 1e-6:
        raise ConfigError(f"the main metric, {result.score}, is not the mean of the scores")
    if kind.leads is not None and kind.best_name not in result.metrics.main:
        raise ConfigError(
            f"best_name {kind.best_name!r}: must be one of the metrics, as leads is set:"
            f" {', '.join(result.metrics.main)}"
        )
    comparison = attempt("comparing fails", lambda: compare([run.path], [run.path]))
    if comparison.differences[0].overall.mean != 0:
        raise ConfigError("a run differs from itself; do predictions draw at random?")


def _check_log(kind: type[Task], run: Run) -> None:
    for record in run.metrics():
        if missing := [name for name in kind.metrics if not isinstance(record.get(name), float)]:
            raise ConfigError(f"validate returns no number for {', '.join(missing)}")
