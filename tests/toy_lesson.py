"""A lesson and an image encoder of one's own, in one file outside the package."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pointmcd import LessonOptions, TrainedLesson, TrainedOptions
from pointmcd.teachers.features import cache_features, gather_rows


class ToyEncoder(nn.Module):
    """Mean and standard deviation of each channel."""

    num_features = 6
    mean = std = (0.5, 0.5, 0.5)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("gain", torch.tensor(2.0))

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(2)
        return self.gain * torch.cat([flat.mean(dim=2), flat.std(dim=2)], dim=1)


@dataclass(frozen=True)
class ToyOptions(TrainedOptions):
    """One option more than those of every schedule, and fewer epochs."""

    epochs: int = 2
    width: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(width=1)


class ToyLesson(TrainedLesson):
    """Redraw features from a bottleneck: no label is read."""

    options_type: type[LessonOptions] = ToyOptions
    label_free = True
    finetunes = False

    options: ToyOptions

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        torch.manual_seed(self.config.seed)
        size, width = self.encoder.num_features, self.options.width
        self.teacher = nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.Linear(width, size))

    def prepare(self) -> None:
        cache = cache_features(self.store, self.config, self.encoder, self.device)
        self.cached = {"features": cache}

    def loss(self, indices: Any) -> Tensor:
        features = self._features(indices)
        return F.mse_loss(self.teacher(features), features)

    @torch.inference_mode()
    def scores(self) -> dict[str, Any]:
        val = self.store.indices("val")
        return {"val_error": float(self.loss(val)) if len(val) else None}

    @classmethod
    def describe_scores(cls, scores: Mapping[str, Any]) -> str:
        return f"validation error {scores['val_error']:.3f}"

    def outputs(self, indices: Any) -> dict[str, Tensor]:
        features = self._features(indices)
        return {
            "descriptors": self.teacher[:2](features).half(),
            "shape": features.amax(dim=1).half(),
        }

    def _features(self, indices: Any) -> Tensor:
        return torch.from_numpy(gather_rows(self.store, self.cached["features"], indices))
