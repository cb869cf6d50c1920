"""Tasks by name, and the model of each."""

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from pointmcd.errors import ConfigError
from pointmcd.students.registry import create_student
from pointmcd.tasks.classification import ClassificationTask, Classifier
from pointmcd.tasks.pretraining import Pretrainee, PretrainingTask
from pointmcd.tasks.segmentation import SegmentationTask, Segmenter
from pointmcd.tasks.task import Task

_TASKS: dict[str, Task] = {
    "classification": ClassificationTask(),
    "segmentation": SegmentationTask(),
    "pretrain": PretrainingTask(),
}


def get_task(name: str) -> Task:
    """The task of that name.

    Raises:
        ConfigError: when there is none.
    """
    if name not in _TASKS:
        raise ConfigError(f"--task {name}: use one of {', '.join(_TASKS)}")
    return _TASKS[name]


def build_model(
    task: str,
    student: str,
    num_classes: int,
    part_ranges: npt.NDArray[np.int64] | None = None,
    pretrain_for: str = ClassificationTask.name,
) -> nn.Module:
    """A student with the head of a task; for pretraining a student alone.

    Args:
        task: its name.
        student: the student's.
        num_classes: K.
        part_ranges: int64 [K, 2] of a set with part labels; segmentation needs it.
        pretrain_for: the task that pretraining has in view.

    Raises:
        ConfigError: when there is no such task or student.
    """
    pretrains = get_task(task).name == PretrainingTask.name
    dense = (pretrain_for if pretrains else task) == SegmentationTask.name
    encoder: Any = create_student(student, dense=dense)
    if pretrains:
        return Pretrainee(encoder)
    if task == SegmentationTask.name:
        assert part_ranges is not None
        return Segmenter(encoder, num_classes, part_ranges)
    return Classifier(encoder, num_classes)
