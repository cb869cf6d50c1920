"""The teacher's heads: per-view descriptors, a shape descriptor, one shared classifier."""

from typing import NamedTuple

from torch import Tensor, nn

from pointmcd.ops.cross_entropy import smoothed_cross_entropy

DESCRIPTOR_SIZE = 512


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
    """CE(shape) + CE(views), both smoothed; labels int64 [B] -> scalar."""
    views = output.view_logits.shape[1]
    on_views = smoothed_cross_entropy(
        output.view_logits.flatten(0, 1), labels.repeat_interleave(views), smoothing
    )
    return smoothed_cross_entropy(output.logits, labels, smoothing) + on_views
