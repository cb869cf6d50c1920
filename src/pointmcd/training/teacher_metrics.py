"""How good a teacher is that does a task itself."""

from collections.abc import Mapping
from typing import Any

import torch

from pointmcd.data.store import Store
from pointmcd.metrics.metrics import Metrics
from pointmcd.tasks.task import Labels, Task
from pointmcd.teachers.stored import map_output
from pointmcd.typing import Indices


def teacher_metrics(
    task: Task, store: Store, teacher: Mapping[str, Any], indices: Indices
) -> Metrics:
    """Return the metrics of a teacher on shapes of its store, by what it said of them there.

    Args:
        task: one that the teacher does.
        store: the store.
        teacher: its teacher.json.
        indices: of labelled shapes.
    """
    labels, known = store.labels(indices), Labels.of(store)
    answer = torch.from_numpy(map_output(store, teacher, str(task.teacher_answer), indices)[:])
    truth = task.truth(store, indices)
    return task.measure(
        labels, task.teacher_predictions(answer.float(), labels, known, truth), known
    )
