"""`pointmcd compare`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from pointmcd.cli.output import out


def compare(
    runs: Positional[tuple[Path, ...]],
    baseline: tuple[Path, ...] = (),
    checkpoint: Literal["last", "best"] = "last",
    corrupted: bool = False,
    markdown: bool = False,
) -> None:
    """Compare evaluated runs: mean and deviation over seeds, paired difference, paired test.

    Args:
        runs: run folders of any arms and seeds.
        baseline: run folders that the others are held against.
        checkpoint: last epoch, or best on the validation part.
        corrupted: on the clouds that `evaluate --corrupt` made.
        markdown: print Markdown.
    """
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
