"""The task loss of teachers and students alike."""

import torch
from torch import Tensor


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Cross entropy where `smoothing` is shared among the other K - 1 classes (method of PointMCD).

    `torch.nn.CrossEntropyLoss` shares it among all K instead, hence this one.

    Args:
        logits: [B, K].
        labels: int64 [B].
        smoothing: 0 to below 1; the weight that the true class gives away.
    """
    log_p = torch.log_softmax(logits, dim=1)
    true = log_p.gather(1, labels[:, None]).squeeze(1)
    others = (log_p.sum(dim=1) - true) / max(logits.shape[1] - 1, 1)
    return -((1 - smoothing) * true + smoothing * others).mean()
