"""Check any image encoder against the contract of teachers."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from pointmcd.checking import checking, close
from pointmcd.encoders.custom import MODULE_PREFIX, OwnNetwork, import_factory
from pointmcd.errors import ConfigError

_SIDE = 64


@torch.no_grad()
def check_teacher(encoder: str | Callable[[], nn.Module]) -> None:
    """Check that an image encoder of your own keeps the contract of `--teacher module:...`.

    It checks the attributes; shapes and finite values of features and maps; that in evaluation
    features are the same from call to call and whatever else is in the batch; that maps halve from
    one to the next; and that the factory always makes the same weights.

    Args:
        encoder: `module:package.module:factory`, or the factory itself: a class or function that
            makes the module, called without arguments.

    Raises:
        ConfigError: one line that names the first rule broken, and how.
    """
    name = encoder
    if not isinstance(encoder, str):
        name = f"{MODULE_PREFIX}{getattr(encoder, '__name__', type(encoder).__name__)}"
    with checking(f"teacher {name}"):
        factory = import_factory(encoder) if isinstance(encoder, str) else encoder
        made, again = (_make(factory) for _ in range(2))
        side = made.size or _SIDE
        images = torch.randn(3, 3, side, side)
        _check_features(made, again, images)
        if made.pyramid_channels:
            _check_maps(made.pyramid(images))


def _check_features(made: OwnNetwork, again: OwnNetwork, images: Tensor) -> None:
    features = made(images)
    if not features.isfinite().all():
        raise ConfigError("features are not finite")
    if not close(made(images), features):
        raise ConfigError("features change from call to call in evaluation")
    if not close(made(images[:1]), features[:1]):
        raise ConfigError("features of an image change with the rest of its batch in evaluation")
    if not close(again(images), features):
        raise ConfigError(
            "its factory makes other weights each time; load them, or draw them"
            " from torch's generator"
        )


def _make(factory: Callable[[], nn.Module]) -> OwnNetwork:
    torch.manual_seed(0)
    network: OwnNetwork = OwnNetwork(factory).eval()
    return network


def _check_maps(maps: list[Tensor]) -> None:
    sides = [tuple(image_map.shape[2:]) for image_map in maps]
    if len(maps) != 5:
        raise ConfigError(f"pyramid gives {len(maps)} maps, expected 5")
    for before, after in pairwise(sides):
        if any(abs(b - 2 * a) > 1 for b, a in zip(before, after, strict=True)):
            raise ConfigError(
                f"pyramid gives maps of {sides}; expected each half of the one"
                " before, at strides 2, 4, 8, 16 and 32"
            )
    if not all(image_map.isfinite().all() for image_map in maps):
        raise ConfigError("pyramid gives maps that are not finite")
