"""Classification heads as published, each named by its student: pooled embeddings -> logits."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from pointmcd.ops.masked_max import max_over_points
from pointmcd.students.base import PointFeatures


@dataclass(frozen=True)
class HeadLayout:
    """Layers of a head.

    Attributes:
        widths: of the hidden layers, each with batch norm and a (leaky) ReLU.
        dropout: probability after each hidden layer.
        slope: of the leaky ReLU; 0 is a ReLU.
        mean: whether the mean over points is read beside the max.
        bias: whether the last layer has one.
    """

    widths: tuple[int, ...] = (512, 256)
    dropout: tuple[float, ...] = (0.0, 0.3)
    slope: float = 0.0
    mean: bool = False
    bias: bool = True


#: The method's own for every student (PointMCD, Sec. III), and that of students without another.
SINGLE = HeadLayout((512,), (0.0,), bias=False)


def hidden_layer(width: int, dropout: float, slope: float = 0.0) -> list[nn.Module]:
    """Return what follows the linear part of a hidden layer: batch norm, (leaky) ReLU, dropout."""
    activation = nn.LeakyReLU(slope) if slope else nn.ReLU()
    return [nn.BatchNorm1d(width), activation, *([nn.Dropout(dropout)] if dropout else [])]


def hidden_layers(
    widths: Sequence[int], dropout: Sequence[float], slope: float = 0.0
) -> list[nn.Module]:
    """Return linear layers from each of these widths to the next, followed by `hidden_layer`."""
    layers = list[nn.Module]()
    for (before, after), probability in zip(pairwise(widths), dropout, strict=True):
        layers += [nn.Linear(before, after, bias=False), *hidden_layer(after, probability, slope)]
    return layers


class ClassificationHead(nn.Module):
    """Pool over points, hidden layers, a linear classifier to K logits."""

    def __init__(self, channels: int, num_classes: int, layout: HeadLayout = SINGLE) -> None:
        super().__init__()
        self.mean = layout.mean
        widths = (channels * (2 if layout.mean else 1), *layout.widths)
        self.hidden = nn.Sequential(*hidden_layers(widths, layout.dropout, layout.slope))
        self.classifier = nn.Linear(widths[-1], num_classes, bias=layout.bias)

    def forward(self, features: PointFeatures) -> Tensor:
        """Embeddings [B, M, C] -> logits [B, K]."""
        pooled = max_over_points(features.embeddings)
        if self.mean:
            pooled = torch.cat([pooled, features.embeddings.mean(dim=1).to(pooled.dtype)], dim=1)
        logits: Tensor = self.classifier(self.hidden(pooled))
        return logits
