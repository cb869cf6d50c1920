"""EfficientNet-Lite, with the names of tensors that timm gives them.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019:
the stages of table 1, scaled by section 3. The Lite variants have no squeeze and excitation, ReLU6
for swish, and leave the stem, the head and the depth of the first and last stage as they are. A
state dict fits timm's `tf_efficientnet_lite0`, `1` and `2`, and the other way round.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pointmcd.ops.packed_convolution import PackedConvolution

#: Factors of width and depth, and the side of the images that the weights were trained with.
_VARIANTS = ((1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260))
#: Blocks, kernel, stride, expansion and channels of each stage.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD, _CLASSES = 32, 1280, 1000
#: The last block is skipped for this share of the images in training, earlier ones for less.
_SKIPPED = 0.2


class EfficientNetLite(nn.Module):
    """Images [n, 3, H, W] -> logits of the classes of ImageNet [n, 1000].

    The padding is TensorFlow's SAME for images of the side that the weights were trained with,
    whatever the side of those that come.

    Args:
        number: of the variant, 0 to 2.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        width, depth, side = _VARIANTS[number]
        self.conv_stem: nn.Module = _Convolution(3, _STEM, 3, stride=2, side=side)
        self.bn1: nn.Module = _Norm(_STEM)
        self.blocks: Any = nn.Sequential(*_stages(width, depth, math.ceil(side / 2)))
        self.conv_head: nn.Module = _Convolution(_scaled(_STAGES[-1][-1], width), _HEAD, 1)
        self.bn2: nn.Module = _Norm(_HEAD)
        self.classifier: nn.Module = nn.Linear(_HEAD, _CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, without the dropout that the weights were trained with."""
        logits: Tensor = self.classifier(self.forward_features(images).mean(dim=(2, 3)))
        return logits

    def forward_features(self, images: Tensor) -> Tensor:
        """Return the deepest map [n, 1280, H / 32, W / 32]."""
        deep = self._stem(images)
        for stage in self.blocks:
            for block in stage:  # not the stage at once, which would hold its input
                deep = block(deep)
        return self._head(deep)

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Return the last map at each of the strides 2, 4, 8, 16 and 32."""
        deep, maps = self._stem(images), []
        for stage in self.blocks:
            if stage[0].strided:
                maps.append(deep)
            deep = stage(deep)
        return [*maps, self._head(deep)]

    def fold(self) -> None:
        """Make padding, batch norm and ReLU6 a part of each convolution, for inference."""
        if isinstance(self.conv_stem, PackedConvolution):  # folded before
            return
        self.conv_stem, self.bn1 = _folded(self.conv_stem, self.bn1), nn.Identity()
        self.conv_head, self.bn2 = _folded(self.conv_head, self.bn2), nn.Identity()
        self.blocks = nn.Sequential(
            *(nn.Sequential(*(_FoldedBlock(block) for block in stage)) for stage in self.blocks)
        )

    def _stem(self, images: Tensor) -> Tensor:
        maps: Tensor = self.bn1(self.conv_stem(images))
        return maps

    def _head(self, maps: Tensor) -> Tensor:
        deepest: Tensor = self.bn2(self.conv_head(maps))
        return deepest


class _Convolution(nn.Conv2d):
    """A convolution without bias, padded so that `side` pixels become side / stride, rounded up.

    Where that takes one pixel more than can be shared out, the right and the lower edge get it.
    """

    def __init__(
        self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1, side: int = 0
    ) -> None:
        self.uneven = stride == 2 and side % 2 == 0
        padding = kernel // 2 - self.uneven
        super().__init__(before, after, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images [n, C, H, W] -> maps [n, D, h, w]."""
        return super().forward(F.pad(images, (0, 1, 0, 1)) if self.uneven else images)

    def make_even(self) -> None:
        """Widen an uneven kernel by zeros, on the left and above, so that no image is copied."""
        if self.uneven:
            self.weight = nn.Parameter(F.pad(self.weight.detach(), (1, 0, 1, 0)))
            self.padding = (self.kernel_size[0] // 2,) * 2
            self.uneven = False


class _Norm(nn.BatchNorm2d):
    """Batch norm with TensorFlow's constants, then ReLU6 if it `clips`."""

    def __init__(self, channels: int, clips: bool = True) -> None:
        super().__init__(channels, eps=1e-3, momentum=0.01)
        self.clips = clips

    def forward(self, maps: Tensor) -> Tensor:
        """Maps [n, C, H, W] -> the same."""
        normed = super().forward(maps)
        return F.relu6(normed, inplace=True) if self.clips else normed


class _Block(nn.Module):
    """1x1 convolution to more channels, one for each channel apart, 1x1 to fewer.

    The input is added if its shape is that of the output; without expansion the first is left out.

    Attributes:
        layers: names of the convolutions and their norms.
    """

    def __init__(
        self, before: int, after: int, kernel: int, stride: int, expansion: int, side: int
    ) -> None:
        super().__init__()
        inner = before * expansion
        self.strided = stride > 1
        self.adds = not self.strided and before == after
        self.skipped = 0.0  #: share of the images, in training
        expand = [("conv_pw", _Convolution(before, inner, 1))] if expansion > 1 else []
        convolutions = [
            *expand,
            ("conv_dw", _Convolution(inner, inner, kernel, stride, groups=inner, side=side)),
            ("conv_pwl" if expand else "conv_pw", _Convolution(inner, after, 1)),
        ]
        for number, (name, convolution) in enumerate(convolutions, start=1):
            self.add_module(name, convolution)
            clips = number < len(convolutions)
            self.add_module(f"bn{number}", _Norm(convolution.out_channels, clips))
        self.layers = [(name, f"bn{number}") for number, (name, _) in enumerate(convolutions, 1)]

    def forward(self, maps: Tensor) -> Tensor:
        """Maps [n, C, H, W] -> maps [n, D, h, w]."""
        deep = maps
        for convolution, norm in self.layers:
            deep = getattr(self, norm)(getattr(self, convolution)(deep))
        if not self.adds:
            return deep
        if self.training and self.skipped:
            deep = _skip(deep, self.skipped)
        return deep.add_(maps)


class _FoldedBlock(nn.Module):
    """A block for inference, of packed convolutions alone."""

    def __init__(self, block: _Block) -> None:
        super().__init__()
        self.strided, self.adds = block.strided, block.adds
        pairs = ((getattr(block, name), getattr(block, norm)) for name, norm in block.layers)
        *inner, last = (_folded(convolution, norm) for convolution, norm in pairs)
        self.inner, self.last = nn.ModuleList(inner), last

    def forward(self, maps: Tensor) -> Tensor:
        """Maps [n, C, H, W] -> maps [n, D, h, w]."""
        deep = maps
        for convolution in self.inner:
            deep = convolution(deep)
        summed: Tensor = self.last(deep, maps if self.adds else None)
        return summed


def _stages(width: float, depth: float, side: int) -> Iterator[nn.Sequential]:
    """Yield the stages of blocks; `side` is that of the stem's maps."""
    ends = (0, len(_STAGES) - 1)
    counts = [
        stage[0] if number in ends else math.ceil(stage[0] * depth)
        for number, stage in enumerate(_STAGES)
    ]
    before, number = _STEM, 0
    for count, (_, kernel, stride, expansion, channels) in zip(counts, _STAGES, strict=True):
        blocks, after = [], _scaled(channels, width)
        for index in range(count):
            step = 1 if index else stride
            blocks.append(_Block(before, after, kernel, step, expansion, side))
            blocks[-1].skipped = _SKIPPED * number / sum(counts)
            before, side, number = after, math.ceil(side / step), number + 1
        yield nn.Sequential(*blocks)


def _scaled(channels: int, width: float) -> int:
    """The nearest multiple of 8, unless it takes away more than a tenth."""
    nearest = max(8, int(channels * width + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels * width else nearest + 8


def _skip(maps: Tensor, share: float) -> Tensor:
    """Stochastic depth: zeros for a share of the images, drawn, and more of the others."""
    drawn = torch.rand((len(maps), 1, 1, 1), dtype=maps.dtype, device=maps.device)
    return maps / (1 - share) * (drawn >= share)


def _folded(convolution: Any, norm: Any) -> PackedConvolution:
    fused = fuse_conv_bn_eval(convolution.eval(), norm.eval())
    fused.make_even()
    return PackedConvolution(fused, norm.clips)
