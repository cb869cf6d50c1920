"""The training loop of all teachers, and how it goes on after an interruption."""

import math
from collections.abc import Callable

import numpy as np
import torch

from pointmcd.checkpoint import (
    load_checkpoint,
    load_module,
    load_optimizer,
    optimizer_tensors,
    save_checkpoint,
    under_prefix,
    with_prefix,
)
from pointmcd.errors import ConfigError
from pointmcd.progress import progress_bar
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lesson import Lesson


def fit(lesson: Lesson) -> None:
    """Train `lesson.teacher`: Adam, cosine over epochs; each epoch's end is kept in a work file.

    A teacher without parameters is left as it is.

    Raises:
        ConfigError: when the loss is no longer finite.
    """
    if not any(True for _ in lesson.teacher.parameters()):
        return
    config, epochs = lesson.config, lesson.config.schedule.epochs
    optimizer = torch.optim.Adam(
        lesson.teacher.parameters(), lr=config.schedule.lr, weight_decay=config.weight_decay
    )
    start = _resume(lesson, optimizer)
    with progress_bar() as progress:
        task = progress.add_task("teacher", total=epochs, completed=start, note="")
        for epoch in range(start, epochs):
            _set_lr(optimizer, config, epoch)
            loss = _train_epoch(lesson, optimizer, lambda x: progress.advance(task, x), epoch)
            if not math.isfinite(loss):
                raise ConfigError(
                    f"--lr {config.schedule.lr}: the teacher's loss is no longer finite in epoch"
                    f" {epoch + 1}; lower it"
                )
            tensors = with_prefix("model", lesson.teacher.state_dict())
            tensors |= with_prefix("optimizer", optimizer_tensors(optimizer))
            state = {"epoch": epoch + 1, "settings": lesson.settings}
            save_checkpoint(lesson.work_file, tensors, state)
            progress.update(task, completed=epoch + 1, note=f"loss {loss:.3f}")


def _resume(lesson: Lesson, optimizer: torch.optim.Optimizer) -> int:
    """The epoch to go on from; work of other settings is left behind."""
    path = lesson.work_file
    if not path.exists():
        return 0
    tensors, state = load_checkpoint(path)
    if state["settings"] != lesson.settings:
        return 0
    load_module(lesson.teacher, under_prefix("model", tensors), str(path))
    load_optimizer(optimizer, under_prefix("optimizer", tensors))
    return int(state["epoch"])


def _set_lr(optimizer: torch.optim.Optimizer, config: TeachConfig, epoch: int) -> None:
    schedule = config.schedule
    share = 0.5 * (1 + np.cos(np.pi * epoch / schedule.epochs))
    for group in optimizer.param_groups:
        group["lr"] = schedule.final_lr + (schedule.lr - schedule.final_lr) * float(share)


def _train_epoch(
    lesson: Lesson,
    optimizer: torch.optim.Optimizer,
    advance: Callable[[float], None],
    epoch: int,
) -> float:
    """One pass over the train part; the mean loss of its steps."""
    lesson.teacher.train()
    # The order depends on seed and epoch alone, so that a resumed run repeats it; all other chance
    # (drawn views, dropped layers) comes from the global generator too.
    torch.manual_seed(lesson.config.seed * 100_003 + epoch)
    order = torch.randperm(len(lesson.train))
    batches = [b for b in order.split(lesson.config.schedule.batch_size) if len(b) > 1]
    total = 0.0
    for rows in batches:  # each of two or more, for batch norm
        loss = lesson.loss(lesson.train[rows.numpy()])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total += float(loss.detach())
        advance(1 / len(batches))
    return total / len(batches)
