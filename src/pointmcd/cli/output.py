"""Printing of results, and the usage errors of commands."""

from collections.abc import Iterable
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from pointmcd.errors import PointMCDError
from pointmcd.tables import to_markdown


class UsageError(PointMCDError):
    """A wrong call of a command; it exits with status 2, like arguments that cannot be parsed."""


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
