"""Check any task against the contract: train, evaluate and compare it on a made-up store."""

import inspect
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import torch

from pointmcd.errors import ConfigError, PointMCDError, first_line
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.evaluation.results import read_result
from pointmcd.preparation.made_up import make_up_store
from pointmcd.progress import console
from pointmcd.tasks.task import TASKS, Task
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.train import train

T = TypeVar("T")


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
    quiet, console.quiet = console.quiet, True
    try:
        with torch.random.fork_rng(devices=[]), TemporaryDirectory() as folder:
            _check(task, student, Path(folder))
    except ConfigError as error:
        raise ConfigError(f"task {task}: {error}") from error.__cause__
    finally:
        console.quiet = quiet


def _check(task: str, student: str, folder: Path) -> None:
    kind = TASKS.get(task.partition(",")[0])
    if not inspect.isclass(kind) or not issubclass(kind, Task):
        raise ConfigError("is no class derived from pointmcd.tasks.task.Task")
    if lacking := sorted(getattr(kind, "__abstractmethods__", ())):
        raise ConfigError(f"lacks the methods {', '.join(lacking)}")
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
    run = Run(_try("training", lambda: train(config)))
    _check_log(kind, run)
    _try("evaluating", lambda: evaluate(run.path, device="cpu"))
    result = _try("reading the results", lambda: read_result(run.path))
    count = len(store.indices("test"))
    if result.scores.shape != (count,) or not np.isfinite(result.scores).all():
        raise ConfigError(f"scores {result.scores}: expected {count} finite numbers, one a shape")
    if abs(float(result.scores.mean()) - result.score) > 1e-6:
        raise ConfigError(f"the main metric, {result.score}, is not the mean of the scores")
    comparison = _try("comparing", lambda: compare([run.path], [run.path]))
    if comparison.differences[0].overall.mean != 0:
        raise ConfigError("a run differs from itself; do predictions draw at random?")


def _check_log(kind: type[Task], run: Run) -> None:
    for record in run.metrics():
        if missing := [name for name in kind.metrics if not isinstance(record.get(name), float)]:
            raise ConfigError(f"validate returns no number for {', '.join(missing)}")


def _try(what: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except PointMCDError as error:
        raise ConfigError(f"{what} fails: {error}") from error
    except Exception as error:  # the user's code may raise anything
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise ConfigError(f"{what} fails: {reason}") from error
