"""The progress bar of all long work: count, share, time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from importlib.util import find_spec
from threading import Event, Thread
from time import perf_counter
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
from rich.table import Column


class _Messages(Console):
    """Standard error; what a damaged file is called or holds cannot command the terminal.

    Attributes:
        bars: whether progress is shown beside notices.
        told: kinds of notes that are not to be printed again; None: all are printed.
    """

    bars = True
    told: set[str] | None = None

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does, with control characters in texts replaced by question marks."""
        super().print(*(_plain(one) if isinstance(one, str) else one for one in objects), **options)


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


#: Width of a terminal with room for everything, and of all but the name and the bar.
_WIDE, _OTHERS = 130, 72
#: Seconds between lines of progress where there is no terminal.
LOG_SECONDS = 5.0
#: Seconds that a task must take for `Estimate` to say so.
LONG_SECONDS = 60.0
#: Seconds that steps are measured for: at least, where they are many; at most, where they are slow.
_LEAST_SECONDS, _MOST_SECONDS = 1.0, 10.0
#: Progress and notices go to standard error, so that tables on standard output can be piped.
console = _Messages(stderr=True, emoji=False, markup=False, highlight=False)  # module:Name, [0]


def note(text: str, kind: str = "") -> None:
    """Print a note, of any length on one line; within `notes_once` the first of its kind alone."""
    if console.told is not None and not console.quiet:
        if (kind or text) in console.told:
            return
        console.told.add(kind or text)
    console.print(f"note: {text}", soft_wrap=True)


@contextmanager
def notes_once() -> Iterator[None]:
    """Print every note once, and one of each kind, until the context is left."""
    before, console.told = console.told, set()
    try:
        yield
    finally:
        console.told = before


@contextmanager
def silent(wanted: bool = True) -> Iterator[None]:
    """Show neither progress nor notices until the context is left, if that is wanted."""
    before = console.quiet
    console.quiet = before or wanted
    try:
        yield
    finally:
        console.quiet = before


@contextmanager
def bars_hidden() -> Iterator[None]:
    """Hide progress bars, but not notices, until the context is left."""
    before, console.bars = console.bars, False
    try:
        yield
    finally:
        console.bars = before


@contextmanager
def progress_bar(shown: bool = True) -> Iterator[Progress]:
    """Yield a rich `Progress` with description, bar, count, elapsed time and time left."""
    shown = shown and console.bars
    # On a narrow terminal name and bar are short, never the times.
    narrow = console.width < _WIDE
    name = Column(no_wrap=True, overflow="ellipsis", max_width=_name_width())
    columns = (
        TextColumn("{task.description}", table_column=name),
        BarColumn(
            bar_width=None if narrow else 40, table_column=Column(ratio=1 if narrow else None)
        ),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    widgets = find_spec("ipywidgets") is not None  # without, rich shows nothing in a notebook
    live = console.is_terminal or (console.is_jupyter and widgets)
    hidden = not (shown and live)
    options: dict[str, Any] = {"expand": narrow, "refresh_per_second": 4, "disable": hidden}
    with Progress(*columns, console=console, **options) as progress:
        lines = _Lines(progress)
        with repeating(lines.write, LOG_SECONDS) if shown and not live else nullcontext():
            yield progress
    if shown and not live:
        lines.write(last=True)


def _name_width() -> int:
    return max(console.width - _OTHERS, 10)


def fitting(name: str) -> str:
    """Return a name, in a narrow terminal its end alone: by that, runs are told apart."""
    if not console.is_terminal or len(name) <= _name_width():
        return name
    return f"…{name[1 - _name_width() :]}"


class _Lines:
    """Progress as lines, for a log file or a pipe, where a bar would show nothing but its end."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._written: dict[int, float] = {}

    def write(self, last: bool = False) -> None:
        """Write a line for each task that went on since the last time; `last`: for all of them."""
        for task in self._progress.tasks:
            if last or (not task.finished and self._written.get(task.id) != task.completed):
                self._written[task.id] = task.completed
                total = "?" if task.total is None else f"{task.total:g}"
                left = "" if last or task.time_remaining is None else _clock(task.time_remaining)
                line = (
                    f"{task.description} {int(task.completed)}/{total}"
                    f" after {_clock(task.elapsed or 0.0)}{left and f', left {left}'}"
                    f" {task.fields.get('note', '')}"
                )
                console.print(line.rstrip(), soft_wrap=True)


class Estimate:
    """One line on how long a task will take, said once its first steps have been measured.

    Nothing is said of less than a minute.

    Args:
        total: steps of the work.
        steps: what they are called.
        skipped: first steps that are not measured: code is compiled in them, files are opened.
        least: steps to measure, unless they take more than ten seconds.
        wait: waits for a device that computes by itself.
        shown: False: say nothing.
    """

    def __init__(
        self,
        total: int,
        steps: str = "steps",
        skipped: int = 1,
        least: int = 3,
        wait: Callable[[], object] = lambda: None,
        shown: bool = True,
    ) -> None:
        self.total, self.steps, self.skipped, self.least = total, steps, skipped, least
        self.wait, self._begun, self._open = wait, (0, 0.0), shown and console.bars

    def reach(self, done: int, note: str = "") -> None:
        """Take the time after so many steps; say the estimate, ending in a note, when it is due."""
        first, begun = self._begun
        if not self._open or done < self.skipped:
            return
        if not begun:
            self.wait()
            self._begun = done, perf_counter()
            return
        measured, seconds = done - first, perf_counter() - begun
        enough = measured >= self.least and seconds >= _LEAST_SECONDS
        if not measured or not (enough or seconds >= _MOST_SECONDS):
            return
        self._open = False
        self.wait()
        each = (perf_counter() - begun) / measured
        if each * self.total >= LONG_SECONDS:
            console.print(
                f"about {duration(each * self.total)}: {self.total:,} {self.steps}, {each:.3g} s"
                f" each (measured on {measured}){note}",
                soft_wrap=True,
            )


def duration(seconds: float) -> str:
    """Return a time from a minute up, in words."""
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
    hours = seconds / 3600
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"


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
