"""Learning rate and loss weights over the epochs."""

import math

from pointmcd.training.config import TrainConfig


def learning_rate(config: TrainConfig, epoch: int) -> float:
    """Learning rate of an epoch (from 0): linear warm-up, then a cosine down to `final_lr`."""
    if epoch < config.warmup_epochs:
        return config.lr * (epoch + 1) / (config.warmup_epochs + 1)
    span = max(config.epochs - config.warmup_epochs, 1)
    share = 0.5 * (1 + math.cos(math.pi * (epoch - config.warmup_epochs) / span))
    return config.final_lr + (config.lr - config.final_lr) * share


def loss_weights(config: TrainConfig, epoch: int) -> tuple[float, float]:
    """Weight of the task in an epoch (from 0), and the factor of the objectives' own weights.

    A baseline has the task's weight throughout.
    """
    progress = epoch / config.epochs
    if config.teacher is None:
        return config.task_weight, 0.0
    if config.distill_course == "constant":
        return config.task_weight, 1.0
    if config.distill_course == "decay":
        return config.task_weight, 0.5 * (1 + math.cos(math.pi * progress))
    distils = progress < config.distill_share
    return (0.0, 1.0) if distils else (config.task_weight, 0.0)
