"""`pointmcd teach`."""

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
    print_line(f"{folder}: {LESSONS.get(config.task).summary(meta)}")
