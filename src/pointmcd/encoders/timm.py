"""Image encoders of the timm library, by `timm:NAME`: any of its models, with its own input."""

from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pointmcd.encoders.registry import resize
from pointmcd.encoders.timm_file import create_from_file
from pointmcd.errors import ConfigError, first_line
from pointmcd.extras import import_extra

TIMM_PREFIX = "timm:"


def import_timm(name: str) -> Any:
    """Return the timm module.

    Raises:
        ConfigError: when it is absent or cannot be imported; `name` is what asks for it.
    """
    try:
        return import_extra("timm", "timm", f"teacher {name}")
    except ConfigError as error:
        if isinstance(error.__cause__, ModuleNotFoundError):
            raise
        hint = "install the torchvision that belongs to this torch"
        raise ConfigError(f"{error}; {hint}") from error.__cause__


def is_timm_model(name: str) -> bool:
    """Return whether timm, where it is installed, has a model of that name."""
    with suppress(ConfigError):
        return bool(import_timm(name).is_model(name))
    return False


class TimmNetwork(nn.Module):
    """A timm model without its classifier: images [n, 3, H, W] -> pooled (or CLS) features [n, F].

    Its weights are timm's, from its hub's cache or the hub, or those of a file, or random.

    Attributes:
        num_features: F.
        mean, std: normalisation of the pretraining, per channel.
        size: height and width of the images that the weights were trained with.
        licence: of timm's weights, where timm states it; of a file's it is not known.

    Raises:
        ConfigError: when timm is absent, or has no such model or no weights of it, or when the
            file is not one of weights of that model.
    """

    #: No maps: `pyramid` is not offered.
    pyramid_channels: tuple[int, ...] = ()

    def __init__(self, name: str, pretrained: bool, weights: Path | None = None) -> None:
        super().__init__()
        timm = import_timm(name)
        model = name.removeprefix(TIMM_PREFIX)
        _check_known(timm, name)
        if weights is not None:
            body = create_from_file(timm, model, weights)
        else:
            body = _create(timm, name, pretrained)
        self.body = body
        config = timm.data.resolve_model_data_config(body)
        self.mean, self.std = tuple(config["mean"]), tuple(config["std"])
        height, width = config["input_size"][-2:]
        self.size = int(height), int(width)
        self.num_features = int(getattr(body, "head_hidden_size", None) or body.num_features)
        licence = None if weights else body.pretrained_cfg.get("license")
        self.licence = str(licence or "not stated")

    def forward(self, images: Tensor) -> Tensor:
        """Encode images of any size, resized (or stretched) to the one that the weights know."""
        features: Tensor = self.body(resize(images, self.size))
        # A few models do not pool: they give tokens [n, T, F], or a map.
        if features.ndim == 3:  # the mean of the patches, without CLS and registers
            prefix = int(getattr(self.body, "num_prefix_tokens", 0))
            return features[:, prefix:].mean(dim=1)
        if features.ndim == 4:  # channels first, or last
            first = features.shape[1] == self.num_features
            return features.mean(dim=(2, 3) if first else (1, 2))
        return features


def _create(timm: Any, name: str, pretrained: bool) -> Any:
    try:
        return timm.create_model(
            name.removeprefix(TIMM_PREFIX), pretrained=pretrained, num_classes=0
        )
    except Exception as error:  # of the hub, the network, the file or the model
        raise ConfigError(
            f"teacher {name}: cannot be made: {first_line(error)}; fetch its weights once where"
            f" there is a network, give a file of them with --weights, or use random:{name}"
        ) from error


def _check_known(timm: Any, name: str) -> None:
    model = name.removeprefix(TIMM_PREFIX)
    known = timm.list_models()
    if model.partition(".")[0] not in known:
        near = ", ".join(get_close_matches(model, known, n=3))
        hint = f"like it are {near}" if near else "timm.list_models() has their names"
        raise ConfigError(f"teacher {name}: timm has no such model; {hint}")
