"""Models with weights of this package, of a folder or of the Hugging Face Hub, as timm makes them.

A folder is what `pointmcd export RUN --to safetensors` writes: the file of weights says which model
they are of.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pointmcd.checkpoint import load_checkpoint, load_module
from pointmcd.errors import ConfigError, PointMCDError, first_line
from pointmcd.extras import import_extra
from pointmcd.inference.model_card import CARD, WEIGHTS
from pointmcd.shapes.features import chosen_names
from pointmcd.students.registry import create_student
from pointmcd.tasks.classification import Classifier
from pointmcd.tasks.task import Labels, get_task
from pointmcd.training.model import build_model
from pointmcd.training.run import note_changed_code

#: Where weights are: `local-dir:FOLDER` and a folder alone are the same.
LOCAL, HUB = "local-dir:", "hf-hub:"
#: The weights that come with the package, in a folder for each name.
SHIPPED = Path(str(files("pointmcd.inference"))) / "assets"


def list_pretrained() -> list[str]:
    """Return the names of the weights that come with the package."""
    return sorted(file.parent.name for file in SHIPPED.glob(f"*/{WEIGHTS}"))


def is_weights(place: str | Path) -> bool:
    """Return whether a place is one of weights: of a folder of them, a name, or on the hub."""
    text = str(place)
    return text.startswith((LOCAL, HUB)) or _file(text).is_file()


def create_model(
    student: str,
    pretrained: str | Path | None = None,
    num_classes: int | None = None,
) -> nn.Module:
    """Make a model: points [B, N, 3] of the unit sphere in, logits [B, K] out.

    Args:
        student: as `train --student` takes it.
        pretrained: a name of `list_pretrained`, a folder of exported weights, or
            `local-dir:FOLDER`, or `hf-hub:OWNER/NAME` with the extra `hub`; None: random weights.
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
    """Return the model of named weights, of a folder or of the hub, as `create_model` does.

    Of part segmentation it takes points [B, N, 3] and classes [B], and gives logits [B, N, P]; of
    pretraining it is the student with nothing behind it.
    """
    file = _file(str(place))
    tensors, about = _read(file)
    task, features = get_task(about["task"]), features_of(about)
    model = build_model(task, about["student"], labels_of(about), features)
    note_changed_code(file, about | about["run"])
    load_module(model, tensors, str(file))
    model.about = about  # type: ignore[assignment]
    return model.train()


def labels_of(about: dict[str, Any]) -> Labels:
    """Return the classes and parts that exported weights know."""
    parts = about.get("parts")
    return Labels(
        about["classes"],
        parts and {label: part["names"] for label, part in parts.items()},
    )


def features_of(about: dict[str, Any]) -> tuple[str, ...]:
    """Return the features that the student of exported weights takes behind the coordinates."""
    return chosen_names(about["run"]["settings"].get("features", ()))


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


def _read(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not file.exists():
        raise PointMCDError(
            f"{file.parent}: holds no {file.name}; pointmcd export RUN --to safetensors makes such"
            f" a folder, and these names come with pointmcd: {', '.join(list_pretrained())}"
        )
    tensors, state = load_checkpoint(file)
    about = state.get("about", {})
    if "lesson" in about:
        raise ConfigError(
            f"{file}: holds a teacher's weights, for other programs; predict with the teacher"
            " itself, STORE/teachers/NAME"
        )
    if not {"task", "student", "channels", "run"} <= {*about}:
        raise PointMCDError(f"{file}: was not written by pointmcd export --to safetensors")
    return tensors, about


def _file(place: str) -> Path:
    """Return the file of weights, downloaded once if it is on the hub."""
    if not place.startswith(HUB):
        folder = Path(place.removeprefix(LOCAL)).expanduser()
        shipped = place in list_pretrained() and not folder.exists()
        return (SHIPPED / place if shipped else folder) / WEIGHTS
    hub = import_extra("huggingface_hub", "hub", place)
    try:
        # A Path of Windows has turned the slash.
        return Path(hub.hf_hub_download(place.removeprefix(HUB).replace("\\", "/"), WEIGHTS))
    except Exception as error:  # of the hub's many kinds: no network, no such repository, no rights
        raise PointMCDError(f"{place}: cannot be fetched: {first_line(error)}") from error
