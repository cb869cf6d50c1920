"""What commands share: where results are printed, and the mistakes that only a caller can make."""

from collections.abc import Iterable
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from pointmcd.errors import PointMCDError
from pointmcd.tables import to_markdown


class UsageError(PointMCDError):
    """A command that is called wrongly: it exits with status 2, as what cannot be parsed does."""


class _Output(Console):
    """Standard output; `main` decides what follows when its reader has gone."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


#: Tables and paths, the results, go to standard output; all else to standard error.
out = _Output(emoji=False)


def print_line(text: str) -> None:
    """Print one line of results, however long: paths are to be piped."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def print_tables(tables: Iterable[Table], markdown: bool) -> None:
    """Print tables, or their Markdown as it is."""
    for number, table in enumerate(tables):
        if markdown:
            out.file.write("\n" * bool(number) + to_markdown(table))
        else:
            out.print(table)
