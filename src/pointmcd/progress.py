"""The progress bar of all long work: count, share, time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
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


#: Seconds between lines of progress where there is no terminal.
LOG_SECONDS = 10.0
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
    live = console.is_terminal or console.is_jupyter
    with Progress(*columns, console=console, refresh_per_second=4, disable=not shown) as progress:
        lines = _Lines(progress, shown and not live)
        with repeating(lines.write, LOG_SECONDS) if lines.wanted else nullcontext():
            yield progress


class _Lines:
    """Progress as lines, for a log file or a pipe, where a bar would show nothing but its end."""

    def __init__(self, progress: Progress, wanted: bool) -> None:
        self.wanted, self._progress = wanted, progress
        self._written: dict[int, float] = {}

    def write(self) -> None:
        """Write one line for each task that went on since the last time."""
        for task in self._progress.tasks:
            if not task.finished and self._written.get(task.id) != task.completed:
                self._written[task.id] = task.completed
                total = "?" if task.total is None else f"{task.total:g}"
                left = (
                    "" if task.time_remaining is None else f", left {_clock(task.time_remaining)}"
                )
                console.print(
                    f"{task.description} {int(task.completed)}/{total}"
                    f" after {_clock(task.elapsed or 0.0)}{left} {task.fields.get('note', '')}",
                    soft_wrap=True,
                )


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))


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
