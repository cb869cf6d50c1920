"""Image encoders by name. Each knows the input that its weights were trained with."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import pointmcd.encoders.lite0  # noqa: F401 (registers itself)
from pointmcd.encoders.custom import MODULE_PREFIX, OwnNetwork, import_factory
from pointmcd.encoders.registry import EncoderSpec, encoder_spec, list_encoders
from pointmcd.encoders.timm import TIMM_PREFIX, TimmNetwork
from pointmcd.errors import ConfigError, naming

RANDOM_PREFIX = "random:"
#: Views encoded together on a CPU: so few that their maps stay in its cache.
CPU_BATCH = 4


class ImageEncoder(nn.Module):
    """Grey views in, pooled features out, normalised as the weights expect.

    Args:
        name: a registered encoder, `timm:MODEL`, `module:package.module:factory` for one of your
            own, or `random:NAME` for the same network with random weights, the control that takes
            the pretraining away and nothing else.
        seed: of the random weights.
        weights: a file with the weights of `timm:MODEL`, instead of timm's own.

    Attributes:
        num_features: F.
        weights: a hash of weights that the name does not decide; empty for a registered encoder,
            whose weights come with a package, and for random ones, which the seed decides.
        licence: of the weights.

    Raises:
        ConfigError: when there is no such encoder, or its weights cannot be had.
    """

    def __init__(self, name: str, seed: int = 0, weights: Path | None = None) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network, about = _build(name, weights)
        by_name = name.startswith(RANDOM_PREFIX) or name in list_encoders()
        self.weights = "" if by_name else _digest(network, about.mean, about.std, network.size)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.name = name
        self.num_features = about.num_features
        self.licence = about.licence
        self._pyramid_channels = about.pyramid_channels
        self.register_buffer("mean", torch.tensor(about.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(about.std).view(1, 3, 1, 1), persistent=False)

    def fold(self) -> None:
        """Fold batch norms into convolutions, for inference: the same values, in less time."""
        if hasattr(self.network, "fold"):
            self.network.fold()

    def forward(self, views: Tensor) -> Tensor:
        """Encode grey views, uint8 [n, S, S] -> features float [n, F]."""
        return torch.cat([self.network(self._images(some)) for some in _batches(views)])

    @property
    def pyramid_channels(self) -> tuple[int, ...]:
        """Channels C_i of the maps that `pyramid` gives, from the finest to the deepest.

        Raises:
            ConfigError: when the encoder offers none.
        """
        self.require_maps("the lesson")
        return self._pyramid_channels

    def require_maps(self, asker: str) -> None:
        """Refuse an encoder without feature maps; `asker` is what needs them.

        Raises:
            ConfigError: when the encoder offers none.
        """
        if not self._pyramid_channels:
            able = (name for name in list_encoders() if encoder_spec(name).pyramid_channels)
            raise ConfigError(
                f"teacher {self.name}: gives no feature maps, which {asker} needs; use one of"
                f" {', '.join(able)}"
            )

    def pyramid(self, views: Tensor) -> list[Tensor]:
        """Grey views, uint8 [n, S, S] -> maps float [n, C_i, S / s, S / s] at s = 2, 4, 8, 16, 32.

        Sizes that do not halve evenly are rounded as the network's own padding has it.

        Raises:
            ConfigError: when the encoder offers none.
        """
        self.require_maps("the lesson")
        pyramid: Callable[[Tensor], list[Tensor]] = self.network.pyramid
        batches = [pyramid(self._images(some)) for some in _batches(views)]
        return [torch.cat(maps) for maps in zip(*batches, strict=True)]

    def _images(self, views: Tensor) -> Tensor:
        """Normalise as the weights expect: float [n, 3, S, S]."""
        images = views[:, None].to(self.mean.dtype) / 255  # type: ignore[arg-type]
        images = (images - self.mean) / self.std  # type: ignore[operator]
        return images.contiguous(memory_format=torch.channels_last)


def _build(
    name: str, weights: Path | None
) -> tuple[nn.Module, EncoderSpec | TimmNetwork | OwnNetwork]:
    """The network, and what states its inputs and outputs."""
    bare = name.removeprefix(RANDOM_PREFIX)
    network: TimmNetwork | OwnNetwork
    if bare.startswith(TIMM_PREFIX):
        network = TimmNetwork(bare, pretrained=bare == name, weights=weights)
        return network, network
    if bare.startswith(MODULE_PREFIX):
        with naming(f"teacher {name}"):
            if bare != name:
                raise ConfigError("let the factory itself make random weights")
            network = OwnNetwork(import_factory(name))
        return network, network
    if bare not in list_encoders():
        raise ConfigError(
            f"teacher {name}: unknown; use one of {', '.join(list_encoders())}, {TIMM_PREFIX}NAME"
            f" for a model of timm, {MODULE_PREFIX}package.module:factory for your own, or"
            f" {RANDOM_PREFIX}NAME for the same network with random weights"
        )
    return encoder_spec(bare).build(bare == name), encoder_spec(bare)


def _digest(network: nn.Module, *about: object) -> str:
    """16 hexadecimal digits over a network's state, and over `about` by its text."""
    digest = hashlib.sha256(repr(about).encode())
    for name, tensor in sorted(network.state_dict().items()):
        if isinstance(tensor, Tensor):  # a module may keep other things there
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode())
            plain = tensor.detach().cpu().contiguous().flatten()
            digest.update(plain.view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def weights_licence(name: str) -> str | None:
    """Return the licence of an encoder's pretrained weights; None: there are none, or unknown."""
    if name.startswith(TIMM_PREFIX):
        return "see its model card"  # every model of timm has its own
    return encoder_spec(name).licence if name in list_encoders() else None


def _batches(views: Tensor) -> tuple[Tensor, ...]:
    """Split views for the cache of a CPU.

    They stay together off the CPU, and where a gradient is wanted: batch norm counts them all.
    """
    whole = torch.is_grad_enabled() or views.device.type != "cpu"
    batches: tuple[Tensor, ...] = views.split(len(views) if whole else CPU_BATCH)
    return batches
