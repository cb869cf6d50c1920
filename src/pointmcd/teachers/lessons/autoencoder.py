"""The autoencoder lesson: redraw views from the map that is pooled to their descriptors."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.progress import progress_bar
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lesson import DESCRIPTOR_SIZE, Indices, register_lesson
from pointmcd.teachers.maps import MapDecoder, MapInputs, MapLesson, MapTeacher, pool_map

#: Channels of the decoder's maps; the first is of the bottleneck's size, each next one doubles it.
WIDTHS = (256, 128, 64, 32, 16)
#: Grey that the untrained network draws, about the mean of views.
FIRST_GREY = 0.9


class RedrawnViews(NamedTuple):
    """Descriptors [n, 512], never negative, and views [n, S, S]; 0 is black, 1 white."""

    descriptors: Tensor
    views: Tensor


class ViewDecoder(MapDecoder):
    """The encoder's deepest map of a view -> a descriptor and the view.

    As the method's unsupervised teacher (PointMCD): the view's descriptor is the pooled deepest
    feature of an image autoencoder, here of a trained 1x1 convolution + BN + ReLU to 512. All that
    is redrawn comes from that map: a skip link would let fine maps past it, and the descriptor
    would have less to learn. The layers are ours: light enough for a CPU.

    Args:
        deepest: channels of the encoder's deepest map.
    """

    def __init__(self, deepest: int) -> None:
        super().__init__(deepest)
        self.narrow = _separable(DESCRIPTOR_SIZE, WIDTHS[0])
        self.stages = nn.Sequential(*(_Double(a, b) for a, b in pairwise(WIDTHS)))
        self.draw = nn.Conv2d(WIDTHS[-1], 4, 3, padding=1)
        # Most of a view is white: an output about zero would be the first thing to unlearn.
        nn.init.normal_(self.draw.weight, std=0.01)
        nn.init.constant_(self.draw.bias, FIRST_GREY)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, deepest: Tensor, size: int) -> RedrawnViews:
        """The encoder's deepest map [n, C, h, w] -> RedrawnViews, views [n, size, size]."""
        deep = self.bottleneck(deepest)
        drawn = F.pixel_shuffle(self.draw(self.stages(self.narrow(deep))), 2)
        if drawn.shape[-2:] != (size, size):
            drawn = F.interpolate(drawn, (size, size), mode="bilinear", align_corners=False)
        # In training there is no bound: most of a view is white, and at white neither a clamp nor a
        # sigmoid has much of a gradient.
        redrawn = drawn[:, 0] if self.training else drawn[:, 0].clamp(0, 1)
        return RedrawnViews(pool_map(deep), redrawn)


def _separable(before: int, after: int) -> nn.Sequential:
    """3x3 depthwise separable convolution, BN, ReLU."""
    return nn.Sequential(
        nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False),
        nn.Conv2d(before, after, 1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


class _Double(nn.Module):
    """Twice the size: 1x1 to four pixels for each, then 3x3 depthwise separable.

    Channels are reduced before the doubling, where that is a quarter of the work.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(before, 4 * after, 1, bias=False)
        self.mix = _separable(after, after)

    def forward(self, deep: Tensor) -> Tensor:
        mixed: Tensor = self.mix(F.pixel_shuffle(self.widen(deep), 2))
        return mixed


class AutoencoderTeacher(MapTeacher):
    """An image encoder with a decoder that redraws views."""

    decoder: ViewDecoder

    def __init__(self, encoder: ImageEncoder, finetune: bool) -> None:
        super().__init__(encoder, ViewDecoder(encoder.pyramid_channels[-1]), finetune)

    def forward(self, inputs: MapInputs, size: int) -> RedrawnViews:
        """Views uint8 [n, S, S] when fine-tuned, else the frozen encoder's maps; S."""
        output: RedrawnViews = self.decoder(self._maps(inputs)[-1], size)
        return output


@register_lesson("autoencoder")
class AutoencoderLesson(MapLesson):
    """Redraw views (PointMCD, unsupervised teacher). No label is read, of training or of scores.

    The public release draws its shapes by class label; here every shape comes once an epoch.
    """

    label_free = True

    teacher: AutoencoderTeacher

    def __init__(
        self, store: Store, config: TeachConfig, device: torch.device, encoder: ImageEncoder
    ) -> None:
        super().__init__(store, config, device, encoder)
        torch.manual_seed(config.seed)
        self.teacher = AutoencoderTeacher(encoder, config.finetune).to(device)

    @classmethod
    def describe_scores(cls, scores: Mapping[str, Any]) -> str:
        """Return the L1 distance as one line."""
        shapes = scores["val_shapes"]
        return f"validation L1 {scores['val_l1']:.4f} of grey in 0 to 1, on {shapes} shapes"

    def loss(self, indices: Indices) -> Tensor:
        """Return the L1 between drawn views and the same redrawn, in grey of 0 to 1."""
        drawn = [self.store.views(int(i))[self._draw_views()] for i in indices]
        return self._distance(torch.cat([torch.from_numpy(views) for views in drawn]))

    @torch.inference_mode()
    def scores(self) -> dict[str, Any]:
        """Return the mean L1 over all validation views, in grey of 0 to 1."""
        val = self.store.indices("val")
        self.teacher.eval()
        total = 0.0
        with progress_bar() as progress:
            task = progress.add_task("teacher validated", total=len(val), note="")
            for index in val.tolist():
                total += float(self._distance(torch.from_numpy(self.store.views(index))))
                progress.advance(task)
        return {"val_l1": total / len(val) if len(val) else None}

    def _distance(self, views: Tensor) -> Tensor:
        """Views uint8 [n, S, S] -> the scalar L1 to what the teacher makes of them."""
        redrawn = self.teacher(self._inputs(views), views.shape[-1]).views
        return F.l1_loss(redrawn, views.to(self.device) / 255)
