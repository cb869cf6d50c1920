"""Where commands print their results."""

from rich.console import Console

#: Tables and paths, the results, go to standard output; all else to standard error.
out = Console()


def print_line(text: str) -> None:
    """Print one line of results, however long: paths are to be piped."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)
