"""`pointmcd demo`."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from pointmcd.cli.output import TEXT, UsageError, print_line, print_tables
from pointmcd.options import metavar


def demo(
    folder: Positional[Annotated[Path, metavar("[FOLDER]")]] = Path("pointmcd-demo"),
    epochs: Annotated[int | None, metavar("INT")] = None,
) -> None:
    """Run every step on the embedded furniture set, from meshes to a report.

    Args:
        folder: Where to work; run again to go on after an interruption.
        epochs: Passes over the train split; by default as many as fit into a few minutes.
    """
    if epochs is not None and epochs < 1:
        raise UsageError(f"demo: --epochs {epochs}: is 1 or more")
    from pointmcd.demo import EPOCHS
    from pointmcd.demo import demo as run
    from pointmcd.evaluation.comparison_table import comparison_table

    found = run(folder, EPOCHS if epochs is None else epochs)
    print_tables([comparison_table(one) for one in (found.rest, found.comparison)], TEXT)
    print_line(f"accuracy by labels: {found.picture.resolve()}")
    print_line(f"report: {found.page.resolve()}")
