"""The task loss of teachers and students."""

import torch
from torch import Tensor


def smoothed_cross_entropy(
    logits: Tensor, labels: Tensor, smoothing: float, weights: Tensor | None = None
) -> Tensor:
    """Cross entropy whose `smoothing` is spread over the other K - 1 classes, as in PointMCD.

    `torch.nn.CrossEntropyLoss` spreads it over all K.

    Args:
        logits: [B, K].
        labels: int64 [B].
        smoothing: 0 to below 1; the weight taken from the true class.
        weights: [B], factor of each row in the mean over the B rows; None: 1.
    """
    log_p = torch.log_softmax(logits, dim=1)
    true = log_p.gather(1, labels[:, None]).squeeze(1)
    others = (log_p.sum(dim=1) - true) / max(logits.shape[1] - 1, 1)
    losses = -((1 - smoothing) * true + smoothing * others)
    return losses.mean() if weights is None else (weights * losses).mean()
