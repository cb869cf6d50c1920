"""Channel statistics of a teacher's outputs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.preprocessing import StandardScaler

from pointmcd.data.dataset import Targets

#: Shapes read at a time where all of them are gone through.
_AT_ONCE = 256


@dataclass(frozen=True)
class ChannelStatistics:
    """Mean, standard deviation and least value of each channel, float64 [D]."""

    mean: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]
    least: npt.NDArray[np.float64]

    @property
    def scale(self) -> npt.NDArray[np.float64]:
        """Divisor for standardising: the standard deviation, or 1 for a constant channel."""
        return np.where(self.std > 1e-6, self.std, 1.0)

    def standardised(self) -> "ChannelStatistics":
        """Return the statistics that the same outputs have once they are standardised."""
        varies = (self.std > 1e-6).astype(np.float64)
        return ChannelStatistics(0 * self.mean, varies, (self.least - self.mean) / self.scale)


def channel_statistics(targets: Targets) -> ChannelStatistics:
    """Go through outputs [n, ..., D], some shapes at a time: they may be larger than memory."""
    shapes, channels = targets.shape[0], targets.shape[-1]
    scaler, least = StandardScaler(), np.full(channels, np.inf)
    for start in range(0, shapes, _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, shapes))
        part = targets[rows].astype(np.float64).reshape(-1, channels)
        part[~np.isfinite(part)] = np.nan  # passed over here: the loss tells of it
        scaler.partial_fit(part)
        least = np.minimum(least, part.min(axis=0))
    return ChannelStatistics(scaler.mean_, np.sqrt(scaler.var_), least)
