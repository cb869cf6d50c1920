"""Printing of results, and the usage errors of commands."""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text
from tyro.conf import arg

from pointmcd.errors import ConfigError, PointMCDError
from pointmcd.files import page_file
from pointmcd.options import Flag
from pointmcd.tables import first_few, table_rows, to_markdown

if TYPE_CHECKING:
    from pointmcd.data.records import ShapeRecord
    from pointmcd.data.store import Store


class UsageError(PointMCDError):
    """A wrong call of a command; it exits with status 2, like arguments that cannot be parsed."""


class _Output(Console):
    """Standard output; `main` decides what follows when its reader has gone."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


#: Likeness of two names of classes, up to 1, from which one may be the other misspelt.
_NEAR = 0.8
#: Columns of a table that goes into a file.
_WIDEST = 10_000
#: Tables and paths, the results, go to standard output; all else to standard error.
out = _Output(emoji=False)


def print_line(text: str) -> None:
    """Print one line of results, however long: paths are to be piped."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def without_folds(runs: Iterable[Path]) -> tuple[Path, ...]:
    """Return run folders without those of folds, which a pattern such as `mine-*` finds too."""
    return tuple(
        run for run in runs if (run / "run.json").exists() or not (run / "folds.json").exists()
    )


def print_labels(file: Path | None, store: Path, folds: bool = False) -> None:
    """Say on standard error what a label file holds, if there is one that names classes.

    With `folds`, also which of these shapes the folds leave out.

    What is wrong with the file or the store is left to what comes next, which tells it to all
    processes of a launch.
    """
    from pointmcd.data.labels import is_part_file, labels_summary
    from pointmcd.data.store import Store
    from pointmcd.progress import console, note

    with suppress(PointMCDError):
        if file is not None and not is_part_file(file):
            opened = Store(store, file)
            console.print(labels_summary(file), soft_wrap=True)
            known = [shape for shape in opened.shapes if shape.label is not None]
            counts = Counter(shape.split for shape in known)
            told = [f"{counts[one]} in {one}" for one in ("train", "val", "test") if counts[one]]
            console.print(f"{store}: labelled shapes: {', '.join(told)}", soft_wrap=True)
            for text in _doubts(file, opened, known):
                note(text)
            if folds and counts["test"]:
                note(_untried(opened, len(known) - counts["test"], counts["test"]))


def _untried(store: "Store", tried: int, tested: int) -> str:
    """Say that folds leave out the labelled test shapes, and how to have these count as well."""
    from pointmcd.files import read_json

    source = Path(read_json(store.path / "plan.json")["source"])
    remedy = "prepare with --test-fraction 0, which draws no test split"
    if source.exists():  # files of one's own: whether drawn or of folders, their splits go
        remedy = f"pointmcd prepare {source},labels=none makes a store without test split"
    return (
        f"{store.path}: --folds takes turns with {tried} labelled shapes; {tested} more are in the"
        f" test split, which stays out. To have all count: {remedy}"
    )


def _doubts(file: Path, store: "Store", known: Sequence["ShapeRecord"]) -> Iterator[str]:
    """Yield what is odd in a label file, for a store that was opened with it."""
    learnt = Counter(str(shape.label) for shape in known if shape.split == "train")
    if alone := sorted(label for label, count in learnt.items() if count == 1):
        yield f"{file}: has only one training example of {first_few(alone)}; label more"
    yield from _misspelt(file, Counter(str(shape.label) for shape in known))
    tested = {str(shape.label) for shape in known if shape.split == "test"}
    if unlearnt := sorted(tested - learnt.keys()):
        yield (
            f"{store.path}: no training example of {first_few(unlearnt)}, which test shapes"
            " are: a model names only what it has learnt"
        )
    if own := store.ignored_classes:
        yield (
            f"{store.path}: its own classes ({first_few(own)}) are none of those in {file}:"
            " they are not used, nor are test shapes that the file does not name; pointmcd prepare"
            " PATH,labels=none makes a store without them"
        )


def _misspelt(file: Path, counts: Counter[str]) -> Iterator[str]:
    """Yield a line for each class of one shape whose name is nearly that of a larger class."""
    for label in sorted(label for label, count in counts.items() if count == 1):
        larger = [other for other, count in counts.items() if count > 1]
        near = get_close_matches(label, larger, n=1, cutoff=_NEAR)
        if near and re.sub(r"\d+", "", label) != re.sub(r"\d+", "", near[0]):  # numbers differ
            yield f"{file}: class {label} has one shape; is {near[0]} meant?"


def free_page(out: Path, name: str, overwrite: bool) -> Path:
    """Return the file of a page that is to be written, unless it is there already.

    Raises:
        ConfigError: when it is, and may not be replaced.
    """
    file = page_file(out, name)
    check_free("--out", file, overwrite)
    return file


def check_free(option: str, file: Path, overwrite: bool, reads: Iterable[Path | None] = ()) -> None:
    """Refuse, before any work, a file that is to be written and is there already.

    Raises:
        ConfigError: when it may not be replaced, is a folder, or the command `reads` it.
    """
    if file.is_dir():
        raise ConfigError(f"{option} {file}: is a folder; name a file")
    if file.exists() and not overwrite:
        raise ConfigError(f"{option} {file}: exists; name another file, or give --overwrite")
    if any(one and one.exists() and one.samefile(file) for one in reads if file.exists()):
        raise ConfigError(f"{option} {file}: is read by this command; name another file")


@dataclass(frozen=True)
class Form:
    """Form in which tables are printed."""

    markdown: Flag = False
    """Print Markdown."""
    json: Flag = False
    """Print JSON: a list with an object for each row."""
    csv: Flag = False
    """Print CSV."""


#: The type of a command's parameter `form`, and its default: tables for people.
FormOptions = Annotated[Form, arg(name="")]
TEXT = Form()


def print_tables(
    tables: Iterable[Table], form: Form, records: Sequence[Mapping[str, Any]] | None = None
) -> None:
    """Print tables in a form.

    Args:
        tables: what people read.
        form: one of its switches, or none.
        records: the same for programs, JSON values by name; by default the texts of the tables.

    Raises:
        UsageError: when several forms are asked for.
    """
    if form.markdown + form.json + form.csv > 1:
        raise UsageError("--markdown, --json and --csv: choose one")
    if form.json or form.csv:
        given = [row for table in tables for row in table_rows(table)]
        _print_records(given if records is None else records, form.json)
        return
    for number, table in enumerate(tables):
        if form.markdown:
            out.file.write("\n" * bool(number) + to_markdown(table))
        else:
            _print_table(table)


def _print_table(table: Table) -> None:
    """Print a table as wide as the terminal, and where there is none as wide as its cells.

    The title takes one line, whatever its length: rich would fold it to the table's width. Where a
    terminal is too narrow for the longest words, rows are blocks of lines: no name is broken.
    """
    if table.title:
        out.print(Text(str(table.title), style="table.title"), soft_wrap=True)
    bare = copy(table)
    bare.title = None
    size = Measurement.get(out, out.options.update(max_width=_WIDEST), bare)
    if not (out.is_terminal or "COLUMNS" in os.environ):  # a file, or a program that searches it
        _Output(emoji=False, width=size.maximum).print(bare)
    elif size.maximum <= out.width:
        out.print(bare)
    elif fitted := _fitted(bare, out.width - size.minimum):
        out.print(fitted)
    else:
        for row in table_rows(bare):
            print_line("\n".join(f"{name}: {text}" for name, text in row.items()) + "\n")
        if bare.caption:
            print_line(str(bare.caption))


def _fitted(table: Table, spare: int) -> Table | None:
    """Give each column the width of its longest word, or cell if it may not fold; None: no room.

    What is left of `spare` is shared among those that fold: rich itself takes width from the widest
    columns, and breaks their words.
    """
    fitted = copy(table)
    fitted.columns = [copy(column) for column in table.columns]
    options = out.options.update(max_width=_WIDEST)
    sizes = [
        [Measurement.get(out, options, cell) for cell in (column.header, *column.cells)]
        for column in table.columns
    ]
    most = [max(size.maximum for size in column) for column in sizes]
    words = [max(size.minimum for size in column) for column in sizes]
    least = [
        whole if column.no_wrap else word
        for column, whole, word in zip(table.columns, most, words, strict=True)
    ]
    spare -= sum(least) - sum(words)
    if spare < 0:
        return None
    wanted = sorted(range(len(most)), key=lambda place: most[place] - least[place])
    for waiting, place in zip(range(len(most), 0, -1), wanted, strict=True):
        more = min(most[place] - least[place], spare // waiting)
        fitted.columns[place].width = least[place] + more
        spare -= more
    return fitted


def _print_records(records: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    if as_json:
        plain = not out.encoding.startswith("utf")  # else ü becomes \\xfc, which is no JSON
        out.file.write(json.dumps(records, indent=1, ensure_ascii=plain) + "\n")
        return
    columns = list(dict.fromkeys(name for record in records for name in record))
    writer = csv.DictWriter(out.file, columns, lineterminator="\n")
    writer.writeheader()
    for record in records:
        texts = {name: _joined(v) for name, v in record.items() if isinstance(v, list)}
        writer.writerow({**record, **texts})


def _joined(values: Sequence[object]) -> str:
    """A list in a cell; texts may have spaces."""
    between = "; " if any(isinstance(value, str) for value in values) else " "
    return between.join(map(str, values))
