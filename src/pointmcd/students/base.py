"""The output of every student."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PointFeatures:
    """Per-point embeddings of a batch of clouds.

    Attributes:
        embeddings: float [B, M, C].
        index: int64 [B, M], the input point that each embedding sits at; None: all, in order.
        penalty: scalar that the loss adds with its regulariser weight (the orthogonality of
            PointNet's feature transform); None where the student has none.
        local: float [B, N, L] at every input point, in order: what a head that labels points
            reads beside the pooled embeddings (skip links, propagated features). None: the
            embeddings themselves, carried to all points where `index` is given.
    """

    embeddings: Tensor
    index: Tensor | None = None
    penalty: Tensor | None = None
    local: Tensor | None = None
