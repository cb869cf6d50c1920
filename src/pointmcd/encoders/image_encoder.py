"""Image encoders by name. Each knows the input that its weights were trained with."""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import pointmcd.encoders.lite  # noqa: F401 (registers itself)
from pointmcd.encoders.custom import MODULE_PREFIX, OwnNetwork, import_factory
from pointmcd.encoders.joined import JOIN, JoinedNetwork
from pointmcd.encoders.registry import EncoderSpec, encoder_spec, list_encoders
from pointmcd.encoders.timm import TIMM_PREFIX, TimmNetwork, is_timm_model
from pointmcd.errors import ConfigError, naming

RANDOM_PREFIX = "random:"
#: Views encoded together on a CPU, so few that their maps stay in its cache, and elsewhere.
CPU_BATCH, OTHER_BATCH = 4, 128


class ImageEncoder(nn.Module):
    """Grey views in, pooled features out, normalised as the weights expect.

    Args:
        name: a registered encoder, `timm:MODEL`, `module:package.module:factory` for one of your
            own, `random:NAME` for the same network with random weights, the control that takes
            the pretraining away and nothing else, or several of these joined, `NAME+NAME`.
        seed: of the random weights.
        weights: a file with the weights of `timm:MODEL`, instead of timm's own.

    Attributes:
        num_features: F; of joined encoders the sum of theirs.
        members: the joined encoders, in order; of one that is not joined, itself.
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
            network, about = _build(name, seed, weights)
        self.weights = _weights(name, network, about)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.name = name
        self.num_features = about.num_features
        self.licence = about.licence
        self._pyramid_channels = about.pyramid_channels
        self.register_buffer("mean", torch.tensor(about.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(about.std).view(1, 3, 1, 1), persistent=False)

    @property
    def members(self) -> list["ImageEncoder"]:
        """The joined encoders, or this one alone."""
        return self.network.members if isinstance(self.network, JoinedNetwork) else [self]

    def fold(self) -> None:
        """Fold batch norms into convolutions, for inference: the same values, in less time."""
        if hasattr(self.network, "fold"):
            self.network.fold()

    def forward(self, views: Tensor) -> Tensor:
        """Encode grey views, uint8 [n, S, S] -> features float [n, F]."""
        with self._mixed_precision():
            return torch.cat([self.encode(_grey(some)).float() for some in _batches(views)])

    def encode(self, images: Tensor) -> Tensor:
        """Encode images in 0 to 1, float [n, 3 or 1, H, W] -> features float [n, F]."""
        features: Tensor = self.network(self._normalised(images))
        return features

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
        with self._mixed_precision():
            batches = [self.maps(_grey(some)) for some in _batches(views)]
        return [torch.cat(maps).float() for maps in zip(*batches, strict=True)]

    def maps(self, images: Tensor) -> list[Tensor]:
        """Images in 0 to 1, float [n, 3 or 1, H, W] -> maps as those of `pyramid`.

        Raises:
            ConfigError: when the encoder offers none.
        """
        self.require_maps("the lesson")
        pyramid: Callable[[Tensor], list[Tensor]] = self.network.pyramid
        return pyramid(self._normalised(images))

    def _mixed_precision(self) -> AbstractContextManager[Any]:
        """Train in bfloat16 on a GPU that has it, with weights and features in float32."""
        trained = torch.is_grad_enabled() and self.mean.device.type == "cuda"
        if not trained or not torch.cuda.is_bf16_supported(including_emulation=False):
            return nullcontext()  # what the caller chose
        return torch.autocast("cuda", torch.bfloat16)

    def _normalised(self, images: Tensor) -> Tensor:
        """Normalise as the weights expect: float [n, 3, H, W]."""
        centred: Tensor = images.to(self.mean.dtype) - self.mean  # type: ignore[arg-type, operator]
        normalised = centred.div_(self.std)  # type: ignore[arg-type]
        return normalised.contiguous(memory_format=torch.channels_last)


def as_images(views: Tensor) -> Tensor:
    """Grey views, uint8 [B, V, S, S] -> images in 0 to 1, float [B, V, 3, S, S]."""
    return views[:, :, None].expand(-1, -1, 3, -1, -1).float() / 255


def _grey(views: Tensor) -> Tensor:
    """Views uint8 [n, S, S] -> images in 0 to 1, float [n, 1, S, S]."""
    return views[:, None].float() / 255


def split_names(name: str) -> list[str]:
    """Return the names of the encoders that a name joins by `+`; of one, itself.

    Raises:
        ConfigError: when one is named twice.
    """
    names = name.split(JOIN)
    if len(set(names)) < len(names):
        raise ConfigError(f"teacher {name}: joins an encoder with itself; name each once")
    return names


def is_encoder(name: str) -> bool:
    """Return whether a name, which joins no others, could be an encoder's."""
    own = (TIMM_PREFIX, MODULE_PREFIX)
    return name.removeprefix(RANDOM_PREFIX) in list_encoders() or name.startswith(
        (*own, *(RANDOM_PREFIX + prefix for prefix in own))
    )


def _build(
    name: str, seed: int, weights: Path | None
) -> tuple[nn.Module, EncoderSpec | TimmNetwork | OwnNetwork | JoinedNetwork]:
    """The network, and what states its inputs and outputs."""
    network: TimmNetwork | OwnNetwork | JoinedNetwork
    if JOIN in name:
        files = {one: weights for one in split_names(name) if one.startswith(TIMM_PREFIX)}
        network = JoinedNetwork(
            [ImageEncoder(one, seed, files.get(one)) for one in split_names(name)]
        )
        return network, network
    bare = name.removeprefix(RANDOM_PREFIX)
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
        if is_timm_model(bare):
            raise ConfigError(f"teacher {name}: unknown; did you mean {TIMM_PREFIX}{bare}?")
        raise ConfigError(
            f"teacher {name}: unknown; use one of {', '.join(list_encoders())}, {TIMM_PREFIX}NAME"
            f" for a model of timm, {MODULE_PREFIX}package.module:factory for your own, or"
            f" {RANDOM_PREFIX}NAME for the same network with random weights, or several joined by"
            f" {JOIN}"
        )
    return encoder_spec(bare).build(bare == name), encoder_spec(bare)


def _weights(
    name: str, network: nn.Module, about: EncoderSpec | TimmNetwork | OwnNetwork | JoinedNetwork
) -> str:
    """A hash of the weights; empty where the name decides them."""
    if isinstance(network, JoinedNetwork):
        each = [member.weights for member in network.members]
        return hashlib.sha256(" ".join(each).encode()).hexdigest()[:16] if any(each) else ""
    if name.startswith(RANDOM_PREFIX) or name in list_encoders():
        return ""
    return _digest(network, about.mean, about.std, network.size)


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
    if JOIN in name:
        each = {one: weights_licence(one) for one in split_names(name)}
        return "; ".join(f"{one}: {licence or 'unknown'}" for one, licence in each.items())
    if name.startswith(TIMM_PREFIX):
        return "see its model card"  # every model of timm has its own
    return encoder_spec(name).licence if name in list_encoders() else None


def _batches(views: Tensor) -> tuple[Tensor, ...]:
    """Split views; where a gradient is wanted they stay together: batch norm counts them all."""
    if torch.is_grad_enabled():
        return (views,)
    batches: tuple[Tensor, ...] = views.split(
        CPU_BATCH if views.device.type == "cpu" else OTHER_BATCH
    )
    return batches
