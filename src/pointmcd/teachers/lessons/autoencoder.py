"""The autoencoder lesson: redraw views from the map that is pooled to their descriptors."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.teachers.lesson import DESCRIPTOR_SIZE, register_lesson
from pointmcd.teachers.maps import MapDecoder, MapLesson, separable
from pointmcd.typing import Indices

#: Channels of the decoder's maps; the first is of the bottleneck's size, each next one doubles it.
WIDTHS = (256, 128, 64, 32, 16)
#: Grey that the untrained network draws, about the mean of views.
FIRST_GREY = 0.9


class ViewDecoder(MapDecoder):
    """The encoder's deepest map of a view -> a descriptor and the view.

    As the method's unsupervised teacher (PointMCD): the view's descriptor is the pooled deepest
    feature of an image autoencoder. All that is redrawn comes from that map: a skip link would let
    fine maps past it, and the descriptor would have less to learn. The layers are ours: light
    enough for a CPU.
    """

    def __init__(self, deepest: int) -> None:
        super().__init__(deepest)
        self.narrow = separable(DESCRIPTOR_SIZE, WIDTHS[0])
        self.stages = nn.Sequential(*(_Double(a, b) for a, b in pairwise(WIDTHS)))
        self.draw = nn.Conv2d(WIDTHS[-1], 4, 3, padding=1)
        # Most of a view is white: an output about zero would be the first thing to unlearn.
        nn.init.normal_(self.draw.weight, std=0.01)
        nn.init.constant_(self.draw.bias, FIRST_GREY)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, maps: list[Tensor], size: int) -> Tensor:
        """Maps of which the last, [n, C, h, w], counts -> views [n, size, size]; 0 black, 1 white.

        In training there is no bound: most of a view is white, and at white neither a clamp nor a
        sigmoid has much of a gradient.
        """
        deep = self.bottleneck(maps[-1])
        drawn = F.pixel_shuffle(self.draw(self.stages(self.narrow(deep))), 2)
        if drawn.shape[-2:] != (size, size):
            drawn = F.interpolate(drawn, (size, size), mode="bilinear", align_corners=False)
        return drawn[:, 0] if self.training else drawn[:, 0].clamp(0, 1)


class _Double(nn.Module):
    """Twice the size: 1x1 to four pixels for each, then 3x3 depthwise separable.

    Channels are reduced before the doubling, where that is a quarter of the work.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(before, 4 * after, 1, bias=False)
        self.mix = separable(after, after)

    def forward(self, deep: Tensor) -> Tensor:
        mixed: Tensor = self.mix(F.pixel_shuffle(self.widen(deep), 2))
        return mixed


@register_lesson("autoencoder")
class AutoencoderLesson(MapLesson):
    """Redraw views (PointMCD, unsupervised teacher). No label is read, of training or of scores.

    The public release draws its shapes by class label; here every shape comes once an epoch.
    """

    label_free = True

    def make_decoder(self) -> ViewDecoder:
        """Return a decoder that redraws views."""
        return ViewDecoder(self.encoder.pyramid_channels[-1])

    @classmethod
    def describe_scores(cls, scores: Mapping[str, Any]) -> str:
        """Return the L1 distance as one line."""
        shapes = scores["val_shapes"]
        return f"validation L1 {scores['val_l1']:.4f} of grey in 0 to 1, on {shapes} shapes"

    def loss(self, indices: Indices) -> Tensor:
        """Return the L1 between drawn views and the same redrawn, in grey of 0 to 1."""
        drawn = [pictures[self._draw_views()] for pictures in self.decoded_views(indices)]
        return self._distance(torch.from_numpy(np.concatenate(drawn)))

    @torch.inference_mode()
    def scores(self) -> dict[str, Any]:
        """Return the mean L1 over all validation views, in grey of 0 to 1."""
        views = (torch.from_numpy(self.store.views(index)) for index in self._validated())
        distances = [float(self._distance(of_shape)) for of_shape in views]
        return {"val_l1": sum(distances) / len(distances) if distances else None}

    def _distance(self, views: Tensor) -> Tensor:
        """Views uint8 [n, S, S] -> the scalar L1 to what the teacher makes of them."""
        redrawn = self.teacher(self._inputs(views), views.shape[-1])
        return F.l1_loss(redrawn, views.to(self.device) / 255)
