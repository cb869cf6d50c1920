"""A run's model, loaded for inference: points alone (and a class), no views, no mask."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature

import torch
from torch import nn

from pointmcd.checkpoint import load_checkpoint, load_module, under_prefix
from pointmcd.errors import ConfigError
from pointmcd.shapes.features import count_channels
from pointmcd.tasks.task import Labels, Task
from pointmcd.training.run import Run, note_changed_code


def load_model(run: Run, checkpoint: str, device: torch.device) -> nn.Module:
    """The model of a run's "last" or "best" checkpoint, in evaluation mode.

    Raises:
        RunError: when the checkpoint is absent, damaged, or of another student or number of
            classes or parts.
    """
    path = run.checkpoint(checkpoint)
    if not path.exists():
        run.refuse_unfinished()
    tensors, _ = load_checkpoint(path)
    model = new_model(run)
    note_changed_code(run.path, run.meta)
    load_module(model, under_prefix("model", tensors), str(path))
    return model.to(device).eval()


def new_model(run: Run) -> nn.Module:
    """The model of a run as it is before training, with weights from torch's global generator."""
    return build_model(run.task, run.meta["student"], run.labels, run.features)


def build_model(task: Task, student: str, labels: Labels, features: Sequence[str]) -> nn.Module:
    """The model of a task whose student takes points with these features.

    Raises:
        ConfigError: when there is no such student, or task or student have no place for features.
    """
    if not features:  # a task of a user's own need not know of them
        return task.build_model(student, labels)
    if "extra_channels" not in signature(task.build_model).parameters:
        raise ConfigError(
            f"--task {task.name}: its build_model takes no extra_channels, which --features needs;"
            " let it pass them to create_student, or leave out --features"
        )
    return task.build_model(student, labels, extra_channels=count_channels(features))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, without gradients."""
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        module.train(was_training)
