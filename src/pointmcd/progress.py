"""The one progress bar of all long work: count, share, time left."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")

#: Progress and notices go to standard error, so that tables on standard output can be piped.
console = Console(stderr=True)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Yield a rich `Progress` with description, bar, count, elapsed time and time left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        yield progress


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Iterate over `items` behind a progress bar."""
    with progress_bar() as progress:
        task = progress.add_task(description, total=total, note="")
        for item in items:
            yield item
            progress.advance(task)
