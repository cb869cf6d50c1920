"""Networks of the classification lesson: heads on pooled features of all views."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pointmcd.encoders.image_encoder import RANDOM_PREFIX, ImageEncoder
from pointmcd.ops.cross_entropy import smoothed_cross_entropy
from pointmcd.teachers.lesson import DESCRIPTOR_SIZE

#: Views whose maps are in memory at once where the encoder is trained; of 224 x 224 and lite0,
#: 1.2 GB on the CPU, and half of 5 GB on a GPU with mixed precision.
_CPU_VIEWS, _GPU_VIEWS = 16, 64


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

    def each(self, features: Tensor) -> list[TeacherOutput]:
        """Features [B, V, F] -> the output, in a list: of one encoder."""
        return [self(features)]

    def forward(self, features: Tensor) -> TeacherOutput:
        """Features [B, V, F] -> TeacherOutput."""
        descriptors = self.view(features.flatten(0, 1)).view(*features.shape[:2], -1)
        shape = self.shape(descriptors.max(dim=1).values)
        return TeacherOutput(
            descriptors, shape, self.classifier(shape), self.classifier(descriptors)
        )


class JoinedHeads(nn.Module):
    """Heads for each of several encoders, trained separately; their logits are averaged.

    Their descriptors stand side by side, [B, V, 512 times the encoders], and so do the weights of
    their classifiers in `classifier`, which gives the mean of their logits: what holds for the
    descriptors and the classifier of one encoder holds for these.

    Args:
        sizes: number of features of each encoder.
        num_classes: K.
    """

    def __init__(self, sizes: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.members = nn.ModuleList(MultiViewHeads(size, num_classes) for size in sizes)
        width = DESCRIPTOR_SIZE * len(self.sizes)
        self.classifier = nn.Linear(width, num_classes, bias=False).requires_grad_(False)

    def each(self, features: Tensor) -> list[TeacherOutput]:
        """Features [B, V, F] of all encoders -> what the heads of each say."""
        parts = features.split(self.sizes, dim=-1)
        return [heads(part) for heads, part in zip(self.members, parts, strict=True)]

    def join(self) -> None:
        """Take the weights of the classifiers, once they are trained."""
        weights = [heads.classifier.weight for heads in self.members]  # type: ignore[union-attr]
        self.classifier.weight.copy_(torch.cat(weights, dim=1) / len(weights))  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> TeacherOutput:
        """Features [B, V, F] of all encoders -> TeacherOutput."""
        descriptors, shapes, logits, view_logits = zip(*self.each(features), strict=True)
        return TeacherOutput(
            torch.cat(descriptors, dim=-1),
            torch.cat(shapes, dim=-1),
            torch.stack(logits).mean(dim=0),
            torch.stack(view_logits).mean(dim=0),
        )


def _block(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, DESCRIPTOR_SIZE, bias=False),
        nn.BatchNorm1d(DESCRIPTOR_SIZE),
        nn.ReLU(),
    )


def teacher_loss(
    output: TeacherOutput, labels: Tensor, smoothing: float, weights: Tensor | None = None
) -> Tensor:
    """Return CE(shape) + CE(views), both smoothed; labels int64 [B], weights [B] -> scalar."""
    views = output.view_logits.shape[1]
    on_views = smoothed_cross_entropy(
        output.view_logits.flatten(0, 1),
        labels.repeat_interleave(views),
        smoothing,
        None if weights is None else weights.repeat_interleave(views),
    )
    return smoothed_cross_entropy(output.logits, labels, smoothing, weights) + on_views


class MultiViewTeacher(nn.Module):
    """Encoder and heads; the encoder is frozen unless it is fine-tuned.

    A pretrained encoder keeps the statistics of its batch norms, so that the features
    of a view depend on no other, and few views at once give the same gradient as many.
    """

    def __init__(self, encoder: ImageEncoder, num_classes: int, finetune: bool) -> None:
        super().__init__()
        self.encoder = encoder if finetune else None
        self._keeps_statistics = not encoder.name.startswith(RANDOM_PREFIX)
        sizes = [member.num_features for member in encoder.members]
        self.heads: MultiViewHeads | JoinedHeads = (
            JoinedHeads(sizes, num_classes)
            if len(sizes) > 1
            else MultiViewHeads(encoder.num_features, num_classes)
        )

    def forward(self, inputs: Tensor) -> TeacherOutput:
        """Views uint8 [B, V, S, S] when fine-tuned, else cached features float [B, V, F]."""
        output: TeacherOutput = self.heads(self._features(inputs))
        return output

    def each(self, inputs: Tensor) -> list[TeacherOutput]:
        """The same inputs -> the output of each encoder's heads, which are trained separately."""
        return self.heads.each(self._features(inputs))

    def _features(self, inputs: Tensor) -> Tensor:
        if self.encoder is None:
            return inputs
        return self._encode(inputs.flatten(0, 1)).view(*inputs.shape[:2], -1)

    def train(self, mode: bool = True) -> "MultiViewTeacher":
        """Set the mode of training, but not of a pretrained encoder's batch norms."""
        super().train(mode)
        if self.encoder is not None and self._keeps_statistics:
            for module in self.encoder.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def _encode(self, views: Tensor) -> Tensor:
        """Views uint8 [n, S, S] -> features [n, F], in memory that does not grow with n.

        Some at a time are encoded without what their gradient needs, and once more for it.
        """
        assert self.encoder is not None
        some = views.split(_CPU_VIEWS if views.device.type == "cpu" else _GPU_VIEWS)
        if len(some) == 1 or not torch.is_grad_enabled():
            features: Tensor = self.encoder(views)
            return features
        return torch.cat([checkpoint(self.encoder, few, use_reentrant=False) for few in some])


class ImageClassifier(nn.Module):
    """Images in 0 to 1, float [B, V, 3, H, W] -> logits [B, K]."""

    def __init__(self, encoder: ImageEncoder, teacher: MultiViewTeacher) -> None:
        super().__init__()
        self.encoder, self.heads = encoder, teacher.heads

    def forward(self, images: Tensor) -> Tensor:
        """Encode the views, and classify the shapes."""
        features = self.encoder.encode(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        output: TeacherOutput = self.heads(features)
        return output.logits
