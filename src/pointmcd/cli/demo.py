"""`pointmcd demo`."""

from pathlib import Path

from tyro.conf import Positional

from pointmcd.cli.output import out, print_line


def demo(folder: Positional[Path] = Path("pointmcd-demo"), epochs: int | None = None) -> None:
    """All of it on the embedded furniture set: a baseline beside a distilled student, and a page.

    Args:
        folder: where to work; run again to go on after an interruption.
        epochs: passes over the train part; by default as many as fit into a few minutes.
    """
    from pointmcd.demo import EPOCHS
    from pointmcd.demo import demo as run
    from pointmcd.evaluation.comparison_table import comparison_table

    result = run(folder, EPOCHS if epochs is None else epochs)
    out.print(comparison_table(result.comparison))
    print_line(f"report: {result.page.resolve()}")
