"""Name the class of mesh and point cloud files, from points alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from pointmcd.device import pick_device
from pointmcd.errors import RunError, ShapeError
from pointmcd.shapes.clouds import read_points
from pointmcd.training.model import load_model
from pointmcd.training.run import Run


@dataclass(frozen=True)
class Prediction:
    """What a run says of one file.

    Attributes:
        path: the file.
        label: the most likely class; None where the file could not be read.
        confidence: its probability, 0 to 1.
        ranking: all classes with their probabilities, likeliest first.
        fault: why the file could not be read, one line; None where it was.
    """

    path: Path
    label: str | None
    confidence: float
    ranking: tuple[tuple[str, float], ...]
    fault: str | None = None


def predict(
    run: Path, files: Sequence[Path], checkpoint: str = "best", device: str = "auto"
) -> Iterator[Prediction]:
    """Classify files one after the other; a bad file is told of and does not stop the rest.

    Args:
        run: the run folder.
        files: any mesh or point cloud files.
        checkpoint: "best" (on the validation part) or "last".
        device: cpu, cuda, mps or auto.

    Raises:
        RunError: when the run or its checkpoint cannot be used, or the run labels parts.
    """
    opened = Run(run)
    opened.refuse_pretrained()
    if opened.meta["task"] != "classification":
        raise RunError(f"{run}: labels parts and names no classes; use predict_parts")
    where = pick_device(device)
    classifier = load_model(opened, checkpoint, where)
    for path in files:
        try:
            points = read_points(path, opened.config.points, seed=0)
        except ShapeError as error:
            yield Prediction(path, None, 0.0, (), str(error))
            continue
        with torch.inference_mode():
            logits = classifier(torch.from_numpy(points)[None].to(where))
        yield _named(path, opened.meta["classes"], logits.float().softmax(dim=1)[0].cpu())


def _named(path: Path, classes: list[str], probabilities: torch.Tensor) -> Prediction:
    order = probabilities.argsort(descending=True).tolist()
    ranking = tuple((classes[i], float(probabilities[i])) for i in order)
    return Prediction(path, ranking[0][0], ranking[0][1], ranking)
