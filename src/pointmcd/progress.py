"""The progress bar of all long work: count, share, time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class _Messages(Console):
    """Standard error; what a damaged file is called or holds cannot command the terminal."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does, with control characters in texts replaced by question marks."""
        super().print(*(_plain(one) if isinstance(one, str) else one for one in objects), **options)


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


#: Progress and notices go to standard error, so that tables on standard output can be piped.
console = _Messages(stderr=True, emoji=False, markup=False, highlight=False)  # module:Name, [0]


@contextmanager
def progress_bar(shown: bool = True) -> Iterator[Progress]:
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
    with Progress(*columns, console=console, refresh_per_second=4, disable=not shown) as progress:
        yield progress


@contextmanager
def repeating(call: Callable[[], object], seconds: float = 0.5) -> Iterator[None]:
    """Call again and again, from another thread, until the context is left."""
    ended = Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            call()

    thread = Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
