"""A user's own image encoder, by `module:package.module:factory` or with a dot before the last."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pointmcd.checking import attempt
from pointmcd.encoders.registry import resize
from pointmcd.errors import ConfigError, first_line
from pointmcd.plugs import found_at

MODULE_PREFIX = "module:"
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
#: Side of the images on which an encoder is tried, where it states no size.
_TRIAL = 224


class OwnNetwork(nn.Module):
    """A user's image encoder: normalised images [n, 3, H, W] -> features [n, F].

    Args:
        factory: takes no arguments and returns a module with the attribute `num_features` (F), and,
            where wanted, `mean` and `std` (three numbers each, of images in 0 to 1; by default
            ImageNet's), `size` (side of the images; by default the views' own), `licence` (of its
            weights), and `pyramid_channels` with `pyramid(images)`, maps at strides 2, 4, 8, 16
            and 32.

    Attributes:
        num_features, mean, std, size, licence, pyramid_channels: as the module has them.

    Raises:
        ConfigError: when the factory fails, or the module lacks something or, tried on two images,
            gives something else than it says.
    """

    def __init__(self, factory: Callable[[], Any]) -> None:
        super().__init__()
        body = attempt("its factory fails", factory)
        if not isinstance(body, nn.Module):
            raise ConfigError(f"its factory gives a {type(body).__name__}, expected a torch module")
        self.body = body
        self.num_features = self._number("num_features", None)
        self.mean = self._channels("mean", _IMAGENET_MEAN)
        self.std = self._channels("std", _IMAGENET_STD)
        if min(self.std) <= 0:
            raise ConfigError(f"std {self.std}: must be above 0")
        self.size = self._number("size", 0)
        self.licence = str(getattr(body, "licence", "not stated"))
        self.pyramid_channels = tuple(getattr(body, "pyramid_channels", ()))
        self._try()

    def forward(self, images: Tensor) -> Tensor:
        """Encode images of any size, resized to `size` where the module states one."""
        features: Tensor = self.body(
            resize(images, (self.size, self.size)) if self.size else images
        )
        return features

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Return the module's maps of images at the views' own size, the finest first."""
        pyramid: Any = self.body.pyramid
        return list(pyramid(images))

    def _number(self, attribute: str, default: int | None) -> int:
        value = getattr(self.body, attribute, default)
        if value == default == 0:
            return 0
        if not isinstance(value, int) or value < 1:
            raise ConfigError(f"needs an integer attribute {attribute}, at least 1, not {value!r}")
        return value

    def _channels(self, attribute: str, default: tuple[float, ...]) -> tuple[float, float, float]:
        value = getattr(self.body, attribute, default)
        try:
            red, green, blue = (float(x) for x in value)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{attribute} {value!r}: three numbers, one a channel") from error
        return red, green, blue

    @torch.no_grad()
    def _try(self) -> None:
        """Run two white images through it, batch norms and dropout in evaluation."""
        trained = self.body.training
        self.body.eval()
        images = torch.ones(2, 3, self.size or _TRIAL, self.size or _TRIAL)
        features, *maps = attempt(
            f"fails on images {list(images.shape)}", lambda: self._shapes(images)
        )
        self.body.train(trained)
        if features != (2, self.num_features):
            raise ConfigError(
                f"gives {list(features)} of two images, expected [2, {self.num_features}]: pooled"
                " features, num_features of each"
            )
        if maps != [(2, channels) for channels in self.pyramid_channels]:
            raise ConfigError(
                f"pyramid gives maps of {[shape[-1] for shape in maps]} channels, pyramid_channels"
                f" says {list(self.pyramid_channels)}"
            )

    def _shapes(self, images: Tensor) -> list[tuple[int, ...]]:
        maps = self.pyramid(images) if self.pyramid_channels else []
        return [tuple(self(images).shape), *(tuple(m.shape[:2]) for m in maps)]


def import_factory(name: str) -> Callable[[], Any]:
    """Return the factory at `module:package.module:factory` or `module:FILE.py:factory`.

    Raises:
        ConfigError: when it cannot be imported.
    """
    path = name.removeprefix(MODULE_PREFIX)
    module, _, attribute = path.rpartition(":") if ":" in path else path.rpartition(".")
    if not module or not attribute:
        raise ConfigError(f"expected {MODULE_PREFIX}package.module:factory")
    try:
        factory: Callable[[], Any] = found_at(f"{module}:{attribute}")
    except Exception as error:  # also a fault in the user's own file
        raise ConfigError(f"cannot be imported: {first_line(error)}") from error
    return factory
