"""`pointmcd probe`."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.table import Table
from rich.text import Text
from tyro.conf import Positional

from pointmcd.cli.output import out
from pointmcd.probing.cells import PROBE_COLUMNS, PROBE_NOTES, probe_cells, probe_markdown

if TYPE_CHECKING:  # they import torch, which would slow every --help
    from pointmcd.probing.scores import ProbeRow


def probe(
    run: Positional[Path],
    store: Positional[Path],
    beside: tuple[Path, ...] = (),
    split: Literal["test", "val"] = "test",
    pooling: Literal["max", "mean", "both"] = "max",
    checkpoint: Literal["last", "best"] = "last",
    references: bool = True,
    seed: int = 0,
    device: str = "auto",
    markdown: bool = False,
) -> None:
    """Judge a frozen student: linear SVM, neighbours, few-shot, retrieval, beside references.

    Args:
        run: run folder, of any task; its student is probed as it is.
        store: store with class labels, the run's own or another.
        beside: other runs for the same table.
        split: part to read on; test is fitted on train and val, val on train alone.
        pooling: how the embeddings of the points become one of the shape.
        checkpoint: last epoch, or best on the validation part.
        references: leave out the student of random weights and the teacher's own descriptors.
        seed: seed of folds and few-shot trials.
        device: cpu, cuda, mps or auto.
        markdown: print Markdown.
    """
    from pointmcd.probing.probe import probe as measure

    rows = measure(
        *(run, store),
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
    """Scores of frozen encoders, in percent; mean and deviation where there are several seeds."""
    table = Table(title=Text(title), caption=Text(PROBE_NOTES))
    table.add_column("features", overflow="fold")
    for heading in PROBE_COLUMNS:
        table.add_column(heading, justify="right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in probe_cells(row)))
    return table
