"""Image encoders of the timm library, by `timm:NAME`: any of its models, with its own input."""

from difflib import get_close_matches
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.errors import ConfigError

TIMM_PREFIX = "timm:"


def import_timm(name: str) -> Any:
    """The timm module.

    Raises:
        ConfigError: when it is absent or cannot be imported; `name` is what asks for it.
    """
    try:
        import timm
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"teacher {name}: needs {error.name}; pip install 'pointmcd[timm]'"
        ) from error
    except (ImportError, RuntimeError) as error:  # torch and torchvision of different builds
        raise ConfigError(
            f"teacher {name}: timm cannot be imported: {_reason(error)}; install the torchvision"
            " that belongs to this torch"
        ) from error
    return timm


class TimmNetwork(nn.Module):
    """A timm model without its classifier: images [n, 3, H, W] -> pooled (or CLS) features [n, F].

    Args:
        name: `timm:MODEL` or `timm:MODEL.TAG`.
        pretrained: load the weights that timm has for it, from its hub's cache or the hub.

    Attributes:
        num_features: F.
        mean, std: normalisation of the pretraining, per channel.
        size: side of the images that the weights were trained with.

    Raises:
        ConfigError: when timm is absent, or has no such model or no weights of it.
    """

    def __init__(self, name: str, pretrained: bool) -> None:
        super().__init__()
        timm = import_timm(name)
        model = name.removeprefix(TIMM_PREFIX)
        _check_known(timm, name)
        try:
            self.body = timm.create_model(model, pretrained=pretrained, num_classes=0)
        except Exception as error:  # of the hub, the network, the file or the model
            raise ConfigError(
                f"teacher {name}: cannot be made: {_reason(error)}; fetch its weights once where"
                f" there is a network, or use random:{name}"
            ) from error
        config = timm.data.resolve_model_data_config(self.body)
        self.mean, self.std = tuple(config["mean"]), tuple(config["std"])
        self.size = int(config["input_size"][-1])
        body: Any = self.body
        self.num_features = int(getattr(body, "head_hidden_size", None) or body.num_features)

    def forward(self, images: Tensor) -> Tensor:
        """Images of any size, resized to the one that the weights know."""
        if images.shape[-2:] != (self.size, self.size):
            images = F.interpolate(
                images, (self.size, self.size), mode="bilinear", align_corners=False, antialias=True
            )
        features: Tensor = self.body(images)
        return features


def _reason(error: Exception) -> str:
    """The first line of an error, or its type where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _check_known(timm: Any, name: str) -> None:
    model = name.removeprefix(TIMM_PREFIX)
    known = timm.list_models()
    if model.partition(".")[0] not in known:
        near = get_close_matches(model, known, n=3)
        hint = (
            f"; like it are {', '.join(near)}" if near else "; timm.list_models() has their names"
        )
        raise ConfigError(f"teacher {name}: timm has no such model{hint}")
