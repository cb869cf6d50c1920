"""PointNet (Qi, Su, Mo, Guibas, CVPR 2017, arXiv 1612.00593).

Order of operations as published. Classification: input transform 3x3, shared MLP 64-64, feature
transform 64x64, shared MLP 64-128-1024. Part segmentation (supplementary C, Fig. 9): input
transform, 64, 128, 128, feature transform 128x128, 512, 2048; the five outputs of up to 512
channels, the max of the last and the class (3,024 channels for 16 classes) go through 256, 256 and
128 to the logits. Batch norm and ReLU after every layer but the last.

Deliberate differences: layers before a batch norm have no bias (the norm's own shift makes it
redundant). The penalty on the feature transform is the Frobenius norm, which the paper squares
(eq. 2): squared it has -1.3 points of accuracy [-4.1, +1.5], not measurable (psb25 with all labels,
256 points, 40 epochs, three seeds; benchmarks/differences). The paper names no dropout in part
segmentation; 0.2 after the first two layers of the head is that of the authors' code. In a short
training it costs: without it instance mIoU is 3.1 points higher [+1.4, +4.9] (psb_parts17, 256
points, 480 steps, one seed; benchmarks/differences). Batch norms are folded into the layers before
them (pointmcd.ops.linear_norm), which is exact.

Extra channels, such as normals, are joined with the coordinates at the input, behind the input
transform: its T-Net reads and turns coordinates alone. The paper names extra channels (Sec. 3), and
gives no network that has both.

Parameters for part segmentation (16 classes, 50 parts): 7,843,387. The paper gives none.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pointmcd.ops.backend import full_precision
from pointmcd.ops.group_max import linear_bn_relu_max
from pointmcd.ops.linear_norm import linear_bn_relu
from pointmcd.students.base import PointFeatures
from pointmcd.students.heads import HeadLayout, hidden_layers
from pointmcd.students.part_heads import PartHead, PartLayout
from pointmcd.students.registry import register_student


class SharedLayer(nn.Module):
    """Linear, batch norm and ReLU on every point: [B, N, C_in] -> [B, N, C]."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels_in, channels, bias=False)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, points: Tensor) -> Tensor:
        """[B, N, C_in] -> [B, N, C]."""
        return linear_bn_relu(points, self.linear, self.norm)


class TransformNet(nn.Module):
    """T-Net: predicts a K x K matrix per cloud, the identity at the start of training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.shared = nn.Sequential(SharedLayer(channels, 64), SharedLayer(64, 128))
        self.wide = nn.Linear(128, 1024, bias=False)
        self.wide_norm = nn.BatchNorm1d(1024)
        self.head = nn.Sequential(*hidden_layers((1024, 512, 256), (0.0, 0.0)))
        self.matrix = nn.Linear(256, channels * channels)
        nn.init.zeros_(self.matrix.weight)
        nn.init.eye_(self.matrix.bias.data.view(channels, channels))

    def forward(self, points: Tensor) -> Tensor:
        """[B, N, K] -> [B, K, K]."""
        pooled = linear_bn_relu_max(self.shared(points), self.wide, self.wide_norm)
        matrix: Tensor = self.matrix(self.head(pooled))
        return matrix.view(-1, self.channels, self.channels)


@register_student("pointnet")
class PointNet(nn.Module):
    """Embeddings [B, N, 1024] that are never negative (the last layer is a ReLU)."""

    num_features = 1024
    head: ClassVar[HeadLayout] = HeadLayout((512, 256), (0.0, 0.3))
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "classification": {"epochs": 500, "batch_size": 64},
        "pretrain": {"epochs": 500, "batch_size": 64},  # not known: classification's (ours)
        "segmentation": {"epochs": 200, "task_weight": 0.1, "label_smoothing": 0.05},
    }

    def __init__(self, extra_channels: int = 0) -> None:
        super().__init__()
        self.extra_channels = extra_channels
        self.input_transform = TransformNet(3)
        self.first = nn.Sequential(SharedLayer(3 + extra_channels, 64), SharedLayer(64, 64))
        self.feature_transform = TransformNet(64)
        self.second = nn.Sequential(
            SharedLayer(64, 64), SharedLayer(64, 128), SharedLayer(128, self.num_features)
        )

    def forward(self, points: Tensor) -> PointFeatures:
        """Points [B, N, 3 + F] -> embeddings [B, N, 1024] and the orthogonality penalty."""
        features = self.first[1](aligned_layer(points, self.input_transform, self.first[0]))
        transform = self.feature_transform(features)
        embeddings = self.second(torch.bmm(features, transform))
        return PointFeatures(embeddings, penalty=orthogonality(transform))


@register_student("pointnet", dense=True)
class PointNetParts(nn.Module):
    """Embeddings [B, N, 2048], never negative, and the layers before them, [B, N, 960]."""

    num_features = 2048
    num_local = 64 + 3 * 128 + 512
    method_form = PointNet

    def __init__(self, extra_channels: int = 0) -> None:
        super().__init__()
        self.extra_channels = extra_channels
        self.input_transform = TransformNet(3)
        widths = (3 + extra_channels, 64, 128, 128)
        self.first = nn.ModuleList(SharedLayer(a, b) for a, b in pairwise(widths))
        self.feature_transform = TransformNet(128)
        self.second = SharedLayer(128, 512)
        self.third = SharedLayer(512, self.num_features)

    def forward(self, points: Tensor) -> PointFeatures:
        """Points [B, N, 3 + F] -> embeddings [B, N, 2048], local [B, N, 960] and the penalty."""
        first, *others = self.first
        points = aligned_layer(points, self.input_transform, first)
        outputs = [points]
        for layer in others:
            points = layer(points)
            outputs.append(points)
        transform = self.feature_transform(points)
        aligned = torch.bmm(points, transform)
        last = self.second(aligned)
        local = torch.cat([*outputs, aligned, last], dim=2)
        return PointFeatures(self.third(last), penalty=orthogonality(transform), local=local)

    def part_head(self, num_classes: int, num_parts: int) -> nn.Module:
        """Return the published head for K classes and P parts."""
        return PartHead(self, num_classes, num_parts, PartLayout(dropout=(0.2, 0.2, 0.0)))


def aligned_layer(points: Tensor, transform: nn.Module, layer: nn.Module) -> Tensor:
    """Apply a layer to points [B, N, 3 + F] turned by their T-Net's matrix: [B, N, C]."""
    with full_precision(points):
        points = points.to(next(layer.parameters()))
        places = points[:, :, :3]
        turned = torch.bmm(places, transform(places))
        if points.shape[2] > 3:
            turned = torch.cat([turned, points[:, :, 3:]], dim=2)
        features: Tensor = layer(turned)
    return features


def orthogonality(transform: Tensor) -> Tensor:
    """Mean over the batch of ||I - A A^T||_F, which eq. 2 squares: [B, K, K] -> scalar."""
    identity = torch.eye(transform.shape[1], device=transform.device, dtype=transform.dtype)
    residual = torch.bmm(transform, transform.transpose(1, 2)) - identity
    penalty: Tensor = residual.norm(dim=(1, 2)).mean()
    return penalty
