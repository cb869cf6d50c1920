"""CurveNet (Xiang, Zhang, Song, Yu, Cai, "Walk in the Cloud", ICCV 2021, arXiv 2105.01288).

Local aggregation (LPFA), then bottleneck blocks (CIC) that group points into learnt curves
(`_curves.py`, `ops/curve_walk.py`), let all points read the curves and aggregate locally again;
widths, radii, kept points (N, N, N / 4, N / 16) and curves (100 of 5 points in the first four
blocks) as published for classification. LeakyReLU(0.2), but for the ReLU before the embeddings.

Parameters: 1,070,552; with the published head for 40 classes (max and mean pooling, 2048-512-40)
2,140,672, which is 2.04 x 2^20: the paper says 2.04 M.

Deliberate differences:
- Balls keep their nearest points, and sampling begins at the point farthest from the centroid
  (`ops/`): by the order of the file, as usual, permuted clouds would differ.
- The factor of crossover suppression is a constant in the backward pass (`ops/curve_walk.py`).
- An edge's two ends are mapped once per point, not once per edge; values are those of the
  published form.

Part segmentation: see `CurveNetSegmentation`.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pointmcd.ops.backend import larger
from pointmcd.ops.ball_query import ball_query
from pointmcd.ops.farthest_batch import sample_farthest
from pointmcd.ops.interpolation import interpolate
from pointmcd.ops.neighbours import gather_rows, neighbour_max
from pointmcd.students._curves import CurveAggregation, CurveGrouping
from pointmcd.students._layers import NormedLinear
from pointmcd.students._lpfa import LPFA, SLOPE, FirstLPFA, Graph
from pointmcd.students.base import PointFeatures
from pointmcd.students.heads import HeadLayout
from pointmcd.students.pointnet import SharedLayer
from pointmcd.students.registry import register_student

CURVES, LENGTH = 100, 5
FIRST = 32


@dataclass(frozen=True)
class Block:
    """One CIC block.

    Attributes:
        channels: its width.
        share: it keeps 1 / share of all points.
        radius: of the balls that it pools, where it keeps fewer points than the block before.
        ratio: its input is this many times as wide as its bottleneck.
        curves: whether it has any.
    """

    channels: int
    share: int
    radius: float
    ratio: int
    curves: bool


CLASSIFICATION = (
    Block(64, 1, 0.05, 2, True),
    Block(64, 1, 0.05, 4, True),
    Block(128, 1, 0.05, 2, True),
    Block(128, 1, 0.1, 4, True),
    Block(256, 4, 0.1, 2, False),
    Block(256, 4, 0.2, 4, False),
    Block(512, 16, 0.2, 2, False),
    Block(512, 16, 0.4, 4, False),
)
SEGMENTATION = (
    Block(64, 1, 0.2, 2, True),
    Block(64, 1, 0.2, 4, True),
    Block(128, 4, 0.4, 2, True),
    Block(128, 4, 0.4, 4, True),
    Block(256, 16, 0.8, 2, False),
    Block(256, 16, 0.8, 4, False),
    Block(512, 64, 1.2, 2, False),
    Block(512, 64, 1.2, 4, False),
)
#: The blocks of the decoder, from coarse to fine.
DECODER = (SEGMENTATION[5], SEGMENTATION[3], SEGMENTATION[1])


class CIC(nn.Module):
    """Curve intervention convolution: bottleneck of curves and local aggregation, residual."""

    def __init__(self, channels_in: int, block: Block) -> None:
        super().__init__()
        self.block = block
        inner = channels_in // block.ratio
        self.reduce = NormedLinear(channels_in, inner)
        if block.curves:
            self.grouping = CurveGrouping(inner, CURVES, LENGTH)
            self.aggregation = CurveAggregation(inner)
        self.lpfa = LPFA(inner)
        self.expand = NormedLinear(inner, block.channels)
        same = channels_in == block.channels
        self.shortcut = nn.Identity() if same else NormedLinear(channels_in, block.channels)

    def forward(self, features: Tensor, graph: Graph) -> Tensor:
        """Features [B, N, C_in] of the graph's points -> [B, N, C]."""
        inner = F.leaky_relu(self.reduce(features), SLOPE)
        if self.block.curves:
            inner = self.aggregation(inner, self.grouping(inner, graph.others).features)
        expanded = self.expand(self.lpfa(inner, graph))
        return F.leaky_relu(expanded + self.shortcut(features), SLOPE)


@dataclass(frozen=True)
class Level:
    """One resolution.

    Attributes:
        graph: of its points [B, M, 3].
        index: int64 [B, M], which input points they are.
        features: [B, M, C].
    """

    graph: Graph
    index: Tensor
    features: Tensor

    def kept(self, count: int, radius: float, k: int) -> "Level":
        """Keep farthest points, each with the max of the features in its ball."""
        picks = sample_farthest(self.graph.points, count)
        centres = gather_rows(self.graph.points, picks)
        ball = ball_query(centres, self.graph.points, radius, k)
        features = neighbour_max(self.features, ball)
        return Level(Graph.of(centres, k), self.index.gather(1, picks), features)


class Encoder(nn.Module):
    """The first LPFA and the blocks."""

    def __init__(self, blocks: tuple[Block, ...], k: int) -> None:
        super().__init__()
        self.plan, self.k = blocks, k
        self.first = FirstLPFA(FIRST)
        widths = (FIRST, *(block.channels for block in blocks))
        self.blocks = nn.ModuleList(CIC(a, b) for a, b in zip(widths, blocks, strict=False))

    def forward(self, points: Tensor) -> list[Level]:
        """Points [B, N, 3] -> the last level of each share of points, the finest first."""
        graph = Graph.of(points, self.k)
        everything = torch.arange(points.shape[1], device=points.device).expand(points.shape[:2])
        levels = [Level(graph, everything, self.first(graph))]
        share = 1
        for block, cic in zip(self.plan, self.blocks, strict=True):
            if block.share != share:
                share, count = block.share, larger(points.shape[1] // block.share, 1)
                levels.append(levels[-1].kept(count, block.radius, self.k))
            level = levels[-1]
            levels[-1] = Level(level.graph, level.index, cic(level.features, level.graph))
        return levels


@register_student("curvenet")
class CurveNet(nn.Module):
    """Embeddings [B, N / 16, 1024], never negative (the last layer is a ReLU), and their index."""

    num_features = 1024
    head: ClassVar[HeadLayout] = HeadLayout((512,), (0.5,), mean=True)

    def __init__(self, k: int = 20) -> None:
        super().__init__()
        self.encoder = Encoder(CLASSIFICATION, k)
        self.embed = SharedLayer(512, self.num_features)

    def forward(self, points: Tensor) -> PointFeatures:
        """Points [B, N, 3] -> embeddings [B, max(N // 16, 1), 1024]."""
        with torch.autocast(points.device.type, enabled=False):  # statistics need full precision
            level = self.encoder(points.to(self.embed.linear.weight))[-1]
            return PointFeatures(self.embed(level.features), level.index)


class Propagation(nn.Module):
    """Features carried from a coarser level to a finer one and joined there, then a CIC block."""

    def __init__(self, coarse: int, fine: int, block: Block) -> None:
        super().__init__()
        self.first = NormedLinear(coarse + fine, block.channels)
        self.second = NormedLinear(block.channels, block.channels)
        self.cic = CIC(block.channels, block)

    def forward(self, coarse: Level, fine: Level) -> Level:
        """Levels of M and N points -> the finer one with features [B, N, C]."""
        carried = interpolate(coarse.features, coarse.graph.points, fine.graph.points)
        joined = torch.cat([carried, fine.features], dim=2)
        mapped = F.leaky_relu(self.second(F.leaky_relu(self.first(joined), SLOPE)), SLOPE)
        return Level(fine.graph, fine.index, self.cic(mapped, fine.graph))


@register_student("curvenet", dense=True)
class CurveNetSegmentation(nn.Module):
    """CurveNet for part segmentation: local features [B, N, 64] and embeddings [B, N / 16, 1024].

    As published: k 32, the levels N, N / 4, N / 16 and N / 64 (2,048 to 32 points), their widths
    64, 128, 256 and 512, radii 0.2, 0.4, 0.8 and 1.2, and curves at the finest two; then feature
    propagation back (3 nearest, skip links, two layers) with a CIC block of ratio 4 at each level.

    Differences from the published network, and why:
    - No fifth level (1,024 channels at N / 256, 8 points): about 2.8 M parameters with its
      decoder, for 2 points a cloud at the 512 that a CPU trains with.
    - After the last propagated width, 64, one block of 64 channels, not two of 256 whose edges are
      four times as wide as any others at all N points: the head (tasks/segmentation.py) has layers
      of its own. It gets the pooled embeddings and the class; the published one reads the class
      and pooled features of its two deepest levels before those blocks.
    - No attention in the propagation: it is that of PointNet++ (Sec. 3.4 there).
    - Embeddings are made at N / 16, as in classification, of features that have seen the coarser
      level: at N / 64 a view would see a handful of points.
    """

    num_features = 1024
    num_local = 64

    def __init__(self, k: int = 32) -> None:
        super().__init__()
        self.encoder = Encoder(SEGMENTATION, k)
        self.up = nn.ModuleList(
            Propagation(coarse.channels, fine.channels, fine)
            for coarse, fine in pairwise((SEGMENTATION[-1], *DECODER))
        )
        self.embed = SharedLayer(DECODER[0].channels, self.num_features)

    def forward(self, points: Tensor) -> PointFeatures:
        """Points [B, N, 3] -> embeddings [B, max(N // 16, 1), 1024], local [B, N, 64]."""
        with torch.autocast(points.device.type, enabled=False):  # statistics need full precision
            *finer, level = self.encoder(points.to(self.embed.linear.weight))
            up = []
            for propagate, fine in zip(self.up, reversed(finer), strict=True):
                level = propagate(level, fine)
                up.append(level)
            return PointFeatures(self.embed(up[0].features), up[0].index, local=up[-1].features)
