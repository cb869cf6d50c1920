"""A layer that several students use."""

from torch import Tensor, nn


class NormedLinear(nn.Module):
    """Linear without bias, then batch norm: [..., C_in] -> [..., C]."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels_in, channels, bias=False)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, points: Tensor) -> Tensor:
        """[..., C_in] -> [..., C]."""
        return self.normalise(self.linear(points))

    def normalise(self, mapped: Tensor) -> Tensor:
        """Apply batch norm over all but the last dimension."""
        normed: Tensor = self.norm(mapped.flatten(0, -2))
        return normed.view_as(mapped)
