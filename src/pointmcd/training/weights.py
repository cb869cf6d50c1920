"""Exported weights of this package, of a folder, or of the Hugging Face Hub.

A folder is what `pointmcd export RUN --to safetensors` writes: the file of weights says which model
they are of.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

from torch import Tensor

from pointmcd.checkpoint import load_checkpoint
from pointmcd.errors import ConfigError, PointMCDError, first_line
from pointmcd.extras import import_extra
from pointmcd.shapes.features import chosen_names
from pointmcd.tasks.task import Labels

#: Where weights are: `local-dir:FOLDER` and a folder alone are the same.
LOCAL, HUB = "local-dir:", "hf-hub:"
#: The file of a folder of weights.
WEIGHTS = "model.safetensors"
#: The weights that come with the package, in a folder for each name.
SHIPPED = Path(str(files("pointmcd.training"))) / "assets"


def list_pretrained() -> list[str]:
    """Return the names of the weights that come with the package."""
    return sorted(file.parent.name for file in SHIPPED.glob(f"*/{WEIGHTS}"))


def no_weights(place: str | Path) -> str:
    """Return the error text of a place that holds no weights."""
    return (
        f"{place}: is neither a folder of exported weights (pointmcd export RUN --to safetensors)"
        f" nor one of those that come with pointmcd: {', '.join(list_pretrained())}"
    )


def is_weights(place: str | Path) -> bool:
    """Return whether a place is one of weights: of a folder of them, a name, or on the hub."""
    text = str(place)
    return text.startswith((LOCAL, HUB)) or _file(text).is_file()


def read_weights(place: str | Path) -> tuple[Path, dict[str, Tensor], dict[str, Any]]:
    """Return the file of a place, its tensors, and what they are of (`about`).

    Raises:
        ConfigError: when they are a teacher's, or the extra `hub` is absent.
        PointMCDError: when they are absent, damaged or no export of pointmcd.
    """
    file = _file(str(place))
    if not file.exists():
        raise PointMCDError(no_weights(place))
    tensors, state = load_checkpoint(file)
    about = state.get("about", {})
    if "lesson" in about:
        raise ConfigError(
            f"{file}: holds a teacher's weights, for other programs; predict with the teacher"
            " itself, STORE/teachers/NAME"
        )
    if not {"task", "student", "channels", "run"} <= {*about}:
        raise PointMCDError(f"{file}: was not written by pointmcd export --to safetensors")
    return file, tensors, about


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


def up_of(about: dict[str, Any], place: str | Path) -> str | None:
    """Return the axis that points up in the shapes that they learnt from; None: not known."""
    return about.get("up", "y" if str(place) in list_pretrained() else None)


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
