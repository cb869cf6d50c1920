"""Weights of a timm model from a local file, loaded as timm loads those of its hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pointmcd.errors import ConfigError, first_line


def create_from_file(timm: Any, model: str, file: Path) -> Any:
    """A timm model without its classifier, with the weights of a file.

    Names that the model has no use for (the classifier's) are left out.

    Args:
        timm: the module.
        model: its name, with or without a tag.
        file: .safetensors, or else what torch.save wrote, of which only tensors are read. Weights
            may stand under `state_dict` or `model`, and averaged ones (EMA) go first.

    Raises:
        ConfigError: when the file is absent, unreadable, or lacks a tensor of the model or has it
            in another shape.
    """
    tensors = _read(timm, file)
    try:
        with _loading() as missing:
            body = timm.create_model(
                *(model, True), num_classes=0, pretrained_cfg_overlay=_source(tensors)
            )
    except Exception as error:  # another shape, or what converts the names stumbles
        raise ConfigError(
            f"--weights {file}: not weights of {model}: {_last_line(error)}"
        ) from error
    if missing:
        more = f" and {len(missing) - 1} more tensors" if len(missing) > 1 else ""
        raise ConfigError(f"--weights {file}: not weights of {model}: lacks {missing[0]}{more}")
    for config in (body.pretrained_cfg, body.default_cfg):
        config.pop("state_dict", None)  # a second copy in memory
    return body


def _last_line(error: Exception) -> str:
    """Where torch says which tensor is of another shape."""
    return next((line.strip() for line in reversed(str(error).splitlines())), first_line(error))


def _source(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Where timm is to take weights from. Not the file's name: older timm would unpickle it."""
    return {"state_dict": tensors, "source": None, "custom_load": False}


def _read(timm: Any, file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise ConfigError(f"--weights {file}: no such file")
    try:
        tensors = dict(timm.models.load_state_dict(str(file), weights_only=True))
    except Exception as error:  # of safetensors, pickle, zip: all kinds
        raise ConfigError(
            f"--weights {file}: cannot be read: {first_line(error)}; give a .safetensors file, or"
            " one of tensors alone that torch.save wrote"
        ) from error
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise ConfigError(f"--weights {file}: holds something else than named tensors")
    return tensors


@contextmanager
def _loading() -> Iterator[list[str]]:
    """Collects the names that any module loaded inside lacks: timm only logs them."""
    missing: list[str] = []
    everywhere: Any = nn.Module  # timm makes and loads the module in one call: there is no hook
    load = everywhere.load_state_dict

    def recorded(module: nn.Module, *arguments: Any, **options: Any) -> Any:
        result = load(module, *arguments, **options)
        missing.extend(result.missing_keys)
        return result

    everywhere.load_state_dict = recorded
    try:
        yield missing
    finally:
        everywhere.load_state_dict = load
