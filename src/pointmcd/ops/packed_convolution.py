"""Frozen convolutions on a CPU: weights laid out once, ReLU6 or a sum within the convolution."""

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PackedConvolution(nn.Module):
    """A convolution, with ReLU6 if it `clips`: images [n, C, H, W] -> maps [n, D, h, w].

    On a CPU without gradients it is one call of oneDNN, on weights in the layout that oneDNN
    prefers. The plain form lays them out at every call, and reads and writes every map once more
    for the ReLU6 or the sum; it serves elsewhere, and in exported programs. Values agree but for
    rounding.

    It is for inference: the layout is made of the weights as they are at the first call.
    """

    def __init__(self, convolution: nn.Conv2d, clips: bool) -> None:
        super().__init__()
        self.convolution = convolution
        self.clips = clips
        self._packed: Tensor | None = None

    def forward(self, images: Tensor, added: Tensor | None = None) -> Tensor:
        """Return the maps, plus `added` [n, D, h, w] (not clipped); channels last if images are."""
        return self.fused(images, added) if _fuses(images) else self.plain(images, added)

    def plain(self, images: Tensor, added: Tensor | None = None) -> Tensor:
        """The reference, of two operations."""
        maps: Tensor = self.convolution(images)
        if added is not None:
            return maps.add_(added)
        return F.relu6(maps, inplace=True) if self.clips else maps

    def fused(self, images: Tensor, added: Tensor | None = None) -> Tensor:
        """The same in one operation, which torch.compile uses too (it needs a C++ compiler)."""
        own, mkldnn = self.convolution, torch.ops.mkldnn
        layout = own.padding, own.stride, own.dilation, own.groups
        if self._packed is None:
            weight = own.weight.detach()
            self._packed = mkldnn._reorder_convolution_weight(weight, *layout, list(images.shape))
        weights = self._packed, own.bias, *layout
        maps: Tensor
        if added is not None:
            maps = mkldnn._convolution_pointwise.binary(
                images, added, *weights, "add", 1.0, None, [], None
            )
            return maps
        clipping = ("hardtanh", [0.0, 6.0]) if self.clips else ("none", [])
        maps = mkldnn._convolution_pointwise(images, *weights, *clipping, "")
        return maps

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the packed weights, which cannot be copied, and are made anew."""
        return {**self.__dict__, "_packed": None}


def _fuses(images: Tensor) -> bool:
    exported = torch.compiler.is_compiling() or type(images) is not Tensor
    if exported or torch.is_grad_enabled() or not len(images):
        return False
    return images.device.type == "cpu" and images.dtype == torch.float32 and fusion_works()


@cache
def fusion_works() -> bool:
    """Return whether this torch has the fused operation: it is not a public one, so it is tried."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        packed = PackedConvolution(nn.Conv2d(8, 8, 3, padding=1, groups=8), clips=True)
        image = torch.linspace(-20, 20, 8 * 81).view(1, 8, 9, 9)
        try:
            return all(
                torch.allclose(packed.fused(image, added), packed.plain(image, added), atol=1e-4)
                for added in (None, image)
            )
        except (AttributeError, RuntimeError, TypeError):
            return False
