"""A run's model, loaded for inference: points alone (and a class), no views, no mask."""

import torch
from torch import nn

from pointmcd.checkpoint import load_checkpoint, load_module, under_prefix
from pointmcd.training.run import Run


def load_model(run: Run, checkpoint: str, device: torch.device) -> nn.Module:
    """The model of a run's "last" or "best" checkpoint, in evaluation mode.

    Raises:
        RunError: when the checkpoint is absent, damaged, or of another student or number of
            classes or parts.
    """
    path = run.checkpoint(checkpoint)
    tensors, _ = load_checkpoint(path)
    model = new_model(run)
    load_module(model, under_prefix("model", tensors), str(path))
    return model.to(device).eval()


def new_model(run: Run) -> nn.Module:
    """The model of a run as it is before training, with weights from torch's global generator."""
    return run.task.build_model(run.meta["student"], run.labels)
