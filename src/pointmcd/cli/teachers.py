"""`pointmcd teachers`."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated

from rich.table import Column, Table
from rich.text import Text

from pointmcd.cli.output import out, print_line
from pointmcd.options import metavar

if TYPE_CHECKING:  # they import torch, which would slow every --help
    from pointmcd.encoders.available import EncoderEntry


def teachers(search: Annotated[str | None, metavar("WORD")] = None) -> None:
    """List the image encoders that can be used at once, without a network.

    Args:
        search: List all encoders, cached or not, by a word in their names or a pattern with *.
    """
    from pointmcd.encoders.available import list_usable
    from pointmcd.teachers.lesson import lessons_for

    found = list_usable(search)
    out.print(encoders_table(found.entries, lessons_for))
    for note in found.notes:
        print_line(note)


def encoders_table(
    entries: "Iterable[EncoderEntry]", lessons_for: Callable[[bool], list[str]]
) -> Table:
    """Return a table of image encoders: name, place of the weights, and the lessons they serve."""
    table = Table(Column("--teacher", overflow="fold"), "weights", "features", "input", "licence")
    table.add_column("tasks")
    for entry in entries:
        features = "" if entry.features is None else str(entry.features)
        cells = (entry.name, entry.weights, features, entry.size, entry.licence)
        table.add_row(*(Text(cell) for cell in (*cells, ", ".join(lessons_for(entry.maps)))))
    return table
