"""Lessons on an encoder's feature maps: the bottleneck, drawn views, an encoder that may be frozen.

Maps of all views would fill the disk, unlike pooled features: each step runs the encoder anew.
"""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.progress import progress_bar
from pointmcd.teachers.lesson import DESCRIPTOR_SIZE
from pointmcd.teachers.trained import TrainedLesson, TrainedOptions
from pointmcd.typing import Indices

#: Inputs of such a teacher: views uint8 [n, S, S], or a frozen encoder's maps of them.
MapInputs = Tensor | list[Tensor]


class MapDecoder(nn.Module):
    """1x1 convolution + BN + ReLU to 512 on an encoder's deepest map; a descriptor is its mean."""

    def __init__(self, deepest: int) -> None:
        super().__init__()
        self.bottleneck = nn.Sequential(
            nn.Conv2d(deepest, DESCRIPTOR_SIZE, 1, bias=False),
            nn.BatchNorm2d(DESCRIPTOR_SIZE),
            nn.ReLU(),
        )

    def describe(self, deepest: Tensor) -> Tensor:
        """The encoder's deepest map [n, C, h, w] -> descriptors [n, 512], never negative."""
        descriptors: Tensor = self.bottleneck(deepest).mean(dim=(2, 3))
        return descriptors


def separable(before: int, after: int) -> nn.Sequential:
    """Return a 3x3 depthwise separable convolution, BN and ReLU."""
    return nn.Sequential(
        nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False),
        nn.Conv2d(before, after, 1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )


class MapTeacher(nn.Module):
    """Encoder and decoder; the encoder stays frozen, outside, unless it is fine-tuned."""

    def __init__(self, encoder: ImageEncoder, decoder: MapDecoder, finetune: bool) -> None:
        super().__init__()
        self.encoder = encoder if finetune else None
        self.decoder = decoder

    def forward(self, inputs: MapInputs, about: Any) -> Tensor:
        """Return the decoder's output; `about` is its other input."""
        output: Tensor = self.decoder(self._maps(inputs), about)
        return output

    def describe(self, inputs: MapInputs) -> Tensor:
        """Return the descriptors [n, 512] alone; nothing is decoded."""
        return self.decoder.describe(self._maps(inputs)[-1])

    def _maps(self, inputs: MapInputs) -> list[Tensor]:
        if isinstance(inputs, list):
            return inputs
        assert self.encoder is not None
        return self.encoder.pyramid(inputs)


@dataclass(frozen=True)
class MapOptions(TrainedOptions):
    """Options of a lesson on maps; `views_per_step` views of each shape are drawn for each step."""

    views_per_step: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(views_per_step=1)


class MapLesson(TrainedLesson):
    """A lesson of a MapTeacher."""

    options_type = MapOptions
    needs_maps = True

    options: MapOptions
    teacher: MapTeacher

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if not self.config.finetune:
            self.encoder.fold()
            self.encoder.to(self.device).eval().requires_grad_(False)
        torch.manual_seed(self.config.seed)
        teacher = MapTeacher(self.encoder, self.make_decoder(), self.config.finetune)
        self.teacher = teacher.to(self.device)

    @abstractmethod
    def make_decoder(self) -> MapDecoder:
        """Return the layers on top of the encoder's maps; raises where the store lacks labels."""

    def _draw_views(self) -> Indices:
        """Indices of the views of a shape in one step, in the order drawn."""
        drawn = torch.randperm(self.store.num_views)[: self.options.views_per_step]
        return drawn.numpy()

    def _inputs(self, views: Tensor) -> MapInputs:
        """The teacher's inputs: views, or a frozen encoder's maps of them."""
        views = views.to(self.device)
        if self.config.finetune:
            return views
        with torch.no_grad():
            return self.encoder.pyramid(views)

    def _validated(self) -> Iterator[int]:
        """Go through the validation shapes, the teacher in evaluation, with a progress bar."""
        val = self.store.indices("val")
        self.teacher.eval()
        with progress_bar() as progress:
            task = progress.add_task("validate", total=len(val), note="")
            yield from progress.track(val.tolist(), task_id=task)

    def outputs(self, indices: Indices) -> dict[str, Tensor]:
        """Return descriptors [n, V, 512], of the views alone: no label reaches them."""
        views = map(torch.from_numpy, self.decoded_views(indices))
        return {"descriptors": torch.stack([*map(self.describe, views)]).half()}

    def describe(self, views: Tensor) -> Tensor:
        """Return the descriptors [V, 512] of views [V, S, S] of one shape."""
        return self.teacher.describe(self._inputs(views))
