"""Weights of a timm model from a local file, loaded as timm loads those of its hub."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch import Tensor, nn

from pointmcd.errors import ConfigError, first_line


def create_from_file(timm: Any, model: str, file: Path) -> Any:
    """Create a timm model without its classifier, with the weights of a file.

    Names that the model has no use for (the classifier's) are left out. The file is .safetensors,
    or else what torch.save wrote, of which only tensors are read. Weights may be under `state_dict`
    or `model`; averaged ones (EMA) go first.

    Raises:
        ConfigError: when the file is absent, unreadable, or lacks a tensor of the model or has it
            in another shape.
    """
    # Not the file's name: older timm would unpickle it.
    source = {"state_dict": _read(timm, file), "source": None, "custom_load": False}
    try:
        with _recorded_load(timm) as missing:
            body = timm.create_model(
                model, pretrained=True, num_classes=0, pretrained_cfg_overlay=source
            )
    except Exception as error:  # another shape, or what converts the names stumbles
        # Of several lines, torch names the tensor of another shape in the last.
        reason = str(error).strip().rpartition("\n")[2].strip() or first_line(error)
        raise ConfigError(f"--weights {file}: not weights of {model}: {reason}") from error
    if missing:
        more = f" and {len(missing) - 1} more tensors" if len(missing) > 1 else ""
        raise ConfigError(f"--weights {file}: not weights of {model}: lacks {missing[0]}{more}")
    for config in (body.pretrained_cfg, body.default_cfg):
        config.pop("state_dict", None)  # a second copy in memory
    return body


def _read(timm: Any, file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise ConfigError(f"--weights {file}: no such file")
    try:
        tensors = dict(timm.models.load_state_dict(str(file), weights_only=True))
    except Exception as error:  # of safetensors, pickle, zip: all kinds
        raise ConfigError(
            f"--weights {file}: cannot be read as weights; give a .safetensors file, or"
            " one of tensors alone that torch.save wrote"
        ) from error
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise ConfigError(f"--weights {file}: holds something else than named tensors")
    return tensors


@contextmanager
def _recorded_load(timm: Any) -> Iterator[list[str]]:
    """Yield a list of the tensors that a model created inside lacks: timm only logs them.

    timm creates a model and loads its weights in one call, with a conversion of old names that is
    not to be had otherwise (`timm.models.load_checkpoint` does without).
    """
    missing: list[str] = []
    builder: Any = timm.models._builder
    load = builder.load_pretrained

    def load_recorded(model: nn.Module, *arguments: Any, **options: Any) -> Any:
        with model.register_load_state_dict_post_hook(
            lambda _, keys: missing.extend(keys.missing_keys)
        ):
            return load(model, *arguments, **options)

    with patch.object(builder, "load_pretrained", load_recorded):
        yield missing
