"""The students' forward passes in the published formulation, with the weights of ours."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from published.edge_convolution import SLOPE, edge_convolution
from published.layers import convolve, normalise, shared


def pointnet(student: Any, points: Tensor) -> tuple[Tensor, Tensor]:
    """PointNet: points [B, N, 3] -> embeddings [B, 1024, N] and the orthogonality penalty."""
    moved = points.transpose(1, 2)
    moved = transformed(moved, transform(student.input_transform, moved))
    for layer in student.first:
        moved = shared(moved, layer)
    matrix = transform(student.feature_transform, moved)
    moved = transformed(moved, matrix)
    for layer in student.second:
        moved = shared(moved, layer)
    residual = torch.bmm(matrix, matrix.transpose(1, 2)) - torch.eye(matrix.shape[1])
    return moved, residual.norm(dim=(1, 2)).mean()


def transform(net: Any, features: Tensor) -> Tensor:
    """T-Net: [B, K, N] -> [B, K, K]."""
    channels = features.shape[1]
    for layer in net.shared:
        features = shared(features, layer)
    wide = F.relu(normalise(convolve(features, net.wide), net.wide_norm))
    matrix: Tensor = net.matrix(net.head(wide.max(dim=2).values))
    return matrix.view(-1, channels, channels)


def transformed(features: Tensor, matrix: Tensor) -> Tensor:
    """Every point times its cloud's matrix: [B, K, N]."""
    return torch.bmm(features.transpose(1, 2), matrix).transpose(1, 2)


def dgcnn(student: Any, points: Tensor) -> tuple[Tensor, None]:
    """DGCNN for classification: points [B, N, 3] -> embeddings [B, 1024, N]."""
    features, outputs = points.transpose(1, 2).contiguous(), []
    for edge in student.edges:
        features = edge_convolution(features, edge)
        outputs.append(features)
    joined = convolve(torch.cat(outputs, dim=1), student.linear)
    return F.leaky_relu(normalise(joined, student.norm), SLOPE), None
