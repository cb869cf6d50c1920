"""`pointmcd teachers`."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated

from rich.table import Column, Table
from rich.text import Text

from pointmcd.cli.output import TEXT, FormOptions, print_tables
from pointmcd.options import metavar
from pointmcd.progress import console

if TYPE_CHECKING:  # they import torch, which would slow every --help
    from pointmcd.encoders.available import EncoderEntry


def teachers(
    search: Annotated[str | None, metavar("WORD")] = None, form: FormOptions = TEXT
) -> None:
    """List the image encoders that can be used at once, without a network.

    Args:
        search: List all encoders, cached or not, by a word in their names or a pattern with *.
        form: Form of the table.
    """
    from pointmcd.encoders.available import list_usable
    from pointmcd.teachers.lesson import lessons_for

    found = list_usable(search)
    print_tables([encoders_table(found.entries, lessons_for)], form)
    for note in found.notes:
        console.print(note, soft_wrap=True)


def encoders_table(
    entries: "Iterable[EncoderEntry]", lessons_for: Callable[[bool], list[str]]
) -> Table:
    """Return a table of image encoders: name, place of the weights, and the lessons they serve."""
    names = ("weights", "features", "input", "licence", "tasks")
    table = Table(Column("--teacher", no_wrap=True), *(Column(n, overflow="fold") for n in names))
    for entry in entries:
        features = "" if entry.features is None else str(entry.features)
        cells = (entry.name, entry.weights, features, entry.size, entry.licence)
        table.add_row(*(Text(cell) for cell in (*cells, ", ".join(lessons_for(entry.maps)))))
    return table
