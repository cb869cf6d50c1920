"""`pointmcd demo`."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from pointmcd.cli.output import out, print_line
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
    from pointmcd.demo import EPOCHS
    from pointmcd.demo import demo as run
    from pointmcd.evaluation.comparison_table import comparison_table

    found = run(folder, EPOCHS if epochs is None else epochs)
    for comparison in (found.rest, found.comparison):
        out.print(comparison_table(comparison))
    print_line(f"accuracy by labels: {found.picture.resolve()}")
    print_line(f"report: {found.page.resolve()}")
