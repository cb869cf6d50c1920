"""CurveNet for part segmentation (Xiang et al., ICCV 2021, arXiv 2105.01288; see `curvenet.py`).

Encoder with k 32: the levels N, N / 4, N / 16, N / 64 and N / 256 (2,048 to 8 points), their
widths 64 to 1,024, and curves at the finest two. Decoder: at each finer level the features of the
three nearest coarse points, joined with the level's own, which an attention gate weighs (Oktay et
al., Attention U-Net, 2018), two layers, and a block of ratio 4. At all points the positions, the
class and the pooled features of the two coarsest levels (64 and 128 channels) join for two blocks
of 256 channels, a layer with squeeze and excitation (Hu et al., CVPR 2018) and dropout 0.5.

Deliberate differences: those of `curvenet.py`.

The widths are those of the authors' published configuration, as far as it is known to us; the
paper itself describes the classification network. Parameters for 16 classes and 50 parts:
5,288,404; we know of no published number.

Embeddings for distillation are the decoder's at N / 16, [B, N / 16, 256]: of points enough for a
view to see some, and with features that have seen the coarser levels. They are layers of the
published network; nothing is added for distillation.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pointmcd.ops.backend import full_precision
from pointmcd.ops.interpolation import interpolate
from pointmcd.ops.masked_max import max_over_points
from pointmcd.students._layers import NormedLinear
from pointmcd.students._lpfa import SLOPE, Graph
from pointmcd.students.base import PointFeatures
from pointmcd.students.curvenet import CIC, Block, Encoder, Level
from pointmcd.students.registry import register_student

#: Balls of radius 31 hold all points.
SEGMENTATION = (
    Block(64, 1, 0.2, 2, True),
    Block(64, 1, 0.2, 4, True),
    Block(128, 4, 0.4, 2, True),
    Block(128, 4, 0.4, 4, True),
    Block(256, 16, 0.8, 2, False),
    Block(256, 16, 0.8, 4, False),
    Block(512, 64, 1.2, 2, False),
    Block(512, 64, 1.2, 4, False),
    Block(1024, 256, 31, 2, False),
    Block(1024, 256, 31, 4, False),
    Block(1024, 256, 31, 4, False),
)
#: The blocks of the decoder, from coarse to fine.
DECODER = (SEGMENTATION[7], SEGMENTATION[5], SEGMENTATION[3])
#: The blocks of the head.
HEAD = Block(256, 1, 0.2, 4, True)
NEIGHBOURS, FINEST, POOLED = 32, 64, (64, 128)


class AttentionGate(nn.Module):
    """Weighs the features of a skip link by what comes from the coarser level."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.carried = NormedLinear(coarse, fine // 2)
        self.own = NormedLinear(fine, fine // 2)
        self.weight = NormedLinear(fine // 2, 1)

    def forward(self, carried: Tensor, own: Tensor) -> Tensor:
        """Features [B, N, C] carried to N points and their own [B, N, S] -> [B, N, S]."""
        both = F.leaky_relu(self.carried(carried) + self.own(own), SLOPE)
        return own * torch.sigmoid(self.weight(both))


class Propagation(nn.Module):
    """Features carried from a coarser level to a finer one and joined there, then a CIC block."""

    def __init__(self, coarse: int, fine: int, block: Block | None) -> None:
        super().__init__()
        self.gate = AttentionGate(coarse, fine)
        self.first = NormedLinear(coarse + fine, fine)
        self.second = NormedLinear(fine, fine)
        self.cic = None if block is None else CIC(fine, block)

    def forward(self, coarse: Level, fine: Level) -> Level:
        """Levels of M and N points -> the finer one with features [B, N, C]."""
        carried = interpolate(coarse.features, coarse.graph.points, fine.graph.points)
        joined = torch.cat([carried, self.gate(carried, fine.features)], dim=2)
        mapped = F.leaky_relu(self.second(F.leaky_relu(self.first(joined), SLOPE)), SLOPE)
        if self.cic is not None:
            mapped = self.cic(mapped, fine.graph)
        return Level(fine.graph, fine.index, mapped)


class CurvePartHead(nn.Module):
    """The end of the network: local features, positions and class -> logits of every point."""

    def __init__(self, num_local: int, num_classes: int, num_parts: int, k: int) -> None:
        super().__init__()
        self.k, width = k, HEAD.channels
        self.blocks = nn.ModuleList([CIC(3 + num_local + num_classes, HEAD), CIC(width, HEAD)])
        self.layer = NormedLinear(width, width)
        self.squeeze = NormedLinear(width, width // 8)
        self.excite = nn.Linear(width // 8, width, bias=False)
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(width, num_parts)

    def forward(self, points: Tensor, features: PointFeatures, onehot: Tensor) -> Tensor:
        """Points [B, N, 3 + F], the student's features, classes [B, K] -> logits [B, N, P].

        Of the points, coordinates alone are read.
        """
        with full_precision(points):  # statistics need full precision
            assert features.local is not None
            weight = self.classifier.weight
            points, local = points[:, :, :3].to(weight), features.local.to(weight)
            classes = onehot.to(points)[:, None].expand(-1, points.shape[1], -1)
            found, graph = (
                torch.cat([points, local, classes], dim=2),
                Graph.of(points.contiguous(), self.k),
            )
            for block in self.blocks:
                found = block(found, graph)
            found = F.leaky_relu(self.layer(found), SLOPE)
            squeezed = F.leaky_relu(self.squeeze(found.mean(dim=1)), SLOPE)
            found = found * torch.sigmoid(self.excite(squeezed))[:, None]
            logits: Tensor = self.classifier(self.dropout(found))
            return logits


@register_student("curvenet", dense=True)
class CurveNetSegmentation(nn.Module):
    """Embeddings [B, N / 16, 256], signed, their index, and local features [B, N, 256]."""

    num_features = DECODER[1].channels
    num_local = FINEST + sum(POOLED)

    def __init__(self, k: int = NEIGHBOURS, extra_channels: int = 0) -> None:
        super().__init__()
        self.extra_channels = extra_channels
        self.encoder = Encoder(SEGMENTATION, k, extra_channels)
        widths = [SEGMENTATION[-1].channels, *(block.channels for block in DECODER), FINEST]
        self.up = nn.ModuleList(
            Propagation(coarse, fine, block)
            for (coarse, fine), block in zip(pairwise(widths), (*DECODER, None), strict=True)
        )
        self.pool = nn.ModuleList(
            NormedLinear(a, b) for a, b in zip((widths[1], widths[0]), POOLED, strict=True)
        )

    def forward(self, points: Tensor) -> PointFeatures:
        """Points [B, N, 3 + F] -> embeddings [B, max(N // 16, 1), 256], local [B, N, 256]."""
        with full_precision(points):  # statistics need full precision
            levels = self.encoder(points.to(self.encoder.first.place.linear.weight))
            pooled = [
                max_over_points(F.leaky_relu(pool(level.features), SLOPE))
                for pool, level in zip(self.pool, levels[-2:], strict=True)
            ]
            *finer, level = levels
            up = []
            for propagate, fine in zip(self.up, reversed(finer), strict=True):
                level = propagate(level, fine)
                up.append(level)
            whole = torch.cat(pooled, dim=1)[:, None].expand(-1, points.shape[1], -1)
            local = torch.cat([level.features, whole], dim=2)
            return PointFeatures(up[1].features, up[1].index, local=level.restored(local))

    def part_head(self, num_classes: int, num_parts: int) -> nn.Module:
        """Return the published head for K classes and P parts."""
        return CurvePartHead(self.num_local, num_classes, num_parts, self.encoder.k)
