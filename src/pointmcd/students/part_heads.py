"""Part segmentation heads: features of a student and the shape's class -> logits of every point.

A student brings its own by a method `part_head(num_classes, num_parts)`; its module takes points
[B, N, 3 + F], the student's `PointFeatures` and the one-hot class [B, K], and returns logits
[B, N, P].
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pointmcd.ops.backend import full_precision
from pointmcd.ops.interpolation import interpolate
from pointmcd.ops.masked_max import max_over_points
from pointmcd.ops.neighbours import gather_rows
from pointmcd.students.base import PointFeatures
from pointmcd.students.heads import hidden_layer, hidden_layers


@dataclass(frozen=True)
class PartLayout:
    """Layers of a head that labels points.

    Attributes:
        widths: of the hidden layers, each with batch norm and a (leaky) ReLU.
        dropout: probability after each hidden layer.
        slope: of the leaky ReLU; 0 is a ReLU.
        pooled: whether the max over the embeddings is read beside the local features.
        points: whether the coordinates are, and the extra channels of the student.
        class_width: of a layer on the class, with batch norm; 0: the one-hot class itself is read.
    """

    widths: tuple[int, ...] = (256, 256, 128)
    dropout: tuple[float, ...] = (0.5, 0.5, 0.0)
    slope: float = 0.0
    pooled: bool = True
    points: bool = False
    class_width: int = 0


#: The method's own for every student, and that of students without another: the widths that
#: PointNet (supplementary C) and DGCNN (Sec. 5.3) share, dropout as DGCNN has it.
SINGLE_PARTS = PartLayout()


class PartHead(nn.Module):
    """Labels every point from its local features, the pooled embeddings and the shape's class.

    What is the same at all points of a shape goes through its share of the first layer once per
    shape; the sum is that of the concatenation.

    Args:
        student: whose `num_features` and `num_local` it reads.
        num_classes: K.
        num_parts: P over all classes.
        layout: its layers.
    """

    def __init__(
        self,
        student: nn.Module,
        num_classes: int,
        num_parts: int,
        layout: PartLayout = SINGLE_PARTS,
    ) -> None:
        super().__init__()
        self.layout = layout
        channels: Any = student.num_features
        num_local: Any = getattr(student, "num_local", channels)
        width, first, dropout = num_classes, layout.widths[0], layout.dropout
        self.label: nn.Module = nn.Identity()
        if layout.class_width:
            self.label = nn.Sequential(
                nn.Linear(width, layout.class_width, bias=False),
                *hidden_layer(layout.class_width, 0.0, layout.slope),
            )
            width = layout.class_width
        extra: int = getattr(student, "extra_channels", 0)
        self.local = nn.Linear(num_local + (3 + extra) * layout.points, first, bias=False)
        self.whole = nn.Linear(channels * layout.pooled + width, first, bias=False)
        self.first = nn.Sequential(*hidden_layer(first, dropout[0], layout.slope))
        layers = hidden_layers(layout.widths, dropout[1:], layout.slope)
        self.rest = nn.Sequential(*layers, nn.Linear(layout.widths[-1], num_parts))

    def forward(self, points: Tensor, features: PointFeatures, onehot: Tensor) -> Tensor:
        """Points [B, N, 3 + F], a student's features, classes [B, K] -> logits [B, N, P]."""
        whole, local = self.label(onehot), local_features(points, features)
        if self.layout.pooled:
            whole = torch.cat([max_over_points(features.embeddings), whole], dim=1)
        summed = self._own(points, local) + self.whole(whole)[:, None]
        logits: Tensor = self.rest(self.first(summed.flatten(0, 1)))
        return logits.view(*local.shape[:2], -1)

    def _own(self, points: Tensor, local: Tensor) -> Tensor:
        """The share of the first layer that differs from point to point, [B, N, width]."""
        if not self.layout.points:
            return self.local(local)  # type: ignore[no-any-return]
        with full_precision(points):  # too coarse for coordinates
            weight = self.local.weight
            return self.local(torch.cat([points.to(weight), local.to(weight)], dim=2))  # type: ignore[no-any-return]


def local_features(points: Tensor, features: PointFeatures) -> Tensor:
    """Features [B, N, L] at every point: the student's own, or its embeddings carried there."""
    if features.local is not None:
        return features.local
    if features.index is None:
        return features.embeddings
    places = points[:, :, :3].contiguous()
    return interpolate(features.embeddings, gather_rows(places, features.index), places)
