"""Voting at test time: the mean of a model's outputs over rescaled copies of each cloud.

Published results "with voting" are made so (Relation-Shape CNN, Liu et al., CVPR 2019, and others
after it): a few tenths of a point that the model alone has not. It is never done unasked, and what
it gives is kept in files of its own and named wherever it is shown.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pointmcd.errors import ConfigError
from pointmcd.shapes.features import directions

#: Range of the factors, uniform, of each axis; and the seed that draws them.
FACTORS, SEED = (0.8, 1.2), 0


def check_votes(votes: int) -> None:
    """Refuse fewer votes than one.

    Raises:
        ConfigError: naming the option.
    """
    if votes < 1:
        raise ConfigError(f"--voting {votes}: must be at least 1; 1 is without voting")


def vote(model: nn.Module, votes: int, features: Sequence[str] = ()) -> None:
    """Let a model return the mean of its outputs (logits) over copies of its points [B, N, 3 + F].

    The first copy is the cloud as it is. Each other one has a factor for each axis, the same for
    all clouds, so that what is said of one does not depend on the others. Normals among the
    features are divided by the factors and scaled to length 1.
    """
    plain, low, high = model.forward, *FACTORS
    generator = torch.Generator().manual_seed(SEED)
    factors = low + (high - low) * torch.rand(votes, 3, generator=generator)
    factors[0] = 1.0

    def scaled(points: Tensor, factor: Tensor) -> Tensor:
        if points.shape[2] == 3:
            return points * factor
        copy = points.clone()
        copy[:, :, :3] *= factor
        for columns in directions(features):
            copy[:, :, columns] = F.normalize(points[:, :, columns] / factor, dim=2)
        return copy

    def voted(points: Tensor, *others: Tensor) -> Any:
        copies = (plain(scaled(points, factor), *others).float() for factor in factors.to(points))
        return torch.stack(list(copies)).mean(dim=0)

    if votes > 1:
        setattr(model, "forward", voted)  # noqa: B010 (mypy refuses the plain assignment)


def suffix(votes: int) -> str:
    """Return what the names of files with voted results end in: "-voting10", "" without."""
    return "" if votes == 1 else f"-voting{votes}"


def wording(votes: int) -> str:
    """Return what a title says of voted results, with a comma before; nothing without."""
    return "" if votes == 1 else f", voting over {votes} scales"
