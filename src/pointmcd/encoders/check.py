"""Check any image encoder against the contract of teachers."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from pointmcd.encoders.custom import MODULE_PREFIX, OwnNetwork, import_factory, make_own
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
    if isinstance(encoder, str):
        name, factory = encoder, import_factory(encoder)
    else:
        name = f"{MODULE_PREFIX}{getattr(encoder, '__name__', type(encoder).__name__)}"
        factory = encoder
    with torch.random.fork_rng(devices=[]):
        made, again = (_make(name, factory) for _ in range(2))
        side = made.size or _SIDE
        images = torch.randn(3, 3, side, side)
    _check_features(name, made, again, images)
    if made.pyramid_channels:
        _check_maps(name, made.pyramid(images))


def _check_features(name: str, made: OwnNetwork, again: OwnNetwork, images: Tensor) -> None:
    features = made(images)
    if not features.isfinite().all():
        raise ConfigError(f"teacher {name}: features are not finite")
    if not _close(made(images), features):
        raise ConfigError(f"teacher {name}: features change from call to call in evaluation")
    if not _close(made(images[:1]), features[:1]):
        raise ConfigError(
            f"teacher {name}: features of an image change with the rest of its batch in evaluation"
        )
    if not _close(again(images), features):
        raise ConfigError(
            f"teacher {name}: its factory makes other weights each time; load them, or draw them"
            " from torch's generator"
        )


def _make(name: str, factory: Callable[[], nn.Module]) -> OwnNetwork:
    torch.manual_seed(0)
    network: OwnNetwork = OwnNetwork(name, make_own(name, factory)).eval()
    return network


def _check_maps(name: str, maps: list[Tensor]) -> None:
    sides = [tuple(image_map.shape[2:]) for image_map in maps]
    if len(maps) != 5:
        raise ConfigError(f"teacher {name}: pyramid gives {len(maps)} maps, expected 5")
    for before, after in pairwise(sides):
        if any(abs(b - 2 * a) > 1 for b, a in zip(before, after, strict=True)):
            raise ConfigError(
                f"teacher {name}: pyramid gives maps of {sides}; expected each half of the one"
                " before, at strides 2, 4, 8, 16 and 32"
            )
    if not all(image_map.isfinite().all() for image_map in maps):
        raise ConfigError(f"teacher {name}: pyramid gives maps that are not finite")


def _close(one: Tensor, other: Tensor) -> bool:
    room = 1e-3 * float(one.abs().max())
    return torch.allclose(one, other, rtol=0, atol=room)
