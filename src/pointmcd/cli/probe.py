"""`pointmcd probe`."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rich.table import Table
from rich.text import Text
from tyro.conf import Positional

from pointmcd.cli.output import out
from pointmcd.options import DEVICE, RUN, RUNS, STORE, Flag

if TYPE_CHECKING:  # they import torch, which would slow every --help
    from pointmcd.probing.scores import ProbeRow


def probe(
    run: Positional[Annotated[Path, RUN]],
    store: Positional[Annotated[Path, STORE]],
    beside: Annotated[tuple[Path, ...], RUNS] = (),
    split: Literal["test", "val"] = "test",
    pooling: Literal["max", "mean", "both"] = "max",
    checkpoint: Literal["last", "best"] = "last",
    references: Flag = True,
    seed: int = 0,
    device: Annotated[str, DEVICE] = "auto",
    markdown: Flag = False,
) -> None:
    """Evaluate frozen features: SVM, kNN, few-shot, retrieval.

    Args:
        run: Folder of a run of any task.
        store: A store with class labels, the run's own or another.
        beside: More runs for the same table.
        split: Split to evaluate; test is fitted on train and val, val on train.
        pooling: Pooling of the embeddings of points to one of the shape.
        checkpoint: Checkpoint of the last epoch, or the best on the validation split.
        references: Leave out the references: random weights, and the teacher's descriptors.
        seed: Seed of folds and few-shot trials.
        device: cpu, cuda, mps or auto.
        markdown: Print Markdown.
    """
    from pointmcd.probing.cells import PROBE_NOTES, probe_markdown
    from pointmcd.probing.probe import probe as measure

    rows = measure(
        run,
        store,
        split=split,
        pooling=pooling,
        checkpoint=checkpoint,
        beside=beside,
        references=references,
        seed=seed,
        device=device,
    )
    if markdown:
        sys.stdout.write(f"{probe_markdown(rows)}\n\n{PROBE_NOTES}\n")
    else:
        out.print(probe_table(f"{store}: {split}, {pooling} pooling, in percent", rows))


def probe_table(title: str, rows: "Iterable[ProbeRow]") -> Table:
    """Return a table of scores in percent; mean and standard deviation over several seeds."""
    from pointmcd.probing.cells import PROBE_COLUMNS, PROBE_NOTES, probe_cells

    table = Table(title=Text(title), caption=Text(PROBE_NOTES))
    table.add_column("features", overflow="fold")
    for heading in PROBE_COLUMNS:
        table.add_column(heading, justify="right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in probe_cells(row)))
    return table
