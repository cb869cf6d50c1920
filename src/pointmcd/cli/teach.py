"""`pointmcd teach`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from pointmcd.cli.output import print_labels, print_line
from pointmcd.files import read_json
from pointmcd.teachers.config import TeachConfig

if TYPE_CHECKING:  # it imports torch
    from pointmcd.tasks.task import Task


def teach(config: Annotated[TeachConfig, tyro.conf.arg(name="")]) -> None:
    """Train an image teacher on the views and export its outputs into the store."""
    from pointmcd.tasks.task import task_of_lesson
    from pointmcd.teachers.lesson import LESSONS
    from pointmcd.teachers.teach import teach as run

    print_labels(config.labels, config.store)
    folder = run(config)
    meta = read_json(folder / "teacher.json")
    lesson = LESSONS.get(config.task)
    print_line(f"{folder}: {lesson.summary(meta)}")
    task = task_of_lesson(config.task)
    if task is not None and lesson.reads_parts and meta["val_shapes"]:
        _compare_with_students(folder, task)


def _compare_with_students(folder: Path, task: "Task") -> None:
    """Say how good a teacher of parts is by what `train` shows of students."""
    from pointmcd.evaluation.evaluate import evaluate_teacher
    from pointmcd.progress import note

    metrics, best = evaluate_teacher(folder, "val"), task.best_name
    caution = task.caution(metrics)
    note(
        f"the teacher's {best} on the points of the validation split is {metrics.main[best]:.1%};"
        f" train shows that of the student{f'; {caution}' if caution else ''}"
    )
