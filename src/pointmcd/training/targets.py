"""The descriptors that a student is pulled to, as its settings want them."""

import numpy as np
import numpy.typing as npt

from pointmcd.data.store import Store
from pointmcd.files import read_json
from pointmcd.teachers.config import default_name, split_name
from pointmcd.teachers.export import load_targets, teacher_folder
from pointmcd.training.config import TrainConfig


def prepare_targets(
    config: TrainConfig, store: Store, indices: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Targets [n, V, D] of the train shapes."""
    assert config.teacher is not None
    teacher = find_teacher(store, config.teacher, config.task)
    targets = load_targets(store, teacher, config.target, indices)
    return standardised(targets) if config.standardise else targets


def find_teacher(store: Store, name: str, task: str) -> str:
    """The teacher that a student of a task means by `name`.

    For segmentation `lite0` is what `teach --task segmentation` calls `lite0-segmentation`, and
    `lite0-finetuned` its `lite0-segmentation-finetuned`; a teacher of that task that was given a
    name of its own is meant by just that name.
    """
    if task == "classification" or _task_of(store, name) == task:
        return name
    encoder, _, finetuned = split_name(name)
    return default_name(encoder, task, finetuned)


def _task_of(store: Store, name: str) -> str | None:
    file = teacher_folder(store, name) / "teacher.json"
    return str(read_json(file).get("task", "classification")) if file.exists() else None


def standardised(targets: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Zero mean and unit variance in each channel over shapes and views [n, V, D].

    A channel that never varies becomes zero.
    """
    mean = targets.mean(axis=(0, 1), dtype=np.float64)
    std = targets.std(axis=(0, 1), dtype=np.float64)
    scaled = (targets - mean) / np.where(std > 1e-6, std, 1.0)
    result: npt.NDArray[np.float32] = scaled.astype(np.float32)
    return result
