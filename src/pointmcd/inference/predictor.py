"""A trained model with all that prediction needs, from a run or from exported weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pointmcd.errors import ConfigError, RunError
from pointmcd.inference.pretrained import from_pretrained
from pointmcd.tasks.task import Labels, Task, get_task
from pointmcd.training.calibration import temperature_of
from pointmcd.training.model import load_model
from pointmcd.training.run import Run
from pointmcd.training.unlikeness import Labelled, labelled_of
from pointmcd.training.weights import features_of, is_weights, labels_of, up_of


@dataclass(frozen=True)
class Predictor:
    """A trained model in evaluation mode.

    Attributes:
        name: what errors call it.
        task: what it was trained for.
        labels: its classes and parts.
        points: the number of points that it was trained with.
        features: those that it takes behind the coordinates.
        up: the axis that points up in the shapes that it learnt from; None where that is not known.
        model: the model, on its device.
        temperature: what its output is divided by, for calibrated probabilities.
        labelled: the shapes whose labels it knew; None where that is not known.
    """

    name: str
    task: Task
    labels: Labels
    points: int
    features: tuple[str, ...]
    up: str | None
    model: nn.Module
    temperature: float
    labelled: Labelled | None = None

    @property
    def student(self) -> Any:
        """The point encoder in the model."""
        return getattr(self.model, "student", self.model)


def open_predictor(place: str | Path, checkpoint: str, device: torch.device) -> Predictor:
    """Load a model that was trained with labels, as `open_trained` does.

    Raises:
        RunError: when it was not, or the run or its checkpoint cannot be used.
        ConfigError: when a checkpoint is chosen of exported weights.
        PointMCDError: when the weights are damaged.
    """
    if not is_weights(place):
        Run(place).refuse_pretrained()
    trained = open_trained(place, checkpoint, device)
    if not trained.task.labelled:
        raise RunError(f"{place}: was pretrained without labels and predicts no classes")
    return trained


def open_trained(place: str | Path, checkpoint: str, device: torch.device) -> Predictor:
    """Load the model of a run, or of exported weights as `from_pretrained` takes them.

    Raises:
        RunError: when the run is not finished, or its checkpoint cannot be used.
        ConfigError: when a checkpoint is chosen of exported weights.
        PointMCDError: when the weights are damaged.
    """
    if is_weights(place):
        if checkpoint != "last":
            raise ConfigError(f"--checkpoint {checkpoint}: is for runs; {place} has one checkpoint")
        return _of_weights(str(place), device)
    run = Run(place)
    run.refuse_unfinished()
    return Predictor(
        str(place),
        run.task,
        run.labels,
        run.config.points,
        run.features,
        run.up,
        load_model(run, checkpoint, device),
        temperature_of(run, checkpoint),
        labelled_of(run, checkpoint),
    )


def _of_weights(place: str, device: torch.device) -> Predictor:
    model = from_pretrained(place).to(device).eval()
    about: dict[str, Any] = model.about  # type: ignore[assignment]
    return Predictor(
        place,
        get_task(about["task"]),
        labels_of(about),
        about["points"],
        features_of(about),
        up_of(about, place),
        model,
        about.get("temperature", 1.0),  # of exports before it was kept
    )
