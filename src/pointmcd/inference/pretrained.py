"""Models with weights of this package, of a folder or of the hub, as timm makes them."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from pointmcd.checkpoint import load_module
from pointmcd.errors import ConfigError
from pointmcd.extras import import_extra
from pointmcd.inference.model_card import CARD
from pointmcd.inference.model_card import about as describe_model
from pointmcd.students.registry import create_student
from pointmcd.tasks.classification import Classifier
from pointmcd.tasks.task import get_task
from pointmcd.training.model import build_model, load_model
from pointmcd.training.run import Run, note_changed_code
from pointmcd.training.weights import (
    HUB,
    WEIGHTS,
    features_of,
    is_weights,
    labels_of,
    list_pretrained,
    read_weights,
)


def create_model(
    student: str,
    pretrained: str | Path | None = None,
    num_classes: int | None = None,
) -> nn.Module:
    """Make a model: points [B, N, 3] of the unit sphere in, logits [B, K] out.

    Args:
        student: as `train --student` takes it.
        pretrained: a name of `list_pretrained`, a folder of exported weights (also written
            `local-dir:FOLDER`), the folder of a run, whose last weights are taken, or
            `hf-hub:OWNER/NAME` with the extra `hub`; None: random weights.
        num_classes: K. By default that of the weights. Where it is another, or the weights are of
            another task, the head is new and the student's weights alone are taken. With neither
            weights nor K, the student itself is returned, which gives `PointFeatures`.

    Returns:
        The model in training mode. With weights, `about` of it is a dict that says what they are of
        (`classes`, `points`, `channels`, `preprocessing`, `run`).

    Raises:
        ConfigError: when there is no such student, the weights are of another, or the extra is
            absent.
        PointMCDError: when the weights are absent, damaged or no export of pointmcd.
    """
    if isinstance(pretrained, bool):
        raise ConfigError(
            f"pretrained={pretrained}: must name weights, such as"
            f" {' or '.join(list_pretrained())}, or be None"
        )
    if pretrained is None:
        encoder = create_student(student)
        return encoder if num_classes is None else Classifier(encoder, num_classes)
    model = from_pretrained(pretrained)
    about: dict[str, Any] = model.about  # type: ignore[assignment]
    if about["student"] != student:
        raise ConfigError(f"{pretrained}: holds weights of {about['student']}, not of {student}")
    if num_classes is None:
        return model
    if isinstance(model, Classifier) and num_classes == len(about["classes"]):
        return model
    classifier = Classifier(model.student, num_classes)  # type: ignore[arg-type]
    classifier.about = about  # type: ignore[assignment]
    return classifier


def from_pretrained(place: str | Path) -> nn.Module:
    """Return the model of named weights, of a folder, a run or the hub, as `create_model` does.

    Of part segmentation it takes points [B, N, 3] and classes [B], and gives logits [B, N, P]; of
    pretraining it is the student with nothing behind it.
    """
    if not is_weights(place) and (Path(place) / "run.json").is_file():
        return _of_run(Run(place))
    file, tensors, about = read_weights(place)
    task, features = get_task(about["task"]), features_of(about)
    model = build_model(task, about["student"], labels_of(about), features)
    note_changed_code(file, about | about["run"])
    load_module(model, tensors, str(file))
    model.about = about  # type: ignore[assignment]
    return model.train()


def _of_run(run: Run) -> nn.Module:
    run.refuse_unfinished()
    model = load_model(run, "last", torch.device("cpu"))
    model.about = describe_model(run, model, "last")  # type: ignore[assignment]
    return model.train()


def push_to_hub(folder: str | Path, repo: str, private: bool = False) -> str:
    """Upload a folder of exported weights with its card, and return its address.

    Args:
        folder: of `pointmcd export RUN --to safetensors`.
        repo: `OWNER/NAME`; made if there is none.
        private: for a new one: visible to its owner alone.

    Raises:
        ConfigError: when the extra `hub` is absent, or the folder is not an export.
    """
    folder = Path(folder)
    for name in (WEIGHTS, CARD):
        if not (folder / name).is_file():
            raise ConfigError(
                f"{folder}: has no {name}; make the folder with pointmcd export RUN --to"
                " safetensors"
            )
    api = import_extra("huggingface_hub", "hub", f"{HUB}{repo}").HfApi()
    api.create_repo(repo, private=private, exist_ok=True)
    api.upload_folder(repo_id=repo, folder_path=folder, allow_patterns=[WEIGHTS, CARD])
    return f"{HUB}{repo}"
