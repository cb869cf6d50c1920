"""VAFP as published: repeat the embeddings for every view, multiply by the mask, take the max."""

from torch import Tensor


def repeated_max(embeddings: Tensor, visibility: Tensor) -> Tensor:
    """Pool embeddings [B, C, N], never negative, by visibility [B, V, N] of 0 and 1: [B, V, C].

    Three tensors of B x V x C x N numbers: the repeated embeddings, the repeated mask, the product.
    """
    channels, views = embeddings.shape[1], visibility.shape[1]
    repeated = embeddings[:, None].repeat(1, views, 1, 1)
    mask = visibility[:, :, None].repeat(1, 1, channels, 1)
    return (repeated * mask).max(dim=3).values
