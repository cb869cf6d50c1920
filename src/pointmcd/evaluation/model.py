"""A run's classifier, loaded for inference: points alone, no views, no mask."""

import torch

from pointmcd.checkpoint import load_checkpoint, load_module, under_prefix
from pointmcd.students.registry import create_student
from pointmcd.tasks.classification import Classifier
from pointmcd.training.run import Run


def load_classifier(run: Run, checkpoint: str, device: torch.device) -> Classifier:
    """The classifier of a run's "last" or "best" checkpoint, in evaluation mode.

    Raises:
        RunError: when the checkpoint is absent, damaged, or of another student or number of
            classes.
    """
    path = run.checkpoint(checkpoint)
    tensors, _ = load_checkpoint(path)
    classifier = Classifier(create_student(run.meta["student"]), run.meta["num_classes"])
    load_module(classifier, under_prefix("model", tensors), str(path))
    return classifier.to(device).eval()
