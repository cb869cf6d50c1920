"""The features lesson: a pretrained encoder's pooled features, brought to one scale.

Nothing is trained. Ours, beside the method's autoencoder. Plain features differ a hundredfold in
size from channel to channel; standardised, or whitened, each counts the same in the student's loss.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from pointmcd.teachers.features import cache_features, gather_rows
from pointmcd.teachers.lesson import (
    DESCRIPTOR_SIZE,
    Endings,
    Lesson,
    LessonOptions,
    register_lesson,
)
from pointmcd.typing import Indices

#: Shapes read at a time.
_CHUNK = 256
_FAR = 1e4
#: Variance, as a share of the largest, below which there is nothing but rounding.
_NOTHING = 1e-6


class Rescaling(nn.Module):
    """Features [..., F] -> zero mean and unit variance per channel; on D `axes`, whitened."""

    mean: Tensor
    deviation: Tensor
    axes: Tensor

    def __init__(self, num_features: int, axes: int = 0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("deviation", torch.ones(num_features))
        self.register_buffer("axes", torch.zeros(num_features, axes))

    def forward(self, features: Tensor) -> Tensor:
        """[..., F] -> [..., D]; a channel that never varied becomes zero."""
        scaled = (features - self.mean) / self.deviation
        return scaled @ self.axes if self.axes.shape[1] else scaled

    def measure(self, rows: Iterator[Tensor]) -> None:
        """Take mean, standard deviation and axes from rows [n, F] on the CPU, some at a time."""
        # In double precision, which not every device has.
        count, total = 0, torch.zeros(len(self.mean), dtype=torch.float64)
        products = total.new_zeros(len(total), len(total))
        for some in rows:
            block = some.double()
            count += len(block)
            total += block.sum(dim=0)
            products.addmm_(block.T, block)
        mean = total / count
        covariance = products / count - mean[:, None] * mean
        variance = covariance.diagonal().clamp(min=0)
        varies = variance > _NOTHING * (variance + mean.square())
        deviation = torch.where(varies, variance, torch.inf).sqrt()
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)
        if self.axes.shape[1]:
            axes = _axes(covariance / deviation / deviation[:, None], self.axes.shape[1])
            self.axes = axes.to(self.mean.device)


def _axes(correlation: Tensor, most: int) -> Tensor:
    """The strongest directions [F, D], scaled to unit variance; fewer where the rank is lower."""
    variance, directions = torch.linalg.eigh(correlation)
    kept = variance.argsort(descending=True)[:most]
    kept = kept[variance[kept] > _NOTHING * variance[kept[0]]]
    # The sign of an eigenvector is chance: let its largest entry be positive.
    directions = directions[:, kept]
    largest = directions.abs().argmax(dim=0, keepdim=True)
    directions = directions * directions.gather(0, largest).sign()
    scaled: Tensor = (directions / variance[kept].sqrt()).float()
    return scaled


@dataclass(frozen=True)
class FeaturesOptions(LessonOptions):
    """`whiten`: make the channels uncorrelated too (PCA), and keep the 512 strongest."""

    whiten: bool = False


@register_lesson("features")
class FeaturesLesson(Lesson):
    """Standardise features by the statistics of the train split. No label is read."""

    options_type = FeaturesOptions
    label_free = True
    finetunes = False
    endings: ClassVar[Endings] = {"whitened": {"whiten": True}, "features": {}}

    options: FeaturesOptions
    teacher: Rescaling

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        channels = self.encoder.num_features
        axes = min(DESCRIPTOR_SIZE, channels) if self.options.whiten else 0
        self.teacher = Rescaling(channels, axes).to(self.device)

    @classmethod
    def summary(cls, teacher: Mapping[str, Any]) -> str:
        """Return how wide the descriptors are: there is no score."""
        size = teacher["descriptor_size"]
        return f"{size} channels per view; nothing was trained, no label was read"

    def prepare(self) -> None:
        """Cache the encoder's features of every view."""
        self.cache = cache_features(self.store, self.config, self.encoder, self.device)

    def fit(self) -> None:
        """Measure the mean and standard deviation of the train split's features."""
        self.teacher.measure(self._rows())

    def load(self, tensors: dict[str, Tensor], what: str) -> None:
        """Take the statistics of a finished teacher, with as many axes as it kept."""
        self.teacher.axes = torch.zeros_like(tensors["axes"], device=self.device)
        super().load(tensors, what)

    def _rows(self) -> Iterator[Tensor]:
        train = self.store.with_variants(self.train)
        for start in range(0, len(train), _CHUNK):
            rows = gather_rows(self.store, self.cache, train[start : start + _CHUNK])
            yield torch.from_numpy(rows).flatten(0, 1)

    def outputs(self, indices: Indices) -> dict[str, Tensor]:
        """Return descriptors [n, V, D], signed."""
        rows = torch.from_numpy(gather_rows(self.store, self.cache, np.asarray(indices)))
        return {"descriptors": self._rescaled(rows.to(self.device)).half()}

    def describe(self, views: Tensor) -> Tensor:
        """Return the descriptors [V, D] of views [V, S, S] of one shape."""
        encoder = self.encoder.to(self.device).eval()
        return self._rescaled(encoder(views.to(self.device)))

    def _rescaled(self, features: Tensor) -> Tensor:
        # A channel that hardly varied in train may be far out elsewhere: stay within float16.
        rescaled: Tensor = self.teacher(features).clamp(-_FAR, _FAR)
        return rescaled
