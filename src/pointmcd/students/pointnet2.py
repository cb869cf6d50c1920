"""PointNet++ (Qi, Yi, Su, Guibas, NeurIPS 2017, arXiv 1706.02413): single- and multi-scale.

Order of operations as published (Sec. 3, supplement, and the authors' code, charlesq34/pointnet2):
two set abstractions that keep 512 and 128 points (farthest points; groups of the first k points
within a radius, in coordinates relative to their centre; a shared MLP; the max over each group),
then a shared MLP 256-512-1024 over absolute positions and features. Its output at the 128 points
before the last max is what is distilled; that max is the published global feature. Batch norm and
ReLU follow every layer. For part segmentation, features are propagated back with skip links (FP
256-256, 256-128, 128-128-128), and the groups are those of the authors' segmentation code: 64
neighbours in the first single-scale level, two radii (0.4, 0.8) in the second multi-scale level.

Extra channels, such as normals, are features of the points beside their relative coordinates in
the first set abstraction, and beside the positions in the last propagation, as in the authors'
networks with normals; groups are by coordinates alone.

Deliberate differences:
- Layers before a batch norm have no bias (the norm's own shift makes it redundant).
- The cloud is first put in farthest-point order, from the point farthest from the centroid, so that
  the first k in a ball are well spread and a permuted cloud gives the same features; published is
  the order of the file. It matters in balls of more than k points: of 1,024 points 82% on psb25 and
  60% on ModelNet40, of 256 8 to 20% and 2 to 6%. An arbitrary order has +2.1 points of accuracy
  against ours [-1.4, +5.7], not measurable (psb25 with all labels, 512 points, 20 epochs, one seed;
  benchmarks/differences). `pointnet2-nearest` groups the k nearest instead, which reach less far
  in full balls: the first k have -0.7 points against it [-3.9, +2.5], not measurable either
  (psb25, 256 points, two seeds; docs/students.md).
- Clouds of fewer than 1,024 points keep half and an eighth of them, the published ratios: of 512
  and fewer the published 512 cannot be kept.
- The class one-hot joins in the last propagation of both; published for multi-scale alone. Single
  scale without it has -6.1 points of instance mIoU [-7.6, -4.6] (psb_parts17, 256 points, 480
  steps, one seed; benchmarks/differences).
- The first layer of an MLP is taken once per point and then copied to the groups, or interpolated:
  W [p_j - c_i, f_j] = W [p_j, f_j] - W_p c_i, and interpolation is linear too. Values are the same.

Parameters: 805,184 single scale, 1,075,680 multi-scale; with the published head (512-256-40,
667,176 without redundant biases) 1,472,360 and 1,742,856. Published: 1.48M and 1.74M; the biases
left out are 3,328 and 4,512, one a channel. For part segmentation (16 classes, 50 parts) 1,406,706
and 1,751,898; the paper gives no number.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pointmcd.ops.backend import full_precision, larger, smaller
from pointmcd.ops.ball_query import ball_group, ball_query
from pointmcd.ops.edge_sum import edge_bn_relu
from pointmcd.ops.farthest_batch import sample_farthest
from pointmcd.ops.group_max import linear_bn_relu_max
from pointmcd.ops.interpolation import interpolate
from pointmcd.ops.masked_max import max_over_points
from pointmcd.ops.neighbours import gather_rows
from pointmcd.students._layers import NormedLinear
from pointmcd.students.base import PointFeatures
from pointmcd.students.heads import HeadLayout
from pointmcd.students.part_heads import PartHead, PartLayout
from pointmcd.students.pointnet import SharedLayer
from pointmcd.students.registry import register_student


@dataclass(frozen=True)
class Scale:
    """One scale of grouping: at most `k` neighbours within `radius`, and the widths of its MLP."""

    radius: float
    k: int
    widths: tuple[int, ...]


#: Of the two set abstractions.
Scales = tuple[tuple[Scale, ...], tuple[Scale, ...]]
SINGLE: Scales = ((Scale(0.2, 32, (64, 64, 128)),), (Scale(0.4, 64, (128, 128, 256)),))
SINGLE_PARTS: Scales = ((Scale(0.2, 64, (64, 64, 128)),), SINGLE[1])
MULTI: Scales = (
    (Scale(0.1, 16, (32, 32, 64)), Scale(0.2, 32, (64, 64, 128)), Scale(0.4, 128, (64, 96, 128))),
    (
        Scale(0.2, 32, (64, 64, 128)),
        Scale(0.4, 64, (128, 128, 256)),
        Scale(0.8, 128, (128, 128, 256)),
    ),
)
MULTI_PARTS: Scales = (
    (Scale(0.1, 32, (32, 32, 64)), Scale(0.2, 64, (64, 64, 128)), Scale(0.4, 128, (64, 96, 128))),
    (Scale(0.4, 64, (128, 128, 256)), Scale(0.8, 128, (128, 196, 256))),
)


@dataclass(frozen=True)
class Level:
    """Points [B, N, 3] and their features [B, N, C]."""

    points: Tensor
    features: Tensor


class Layer(NormedLinear):
    """Linear, batch norm, ReLU: [..., C_in] -> [..., C].

    As `SharedLayer`, which folds the batch norm and pays where C is well above C_in.
    """

    def forward(self, features: Tensor) -> Tensor:
        """[..., C_in] -> [..., C]."""
        return self.activate(self.linear(features))

    def activate(self, products: Tensor) -> Tensor:
        """Apply batch norm and ReLU to W x [..., C]."""
        # In place on the norm's own result; on a view of it autograd would copy the gradient.
        return F.relu_(self.norm(products.flatten(0, -2))).view_as(products)


class Grouping(nn.Module):
    """The PointNet of one scale: groups around the centres, a shared MLP, the max over each."""

    def __init__(self, channels_in: int, scale: Scale, nearest: bool = False) -> None:
        super().__init__()
        self.scale, self.group = scale, ball_query if nearest else ball_group
        *inner, last = pairwise(scale.widths)
        self.first = Layer(3 + channels_in, scale.widths[0])
        layers = [Layer(a, b) for a, b in inner]
        self.inner = nn.Sequential(*layers)
        self.last = nn.Linear(*last, bias=False)
        self.last_norm = nn.BatchNorm1d(last[1])

    def forward(self, centres: Tensor, below: Level) -> Tensor:
        """Centres [B, M, 3] among the points of the level below -> [B, M, C]."""
        index = self.group(centres, below.points, self.scale.radius, self.scale.k)
        weight, joined = self.first.linear.weight, torch.cat([below.points, below.features], dim=2)
        weight = torch.cat([weight, -weight[:, :3]], dim=1)
        with full_precision(joined):  # small differences need it
            groups = edge_bn_relu(centres, joined, index, weight, self.first.norm)
        groups = self.inner(groups)
        pooled = linear_bn_relu_max(groups.flatten(0, 1), self.last, self.last_norm)
        return pooled.view(*centres.shape[:2], -1)


class SetAbstraction(nn.Module):
    """The first points of a level and, at every scale, features of the groups around them."""

    def __init__(self, channels_in: int, scales: tuple[Scale, ...], nearest: bool = False) -> None:
        super().__init__()
        self.groupings = nn.ModuleList(Grouping(channels_in, scale, nearest) for scale in scales)

    def forward(self, below: Level, keep: int) -> Level:
        """A level in farthest-point order -> the level above, of its first `keep` points."""
        centres = below.points[:, :keep]
        pooled = [grouping(centres, below) for grouping in self.groupings]
        return Level(centres, torch.cat(pooled, dim=2))


class Propagation(nn.Module):
    """Features interpolated to the level below, joined with those already there, a shared MLP."""

    def __init__(self, channels: int, skip: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.channels = channels
        self.first = Layer(channels + skip, widths[0])
        layers = [Layer(a, b) for a, b in pairwise(widths)]
        self.rest = nn.Sequential(*layers)

    def forward(self, above: Level, below: Level) -> Level:
        """Features [B, M, C] above, [B, N, S] below -> [B, N, C_out] below."""
        weight = self.first.linear.weight
        products = F.linear(above.features, weight[:, : self.channels])
        carried = interpolate(products, above.points, below.points)
        own = F.linear(below.features, weight[:, self.channels :])
        return Level(below.points, self.rest(self.first.activate(carried + own)))


@register_student("pointnet2")
class PointNet2(nn.Module):
    """Embeddings [B, M, 1024], never negative, at the points kept (M is 128 from N 1,024 on).

    Args:
        scales: of the two set abstractions.
        propagate: carry the embeddings to all points (eq. 2): [B, N, 1024], of the same max.
        nearest: group the nearest points in a ball, not the first in farthest-point order.
        extra_channels: F, of the points behind their coordinates.
    """

    num_features = 1024
    head: ClassVar[HeadLayout] = HeadLayout((512, 256), (0.5, 0.5))

    def __init__(
        self,
        scales: Scales = SINGLE,
        propagate: bool = False,
        nearest: bool = False,
        extra_channels: int = 0,
    ) -> None:
        super().__init__()
        self.propagate, self.extra_channels = propagate, extra_channels
        fine, coarse = (sum(scale.widths[-1] for scale in level) for level in scales)
        self.first = SetAbstraction(extra_channels, scales[0], nearest)
        self.second = SetAbstraction(fine, scales[1], nearest)
        widths = (3 + coarse, 256, 512, self.num_features)
        layers = [SharedLayer(a, b) for a, b in pairwise(widths)]
        self.last = nn.Sequential(*layers)

    def forward(self, points: Tensor) -> PointFeatures:
        """Points [B, N, 3 + F] -> embeddings, with the index of their points if not propagated."""
        points = points.to(next(self.parameters()))
        return self._encode(points[:, :, :3].contiguous(), points[:, :, 3:])

    def _encode(self, points: Tensor, extra: Tensor) -> PointFeatures:
        count = points.shape[1]
        kept = smaller(128, larger(1, count // 8))
        order = sample_farthest(points)
        ordered = gather_rows(points, order)
        features = gather_rows(extra, order) if self.extra_channels else extra
        fine = self.first(Level(ordered, features), smaller(512, larger(1, count // 2)))
        coarse = self.second(fine, kept)
        joined = torch.cat([coarse.points, coarse.features], dim=2)
        first, *wide = self.last
        with full_precision(points):  # of coordinates
            embeddings = first(joined)
        for layer in wide:
            embeddings = layer(embeddings)
        local = self._local(points, fine, coarse, embeddings)
        if self.propagate:
            return PointFeatures(interpolate(embeddings, coarse.points, points), local=local)
        return PointFeatures(embeddings, order[:, :kept], local=local)

    def _local(
        self, points: Tensor, fine: Level, coarse: Level, embeddings: Tensor
    ) -> Tensor | None:
        """Return features of every point for a segmentation head, None without a decoder."""
        return None


class PointNet2Parts(PointNet2):
    """The published part segmentation network: local features [B, N, 128], carried to all points.

    The last propagation joins them with the positions and the class: `part_head`.
    """

    num_local = 128

    def __init__(
        self,
        scales: Scales = SINGLE_PARTS,
        propagate: bool = False,
        nearest: bool = False,
        extra_channels: int = 0,
    ) -> None:
        super().__init__(scales, propagate, nearest, extra_channels)
        fine, coarse = (sum(scale.widths[-1] for scale in level) for level in scales)
        self.to_coarse = Propagation(self.num_features, coarse, (256, 256))
        self.to_fine = Propagation(256, fine, (256, self.num_local))

    def _local(
        self, points: Tensor, fine: Level, coarse: Level, embeddings: Tensor
    ) -> Tensor | None:
        with full_precision(points):
            whole = max_over_points(embeddings.to(points))[:, None]
            pooled = Level(coarse.points[:, :1], whole)
            carried: Level = self.to_fine(self.to_coarse(pooled, coarse), fine)
            return interpolate(carried.features, carried.points, points)

    def part_head(self, num_classes: int, num_parts: int) -> nn.Module:
        """Return the last propagation (128, 128, 128), a layer of 128 with dropout, P logits."""
        layout = PartLayout((128,) * 4, (0.0, 0.0, 0.0, 0.5), pooled=False, points=True)
        return PartHead(self, num_classes, num_parts, layout)


@register_student("pointnet2-propagated")
def pointnet2_propagated(extra_channels: int = 0) -> PointNet2:
    """Single scale, its embeddings carried to all points."""
    return PointNet2(propagate=True, extra_channels=extra_channels)


@register_student("pointnet2-nearest")
def pointnet2_nearest(extra_channels: int = 0) -> PointNet2:
    """Single scale, its groups the nearest points in each ball."""
    return PointNet2(nearest=True, extra_channels=extra_channels)


@register_student("pointnet2-msg")
def pointnet2_msg(extra_channels: int = 0) -> PointNet2:
    """Multi-scale grouping."""
    return PointNet2(MULTI, extra_channels=extra_channels)


register_student("pointnet2", dense=True)(PointNet2Parts)


@register_student("pointnet2-propagated", dense=True)
def pointnet2_parts_propagated(extra_channels: int = 0) -> PointNet2:
    """Single scale, its embeddings carried to all points, with `local` besides."""
    return PointNet2Parts(propagate=True, extra_channels=extra_channels)


@register_student("pointnet2-nearest", dense=True)
def pointnet2_parts_nearest(extra_channels: int = 0) -> PointNet2:
    """Single scale, its groups the nearest points in each ball."""
    return PointNet2Parts(nearest=True, extra_channels=extra_channels)


@register_student("pointnet2-msg", dense=True)
def pointnet2_msg_parts(extra_channels: int = 0) -> PointNet2:
    """Multi-scale grouping, with the scales published for part segmentation."""
    return PointNet2Parts(MULTI_PARTS, extra_channels=extra_channels)
