"""The students' forward passes in the published formulation, with the weights of ours."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.speed.published.curvenet import curvenet
from benchmarks.speed.published.edge_convolution import SLOPE, edge_convolution
from benchmarks.speed.published.grouping import pointnet2
from benchmarks.speed.published.layers import convolve, normalise, shared
from benchmarks.speed.published.projection import repeated_max

#: Embeddings [B, C, M], the index of their points [B, M] or None, and the penalty or None.
Encoded = tuple[Tensor, Tensor | None, Tensor | None]


def distilled(
    encode: Callable[[Any, Tensor], Encoded], module: Any, points: Tensor, seen: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what a `DistilledClassifier` does: logits, descriptors [B, V, D], penalty."""
    embeddings, index, penalty = encode(module.model.student, points)
    head, branch = module.model.head, module.projection
    logits = head.classifier(head.hidden(embeddings.max(dim=2).values))
    if index is not None:
        seen = seen.gather(1, index[:, :, None].expand(-1, -1, seen.shape[2]))
    pooled = repeated_max(embeddings, seen.transpose(1, 2).float())
    descriptors = branch.norm(branch.linear(pooled).flatten(0, 1)).view(*pooled.shape[:2], -1)
    return logits, torch.relu(descriptors), logits.new_zeros(()) if penalty is None else penalty


def pointnet(student: Any, points: Tensor) -> Encoded:
    """Encode points [B, N, 3] as PointNet does."""
    moved = points.transpose(1, 2)
    moved = transformed(moved, transform(student.input_transform, moved))
    for layer in student.first:
        moved = shared(moved, layer)
    matrix = transform(student.feature_transform, moved)
    moved = transformed(moved, matrix)
    for layer in student.second:
        moved = shared(moved, layer)
    identity = torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
    residual = torch.bmm(matrix, matrix.transpose(1, 2)) - identity
    return moved, None, residual.norm(dim=(1, 2)).mean()


def transform(net: Any, features: Tensor) -> Tensor:
    """Return the matrix of a T-Net: [B, K, N] -> [B, K, K]."""
    channels = features.shape[1]
    for layer in net.shared:
        features = shared(features, layer)
    wide = F.relu(normalise(convolve(features, net.wide), net.wide_norm))
    matrix: Tensor = net.matrix(net.head(wide.max(dim=2).values))
    return matrix.view(-1, channels, channels)


def transformed(features: Tensor, matrix: Tensor) -> Tensor:
    """Multiply every point by its cloud's matrix: [B, K, N]."""
    return torch.bmm(features.transpose(1, 2), matrix).transpose(1, 2)


def dgcnn(student: Any, points: Tensor) -> Encoded:
    """Encode points [B, N, 3] as DGCNN for classification does."""
    features, outputs = points.transpose(1, 2).contiguous(), []
    for edge in student.edges:
        features = edge_convolution(features, edge)
        outputs.append(features)
    joined = convolve(torch.cat(outputs, dim=1), student.linear)
    return F.leaky_relu(normalise(joined, student.norm), SLOPE), None, None


FORWARD: dict[str, Callable[[Any, Tensor], Encoded]] = {
    "pointnet": pointnet,
    "dgcnn": dgcnn,
    "pointnet2": pointnet2,
    "curvenet": curvenet,
}
