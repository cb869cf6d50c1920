"""Convolutions of size one with batch norm, as point networks are commonly written."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


def convolve(features: Tensor, linear: nn.Linear) -> Tensor:
    """Return W x at every place of [B, C, N] or [B, C, N, k]."""
    weight = linear.weight.view(*linear.weight.shape, *[1] * (features.ndim - 2))
    return F.conv1d(features, weight) if features.ndim == 3 else F.conv2d(features, weight)


def normalise(features: Tensor, norm: nn.BatchNorm1d) -> Tensor:
    """Apply batch norm to [B, C, ...] over all but C; training updates the running statistics."""
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked += 1
    assert norm.momentum is not None
    return F.batch_norm(
        features,
        norm.running_mean,
        norm.running_var,
        norm.weight,
        norm.bias,
        training=norm.training,
        momentum=norm.momentum,
        eps=norm.eps,
    )


def shared(features: Tensor, layer: Any) -> Tensor:
    """Return ReLU(BN(W x)) of a layer with `linear` and `norm`."""
    return F.relu(normalise(convolve(features, layer.linear), layer.norm))
