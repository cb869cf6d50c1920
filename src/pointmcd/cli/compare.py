"""`pointmcd compare`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from pointmcd.cli.output import UsageError, out
from pointmcd.options import RUNS, Flag


def compare(
    runs: Positional[Annotated[tuple[Path, ...], RUNS]],
    baseline: Annotated[tuple[Path, ...], RUNS] = (),
    checkpoint: Literal["last", "best"] = "last",
    corrupted: Flag = False,
    markdown: Flag = False,
) -> None:
    """Compare evaluated runs: mean and std over seeds, paired differences, tests.

    Args:
        runs: Folders of runs, of any variants and seeds.
        baseline: Runs that the others are compared with; without them scores are only listed.
        checkpoint: Checkpoint of the last epoch, or the best on the validation split.
        corrupted: Compare on the clouds of pointmcd evaluate --corrupt.
        markdown: Print Markdown.
    """
    if not runs:
        raise UsageError("compare: no runs; give their folders")
    if corrupted:
        _compare_corrupted(runs, baseline, checkpoint, markdown)
        return
    from pointmcd.evaluation.compare import compare as measure
    from pointmcd.evaluation.comparison_table import comparison_table, to_markdown

    comparison = measure(runs, baseline, checkpoint)
    if markdown:
        sys.stdout.write(to_markdown(comparison))
    else:
        out.print(comparison_table(comparison))


def _compare_corrupted(
    runs: Sequence[Path],
    baseline: Sequence[Path],
    checkpoint: Literal["last", "best"],
    markdown: bool,
) -> None:
    from pointmcd.robustness.compare import compare_corrupted
    from pointmcd.robustness.tables import corrupted_markdown, corrupted_tables

    comparison = compare_corrupted(runs, baseline, checkpoint)
    if markdown:
        sys.stdout.write(corrupted_markdown(comparison))
    else:
        for table in corrupted_tables(comparison):
            out.print(table)
