"""What commands share: where results are printed, and the mistakes that only a caller can make."""

from typing import NoReturn

from rich.console import Console

from pointmcd.errors import PointMCDError


class UsageError(PointMCDError):
    """A command that is called wrongly: it exits with status 2, as what cannot be parsed does."""


class _Output(Console):
    """Standard output; `main` decides what follows when its reader has gone."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


#: Tables and paths, the results, go to standard output; all else to standard error.
out = _Output()


def print_line(text: str) -> None:
    """Print one line of results, however long: paths are to be piped."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)
