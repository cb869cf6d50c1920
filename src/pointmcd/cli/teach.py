"""`pointmcd teach`."""

from pathlib import Path
from typing import Annotated

import tyro

from pointmcd.cli.output import print_labels, print_line
from pointmcd.files import read_json
from pointmcd.teachers.config import TeachConfig


def teach(config: Annotated[TeachConfig, tyro.conf.arg(name="")]) -> None:
    """Train an image teacher on the views and export its outputs into the store."""
    from pointmcd.teachers.lesson import LESSONS
    from pointmcd.teachers.teach import teach as run

    print_labels(config.labels, config.store)
    folder = run(config)
    meta = read_json(folder / "teacher.json")
    lesson = LESSONS.get(config.task)
    print_line(f"{folder}: {lesson.summary(meta)}")
    if lesson.reads_parts and meta["val_shapes"]:
        _compare_with_students(folder)


def _compare_with_students(folder: Path) -> None:
    """Say how good a teacher of parts is by what `train` shows of students."""
    from pointmcd.evaluation.evaluate import evaluate_teacher
    from pointmcd.progress import console
    from pointmcd.tasks.task import task_of_teacher

    metrics = evaluate_teacher(folder, "val")
    task = task_of_teacher(folder, read_json(folder / "teacher.json")["task"])
    best = task.best_name
    caution = task.caution(metrics)
    console.print(
        f"note: for points, as train shows it of students: validation {best}"
        f" {metrics.main[best]:.1%}{f'; {caution}' if caution else ''}",
        soft_wrap=True,
    )
