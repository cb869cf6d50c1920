"""The classification lesson: heads on an encoder's pooled features of all views."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.errors import ConfigError
from pointmcd.ops.cross_entropy import smoothed_cross_entropy
from pointmcd.teachers.features import cache_features, gather_rows
from pointmcd.teachers.lesson import DESCRIPTOR_SIZE, Endings, register_lesson
from pointmcd.teachers.trained import TrainedLesson, TrainedOptions
from pointmcd.typing import Array, Indices


class TeacherOutput(NamedTuple):
    """Descriptors [B, V, 512], shape_descriptor [B, 512], logits [B, K], view_logits [B, V, K]."""

    descriptors: Tensor
    shape_descriptor: Tensor
    logits: Tensor
    view_logits: Tensor


class MultiViewHeads(nn.Module):
    """Features of V views -> descriptors and logits (PointMCD, classification teacher).

    Per view linear + BN + ReLU to 512; max over views, FC + BN + ReLU to 512 for the whole shape;
    one bias-free linear classifier shared by both.
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.view = _block(num_features)
        self.shape = _block(DESCRIPTOR_SIZE)
        self.classifier = nn.Linear(DESCRIPTOR_SIZE, num_classes, bias=False)

    def forward(self, features: Tensor) -> TeacherOutput:
        """Features [B, V, F] -> TeacherOutput."""
        descriptors = self.view(features.flatten(0, 1)).view(*features.shape[:2], -1)
        shape = self.shape(descriptors.max(dim=1).values)
        return TeacherOutput(
            descriptors, shape, self.classifier(shape), self.classifier(descriptors)
        )


def _block(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, DESCRIPTOR_SIZE, bias=False),
        nn.BatchNorm1d(DESCRIPTOR_SIZE),
        nn.ReLU(),
    )


def teacher_loss(output: TeacherOutput, labels: Tensor, smoothing: float) -> Tensor:
    """Return CE(shape) + CE(views), both smoothed; labels int64 [B] -> scalar."""
    views = output.view_logits.shape[1]
    on_views = smoothed_cross_entropy(
        output.view_logits.flatten(0, 1), labels.repeat_interleave(views), smoothing
    )
    return smoothed_cross_entropy(output.logits, labels, smoothing) + on_views


class MultiViewTeacher(nn.Module):
    """Encoder and heads; the encoder is frozen unless it is fine-tuned."""

    def __init__(self, encoder: ImageEncoder, num_classes: int, finetune: bool) -> None:
        super().__init__()
        self.encoder = encoder if finetune else None
        self.heads = MultiViewHeads(encoder.num_features, num_classes)

    def forward(self, inputs: Tensor) -> TeacherOutput:
        """Views uint8 [B, V, S, S] when fine-tuned, else cached features float [B, V, F]."""
        if self.encoder is not None:
            inputs = self.encoder(inputs.flatten(0, 1)).view(*inputs.shape[:2], -1)
        output: TeacherOutput = self.heads(inputs)
        return output


@dataclass(frozen=True)
class ClassificationOptions(TrainedOptions):
    """Options of the classification lesson; `label_smoothing` is shared among the other classes."""

    epochs: int = 128
    batch_size: int = 48
    final_lr: float = 1e-6
    label_smoothing: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.label_smoothing < 1:
            value = self.label_smoothing
            raise ConfigError(f"--label-smoothing {value}: must be at least 0 and below 1")


@register_lesson("classification")
class ClassificationLesson(TrainedLesson):
    """Classify whole shapes and single views; a frozen encoder's features are cached once."""

    options_type = ClassificationOptions
    endings: ClassVar[Endings] = {"": {}}

    options: ClassificationOptions

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if not self.store.classes:
            self.store.labels(self.train)  # raises: none has one
        torch.manual_seed(self.config.seed)
        classes, finetune = len(self.store.classes), self.config.finetune
        self.teacher = MultiViewTeacher(self.encoder, classes, finetune).to(self.device)

    @classmethod
    def describe_scores(cls, scores: Mapping[str, Any]) -> str:
        """Return the accuracies as one line."""
        return (
            f"validation accuracy {scores['val_accuracy']:.1%} on {scores['val_shapes']} shapes"
            f" ({scores['val_view_accuracy']:.1%} of single views)"
        )

    def prepare(self) -> None:
        """Cache the frozen encoder's features of every view."""
        if not self.config.finetune:
            cache = cache_features(self.store, self.config, self.encoder, self.device)
            self.cached = {"features": cache}

    def loss(self, indices: Indices) -> Tensor:
        """Return the cross-entropy of shapes and of single views, smoothed."""
        labels = torch.from_numpy(self.store.labels(indices)).to(self.device)
        return teacher_loss(self._forward(indices), labels, self.options.label_smoothing)

    @torch.inference_mode()
    def scores(self) -> dict[str, Any]:
        """Return the accuracy on the validation split, of whole shapes and of single views."""
        val = self.store.indices("val")
        if not len(val):
            return {"val_accuracy": None, "val_view_accuracy": None}
        self.teacher.eval()
        right = view_right = 0.0
        for rows in torch.arange(len(val)).split(self.options.batch_size):
            indices = val[rows.numpy()]
            output = self._forward(indices)
            truth = torch.from_numpy(self.store.labels(indices)).to(self.device)
            right += float((output.logits.argmax(1) == truth).sum())
            views_right = output.view_logits.argmax(2) == truth[:, None]
            view_right += float(views_right.float().mean(1).sum())
        return {"val_accuracy": right / len(val), "val_view_accuracy": view_right / len(val)}

    def outputs(self, indices: Indices) -> dict[str, Tensor]:
        """Return descriptors [n, V, 512], view_logits [n, V, K], shape [n, 512], logits [n, K]."""
        output = self._forward(indices)
        return {
            "descriptors": output.descriptors.half(),
            "shape": output.shape_descriptor.half(),
            "logits": output.logits.float(),
            "view_logits": output.view_logits.float(),
        }

    def _forward(self, indices: Indices) -> TeacherOutput:
        rows: Array
        if self.config.finetune:
            rows = np.stack([self.store.views(int(i)) for i in indices])
        else:
            rows = gather_rows(self.store, self.cached["features"], indices)
        output: TeacherOutput = self.teacher(torch.from_numpy(rows).to(self.device))
        return output
