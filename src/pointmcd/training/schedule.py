"""How step size and loss weights run over the epochs."""

import math

from pointmcd.training.config import TrainConfig


def learning_rate(config: TrainConfig, epoch: int) -> float:
    """Step size of an epoch (from 0): linear warm-up, then a cosine down to `final_lr`."""
    if epoch < config.warmup_epochs:
        return config.lr * (epoch + 1) / (config.warmup_epochs + 1)
    span = max(config.epochs - config.warmup_epochs, 1)
    share = 0.5 * (1 + math.cos(math.pi * (epoch - config.warmup_epochs) / span))
    return config.final_lr + (config.lr - config.final_lr) * share


def loss_weights(config: TrainConfig, epoch: int) -> tuple[float, float]:
    """Weights of the task and of the distillation in an epoch (from 0).

    A baseline has the task's weight throughout.
    """
    task, distill = config.task_weight, config.distill_weight
    if config.teacher is None:
        return task, 0.0
    progress = epoch / config.epochs
    if config.distill_course == "decay":
        return task, distill * 0.5 * (1 + math.cos(math.pi * progress))
    if config.distill_course == "first":
        return (0.0, distill) if progress < config.distill_share else (task, 0.0)
    return task, distill
