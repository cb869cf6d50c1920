"""`pointmcd report`."""

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from pointmcd.cli.output import UsageError, free_page, print_line, without_folds
from pointmcd.options import RUNS, Flag


def report(
    runs: Positional[Annotated[tuple[Path, ...], RUNS]],
    baseline: Annotated[tuple[Path, ...], RUNS] = (),
    out_file: Annotated[Path, tyro.conf.arg(name="out", metavar="FILE")] = Path("report.html"),
    view: Flag = False,
    overwrite: Flag = False,
) -> None:
    """Write a self-contained HTML page about evaluated runs.

    Args:
        runs: Folders of runs; the baseline's may be included.
        baseline: Runs that the others are compared with; by default those without a teacher.
        out_file: Page to write.
        view: Add shapes that can be turned by hand, with what is predicted of them and what each
            view sees (extra view); the page is 5 MB larger.
        overwrite: Replace a page of that name.
    """
    runs, baseline = without_folds(runs), without_folds(baseline)
    if not runs:
        raise UsageError("report: no runs; give their folders")
    page = free_page(out_file, "report.html", overwrite)
    from pointmcd.report.page import write_report

    print_line(str(write_report(runs, page, baseline, view=view)))
