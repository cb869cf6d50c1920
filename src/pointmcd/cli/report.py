"""`pointmcd report`."""

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from pointmcd.cli.output import print_line


def report(
    runs: Positional[tuple[Path, ...]],
    baseline: tuple[Path, ...] = (),
    out_file: Annotated[Path, tyro.conf.arg(name="out")] = Path("report.html"),
) -> None:
    """Write one self-contained HTML page about evaluated runs.

    Args:
        runs: run folders; those of the baseline arm may be among them.
        baseline: run folders that the others are held against.
        out_file: page to write.
    """
    from pointmcd.report.page import write_report

    print_line(str(write_report(runs, out_file, baseline)))
