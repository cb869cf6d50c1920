"""`pointmcd compare`."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from pointmcd.cli.output import TEXT, FormOptions, UsageError, print_tables, without_folds
from pointmcd.options import RUNS, Flag, metavar


def compare(
    runs: Positional[Annotated[tuple[Path, ...], RUNS]],
    baseline: Annotated[tuple[Path, ...], RUNS] = (),
    checkpoint: Literal["last", "best"] = "last",
    split: Literal["test", "rest", "folds"] = "test",
    corrupted: Flag = False,
    voting: Annotated[int, metavar("K")] = 1,
    form: FormOptions = TEXT,
) -> None:
    """Compare evaluated runs: mean and std over seeds, paired differences, tests.

    Args:
        runs: Folders of runs, of any variants and seeds.
        baseline: Runs that the others are compared with; without them scores are only listed.
        checkpoint: Checkpoint of the last epoch, or the best on the validation split.
        split: The test split; rest: the shapes of train and test whose labels no run knew; or
            folds: the labelled shapes, each classified by a fold trained without it (the latter two
            of pointmcd evaluate --split).
        corrupted: Compare on the clouds of pointmcd evaluate --corrupt.
        voting: Compare the results of pointmcd evaluate --voting K, of every run.
        form: Form of the output.
    """
    runs, baseline = without_folds(runs), without_folds(baseline)
    if not runs:
        raise UsageError("compare: no runs; give their folders")
    if corrupted and voting != 1:
        raise UsageError(f"compare: --voting {voting}: not with --corrupted; leave one out")
    if corrupted and split != "test":
        raise UsageError(f"compare: --split {split}: not with --corrupted; leave one out")
    if corrupted:
        from pointmcd.robustness.result import compare_corrupted
        from pointmcd.robustness.tables import comparison_errors, corrupted_tables

        measured = compare_corrupted(runs, baseline, checkpoint)
        tables, records = corrupted_tables(measured), comparison_errors(measured)
    else:
        from pointmcd.evaluation.compare import compare as compare_clean
        from pointmcd.evaluation.comparison_table import comparison_records, comparison_table

        found = compare_clean(runs, baseline, checkpoint, voting=voting, split=split)
        tables, records = [comparison_table(found)], comparison_records(found)
    print_tables(tables, form, records)
