"""Several image encoders joined to one, by names with `+` between them."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

JOIN = "+"


class JoinedNetwork(nn.Module):
    """Image encoders side by side: images in 0 to 1, [n, 3, H, W] -> all features [n, F].

    Each normalises and resizes the images as its weights expect.

    Args:
        members: the image encoders; F is the sum of theirs.
    """

    #: Maps of several encoders have sizes of their own: `pyramid` is not offered.
    pyramid_channels: tuple[int, ...] = ()
    mean, std = (0.0,) * 3, (1.0,) * 3
    size = 0

    def __init__(self, members: Iterable[Any]) -> None:
        super().__init__()
        self._members = nn.ModuleList(members)
        self.num_features = sum(member.num_features for member in members)
        self.licence = "; ".join(dict.fromkeys(member.licence for member in members))

    @property
    def members(self) -> list[Any]:
        """The image encoders."""
        return list(self._members)

    def forward(self, images: Tensor) -> Tensor:
        """Return the members' features, one after the other in the order of their names."""
        return torch.cat([member.encode(images) for member in self.members], dim=1)

    def fold(self) -> None:
        """Fold batch norms into convolutions, for inference."""
        for member in self.members:
            member.fold()
