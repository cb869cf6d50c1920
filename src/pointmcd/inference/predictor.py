"""A trained model with all that prediction needs, from a run or from exported weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pointmcd.data.dataset import Batch
from pointmcd.data.shape_names import composed
from pointmcd.device import pick_device
from pointmcd.errors import ConfigError, RunError, ShapeError
from pointmcd.inference.pretrained import from_pretrained
from pointmcd.ops.masked_max import max_over_points
from pointmcd.options import Axis
from pointmcd.shapes.axes import axis_of_files, turn
from pointmcd.shapes.clouds import WholeCloud, cloud_order, normalise_cloud
from pointmcd.shapes.features import chosen_kinds, count_channels
from pointmcd.shapes.formats import reading
from pointmcd.tasks.task import InputFile, Labels, Prediction, Task, get_task
from pointmcd.training.calibration import is_calibrated, temperature_of
from pointmcd.training.model import load_model
from pointmcd.training.run import Run, holds_teachers
from pointmcd.training.unlikeness import Labelled, labelled_of
from pointmcd.training.weights import (
    features_of,
    is_weights,
    labels_of,
    list_pretrained,
    up_of,
)
from pointmcd.typing import Floats, Reals


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
        calibrated: whether it was fitted; False: too few shapes were held out, and confidences are
            not to be taken at their word.
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
    calibrated: bool
    labelled: Labelled | None = None

    @property
    def student(self) -> Any:
        """The point encoder in the model."""
        return getattr(self.model, "student", self.model)

    def predict(
        self, points: Reals, label: str | None = None, up: Axis | None = None
    ) -> Prediction:
        """Predict on one cloud in memory, as `pointmcd.predict` does on a file.

        Args:
            points: [N, 3 + F], N at least 1, of any scale and place, in any order: coordinates,
                then the channels of the features that the model takes, as files have them: normals
                of any length, colours of 0 to 1, 0 to 255 or 0 to 65535. Points of which all
                coordinates are NaN are left out.
            label: the class of the shape, for a model that labels parts and knows several.
            up: the axis that points up; by default that of the shapes which the model learnt from.

        Raises:
            ShapeError: when the points are none of these.
            ConfigError: when the model needs a class, or knows none of that name.
        """
        if isinstance(points, str | Path):
            raise ShapeError(f"{points}: is a path; give an array, or use pointmcd.predict")
        cloud = np.asarray(points)
        known = told_class(self.name, self.task, self.labels, label)
        if known is None and self.task.takes_class:
            classes = ", ".join(self.labels.known)
            raise ConfigError(f"label: {self.name} needs the class of the shape: one of {classes}")
        wanted = 3 + count_channels(self.features)
        if cloud.ndim != 2 or cloud.shape[1] != wanted or cloud.dtype.kind not in "fiu":
            names = f" (x, y, z, {', '.join(self.features)})" if self.features else ""
            told = f"points: are {list(cloud.shape)}; give numbers [N, {wanted}]{names}"
            raise ShapeError(told + _advice(cloud.shape, wanted))
        kept = np.asarray(~np.isnan(cloud[:, :3]).all(axis=1))
        gaps = [f"without {(~kept).sum():,} points that are NaN"] * (not kept.all())
        placed = cloud[kept, :3].astype(np.float64)
        whole = normalise_cloud(placed, kept=kept).astype(np.float32)
        beside = []
        for number, kind in enumerate(chosen_kinds(self.features), start=1):
            with reading("points"):
                beside.append(kind.read(cloud[kept, 3 * number : 3 * number + 3]))
        chosen = np.concatenate([whole, *beside], axis=1)[cloud_order(whole, self.points)]
        theirs = axis_of_files(up, self.up, self.name)
        every = WholeCloud.of(whole, placed, kept)
        found = self.answer(InputFile(Path("points"), chosen, known, up=theirs, whole=every))
        notes = [*gaps, f"{len(whole):,} points", *too_few(chosen)]
        return replace(found, read="; ".join(notes))

    def answer(self, file: InputFile) -> Prediction:
        """Return what the task says of a file that has been read."""
        output, unlikeness = self._output(file)
        found = self.task.predict(output, replace(file, unlikeness=unlikeness), self.labels)
        return replace(found, up=file.up)

    def _output(self, file: InputFile) -> tuple[Tensor, float | None]:
        """The calibrated output for one file, on the CPU, and how unlike the labelled it is."""
        device = next(self.model.parameters()).device
        upright = turn(file.points, file.up, self.up, self.features)
        known = torch.tensor([self.labels.class_id(file.label)], device=device)
        batch = Batch(torch.from_numpy(upright)[None].to(device), known)
        with torch.inference_mode(), self._embedding() as embedding:
            output: Tensor = self.model(*self.task.inputs(batch))
        near = self.labelled.unlikeness(embedding[0]) if self.labelled and embedding else None
        return output[0].float().cpu() / self.temperature, near

    @contextmanager
    def _embedding(self) -> Iterator[list[Tensor]]:
        """Yield a list that the student's embedding [C] comes into, where it is asked for."""
        found: list[Tensor] = []
        if self.labelled is None:
            yield found
            return
        hook = self.student.register_forward_hook(
            lambda module, inputs, seen: found.append(max_over_points(seen.embeddings)[0])
        )
        try:
            yield found
        finally:
            hook.remove()


def _advice(shape: tuple[int, ...], wanted: int) -> str:
    """Say how an array of another layout is brought to [N, wanted]."""
    if len(shape) == 3 and shape[2] == wanted:  # of a depth camera
        return f", as points.reshape(-1, {wanted}) is"
    if len(shape) != 2:
        return ""
    if shape[1] > wanted:
        return f", as points[:, :{wanted}] is"
    return ", as points.T is" if shape[0] == wanted else ""


def too_few(cloud: Floats) -> list[str]:
    """Note that a cloud [P, 3 + F] repeats points: the file holds fewer than training took."""
    few = len(np.unique(cloud, axis=0)) < len(cloud)
    return [f"fewer distinct points than the {len(cloud):,} used in training"] * few


def open_predictor(
    place: str | Path, checkpoint: str = "last", device: str | torch.device = "auto"
) -> Predictor:
    """Load a model that was trained with labels, to predict on clouds in memory.

    Args:
        place: the folder of a run; or exported weights: a folder, a name of `list_pretrained`, or
            `hf-hub:OWNER/NAME`.
        checkpoint: of a run: "last" or "best".
        device: cpu, cuda, mps or auto.

    Raises:
        RunError: when it was not, or the run or its checkpoint cannot be used.
        ConfigError: when a checkpoint is chosen of exported weights.
        PointMCDError: when the weights are damaged.
    """
    if not is_weights(place):
        _open_run(place).refuse_pretrained()
    where = pick_device(device) if isinstance(device, str) else device
    trained = open_trained(place, checkpoint, where)
    if not trained.task.labelled:
        raise RunError(f"{place}: was pretrained without labels and predicts no classes")
    return trained


def told_class(name: str, task: Task, known: Labels, label: str | None) -> str | None:
    """Return the class that a model is told of a shape: the one given, or the only one it knows.

    Raises:
        ConfigError: when the model takes no class, or knows none of that name.
    """
    if label is not None and not task.takes_class:
        raise ConfigError(f"--label {label}: the model of {name} takes no class; leave it out")
    classes = {composed(one): one for one in known.known}
    if label is not None and composed(label) not in classes:
        raise ConfigError(
            f"--label {label}: is not a class of {name}; use one of {', '.join(known.known)}"
        )
    if label is not None:
        return classes[composed(label)]
    return known.known[0] if task.takes_class and len(known.known) == 1 else None


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
    run = _open_run(place)
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
        is_calibrated(run, checkpoint),
        labelled_of(run, checkpoint),
    )


def _open_run(place: str | Path) -> Run:
    """Open a run; where nothing is, say which weights there are."""
    try:
        return Run(place)
    except RunError as error:
        if Path(place).exists() or holds_teachers(Path(place).parent):
            raise
        known = ", ".join(list_pretrained())
        raise RunError(f"{error}; these weights come with pointmcd: {known}") from error


def _of_weights(place: str, device: torch.device) -> Predictor:
    model = from_pretrained(place).to(device).eval()
    about: dict[str, Any] = model.about  # type: ignore[assignment]
    temperature = about.get("temperature", 1.0)  # of exports before it was kept
    return Predictor(
        place,
        get_task(about["task"]),
        labels_of(about),
        about["points"],
        features_of(about),
        up_of(about, place),
        model,
        temperature,
        about.get("calibrated", temperature != 1),
    )
