"""Registered image encoders, by name."""

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.errors import ConfigError


@dataclass(frozen=True)
class EncoderSpec:
    """Inputs and outputs of an image encoder.

    Attributes:
        build: makes the network, images [n, 3, H, W] -> features [n, F]; True: with weights.
        num_features: F.
        mean, std: normalisation of the pretraining, per channel, for images in 0 to 1.
        licence: of the weights.
        pyramid_channels: of the feature maps at strides 2, 4, 8, 16 and 32 that the network's
            `pyramid(images)` gives; empty for a network without that method.
        size: side of the images that the pooled features are computed from; 0: the views' own.
        package: the installed module with the weights; empty where nothing has to be installed.
    """

    build: Callable[[bool], nn.Module]
    num_features: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str
    pyramid_channels: tuple[int, ...] = ()
    size: int = 0
    package: str = ""


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (or stretch) images [n, 3, H, W] to the size that an encoder's weights know."""
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


_SPECS: dict[str, EncoderSpec] = {}


def register_encoder(name: str, spec: EncoderSpec) -> None:
    """Make an image encoder known under `name`."""
    if _SPECS.setdefault(name, spec) is not spec:
        raise ConfigError(f"encoder {name}: the name is taken already; choose another")


def list_encoders() -> list[str]:
    """Return the names of all registered encoders, sorted."""
    return sorted(_SPECS)


def encoder_spec(name: str) -> EncoderSpec:
    """Return the spec of a registered encoder."""
    return _SPECS[name]
