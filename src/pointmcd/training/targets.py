"""The descriptors that a student is pulled to, as its settings want them."""

import numpy as np
import numpy.typing as npt

from pointmcd.data.store import Store
from pointmcd.teachers.export import load_targets
from pointmcd.training.config import TrainConfig


def prepare_targets(
    config: TrainConfig, store: Store, indices: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Targets [n, V, D] of the train shapes."""
    assert config.teacher is not None
    targets = load_targets(store, config.teacher, config.target, indices)
    return standardised(targets) if config.standardise else targets


def standardised(targets: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Zero mean and unit variance in each channel over shapes and views [n, V, D].

    A channel that never varies becomes zero.
    """
    mean = targets.mean(axis=(0, 1), dtype=np.float64)
    std = targets.std(axis=(0, 1), dtype=np.float64)
    scaled = (targets - mean) / np.where(std > 1e-6, std, 1.0)
    result: npt.NDArray[np.float32] = scaled.astype(np.float32)
    return result
