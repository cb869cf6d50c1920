"""Label files: CSV tables that name the classes of some shapes (`path,class`)."""

import csv
import re
import unicodedata
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from pointmcd.data.shape_names import ShapeNames, composed
from pointmcd.errors import ConfigError
from pointmcd.files import replacing

#: What is wrong with two classes that `alike` finds.
ALIKE = "the same but for case, blanks or Unicode; rename one"
#: The label file in the folder of a run or teacher that learnt from one.
LABELS = "labels.csv"
#: Names of the columns of paths and classes; where a table has several, the first here counts.
_PATHS = ("path", "file", "filename", "file_name", "filepath", "file_path", "name", "shape")
_CLASSES = ("class", "label", "category")
_SPLITS = ("train", "val", "test")
#: Excel's first line that names the separator.
_SEPARATOR = re.compile(r"sep=([,;|\t])\r?(?:\n|$)", re.IGNORECASE)


class LabelRow(NamedTuple):
    """One line of a label file.

    Attributes:
        path: of the shape's file, or its name in the store.
        label: its class.
        split: "train", "val" or "test"; None where the file does not say.
        line: number of the line, from 1.
    """

    path: str
    label: str
    split: str | None = None
    line: int = 0


def read_labels(path: str | Path, empty: bool = False) -> list[LabelRow]:
    """Read a label file: columns `path`, `class` and maybe `split`, separated by `,`, `;` or tabs.

    A first line that names no columns is a shape. Rows without a class are left out.

    Args:
        path: the file.
        empty: whether it may hold no labels yet.

    Raises:
        ConfigError: when the file cannot be read, a line is none of a label file, or two classes
            differ in case alone.
    """
    columns, table = _columns(path)
    rows = [_row(path, line, cells, columns) for line, cells in table]
    if pair := alike(row.label for row in rows):
        raise ConfigError(f"--labels {path}: classes {pair[0]!a} and {pair[1]!a}: {ALIKE}")
    if not empty and not any(row.label for row in rows):
        raise ConfigError(f"--labels {path}: holds no labels; its columns are path and class")
    return [row for row in rows if row.label]


def alike(labels: Iterable[str]) -> tuple[str, str] | None:
    """Return two classes that most people would read as one, like `Chair` and `chair `."""
    seen: dict[str, str] = {}
    for label in sorted(set(labels)):
        plain = " ".join(unicodedata.normalize("NFKC", label).casefold().split())
        if (other := seen.setdefault(plain, label)) != label:
            return other, label
    return None


def labels_summary(path: str | Path) -> str:
    """Return what a label file holds, in one line.

    Raises:
        ConfigError: as `read_labels`.
    """
    counts = Counter(row.label for row in read_labels(path))
    each = ", ".join(f"{label} {count}" for label, count in sorted(counts.items()))
    shapes = f"{counts.total():,} labelled shape{'s' * (counts.total() > 1)}"
    return f"{path}: {shapes} of {len(counts)} classes: {each}"


#: A table's lines: their numbers, from 1, and their cells.
Table = list[tuple[int, list[str]]]


def read_table(path: str | Path) -> tuple[list[str], Table]:
    """Read a table with cells separated by `,`, `;` or tabs; lines without content are left out.

    A first line like Excel's `sep=;` names the separator. Cells are in composed Unicode.

    Returns:
        The first line's cells in small letters (none of an empty file), and all lines.

    Raises:
        ConfigError: when the file cannot be read.
    """
    try:
        content = Path(path).read_bytes()
        wide = content.startswith((BOM_UTF16_LE, BOM_UTF16_BE))  # Excel's "Unicode text"
        text = content.decode("utf-16" if wide else "utf-8-sig")  # a name may hold line ends
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or ("is not UTF-8 text; save it as CSV UTF-8")
        raise ConfigError(f"--labels {path}: cannot be read: {reason}") from error
    first = text.partition("\n")[0]
    delimiter = next((mark for mark in "\t;" if mark in first and "," not in first), ",")
    above = 0
    if named := _SEPARATOR.match(text):
        delimiter, text, above = named[1], text[named.end() :], 1
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        lines = [(above + reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise ConfigError(
            f"--labels {path}: line {above + reader.line_num}: a quote is left open"
        ) from error
    table = [(line, [*map(composed, cells)]) for line, cells in lines if any(map(str.strip, cells))]
    return [cell.strip().lower() for cell in table[0][1]] if table else [], table


def is_part_file(path: str | Path) -> bool:
    """Return whether a label file names parts of clusters (data/part_labels.py), not classes.

    Raises:
        ConfigError: when the file cannot be read.
    """
    return _names_parts(read_table(path)[0])


def _names_parts(head: list[str]) -> bool:
    return {"cluster", "part"} <= set(head)


def _columns(path: str | Path) -> tuple[list[int], Table]:
    """Return the positions of path, class and split, and the lines below the header, if any."""
    head, table = read_table(path)
    if _names_parts(head):
        raise ConfigError(
            f"--labels {path}: names parts, not classes; it is for teach and train with --task"
            " segmentation"
        )
    paths = [head.index(name) for name in _PATHS if name in head]
    classes = [head.index(name) for name in _CLASSES if name in head]
    if not (paths or classes):
        return [0, 1, 2], table
    if not (paths and classes):
        lacking = f"classes: call it {' or '.join(_CLASSES)}"
        if classes:
            lacking = f"paths: call it {' or '.join((*_PATHS[:2], *_PATHS[-2:]))}"
        raise ConfigError(
            f"--labels {path}: line {table[0][0]} ({', '.join(head)}) names no column of {lacking};"
            " if it is a shape, put path,class above it"
        )
    splits = [i for i, cell in enumerate(head) if cell == "split"]
    return [paths[0], classes[0], *splits[:1]], table[1:]


def other_columns(path: str | Path) -> list[str]:
    """Return the columns of a label file that `write_labels` would not keep, by name or number.

    Raises:
        ConfigError: when the file cannot be read.
    """
    head, table = read_table(path)
    kept, rows = _columns(path)
    filled = {i for _, cells in rows for i, cell in enumerate(cells) if cell.strip()}
    named = head if len(rows) < len(table) else []
    return [
        named[i] if i < len(named) and named[i] else f"column {i + 1}"
        for i in sorted(filled.difference(kept))
    ]


def _row(path: str | Path, line: int, cells: list[str], columns: list[int]) -> LabelRow:
    here = f"--labels {path}: line {line}"
    if len(cells) <= max(columns[:2]):
        raise ConfigError(
            f"{here}: has no class; write path,class, or name these columns in the first line"
        )
    split = "".join(cells[i].strip().lower() for i in columns[2:] if i < len(cells))
    if split and split not in _SPLITS:
        if line == 1 and not _is_path(cells[0]):
            raise ConfigError(f"{here} {_header(cells)}")
        hint = "; name its columns in the first line: path, class, split" * (line == 1)
        raise ConfigError(f"{here}: split {split}: use one of {', '.join(_SPLITS)}, or none{hint}")
    return LabelRow(cells[columns[0]], cells[columns[1]].strip(), split or None, line)


def write_labels(path: str | Path, rows: Sequence[LabelRow]) -> None:
    """Write a label file; the same rows give the same bytes."""
    split = any(row.split for row in rows)
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "class", "split"][: 2 + split])
        writer.writerows([row.path, row.label, row.split or ""][: 2 + split] for row in rows)


def match_labels(
    names: Sequence[str],
    path: Path,
    where: Path,
    empty: bool = False,
    file_of: Callable[[int], str | None] = lambda index: None,
) -> dict[int, LabelRow]:
    """Return the row of each labelled shape of a label file, by its position in `names`.

    Args:
        names: of the shapes.
        path: of the label file, whose paths are what `ShapeNames` finds.
        where: the store or source that holds the shapes, for errors.
        empty: whether the file may hold no labels yet.
        file_of: returns the file of a shape, or None where it is not known.

    Raises:
        ConfigError: when a path names no shape, or a shape has two classes.
    """
    shapes = ShapeNames(names, where, file_of)
    rows = read_labels(path, empty)
    found: dict[int, LabelRow] = {}
    for row in rows:
        index = shapes.find(row.path)
        if index is None:
            others = (shapes.find(other.path) for other in rows[1:])
            header = row is rows[0] and any(i is not None for i in others) and unnamed_header(rows)
            told = header or f"line {row.line}: {shapes.unknown(row.path)}"
            raise ConfigError(f"--labels {path}: {told}")
        known = found.setdefault(index, row)
        if (known.label, known.split) != (row.label, row.split):
            raise ConfigError(
                f"--labels {path}: lines {known.line} and {row.line} say of {names[index]}"
                f" {known.label} and {row.label}; keep one"
            )
    return found


def unnamed_header(rows: Sequence[LabelRow]) -> str:
    """Say that the first row, if it alone names no shape, looks like a header; "" if it does not.

    A header has the form of no path, and nothing in it occurs again.
    """
    first, *others = rows
    again = any(first.path == row.path or first.label == row.label for row in others)
    if again or _is_path(first.path):
        return ""
    return f"line {first.line} {_header((first.path, first.label))}"


def _is_path(text: str) -> bool:
    return any(mark in text for mark in "./\\")


def _header(cells: Iterable[str]) -> str:
    return f"({', '.join(cells)}) looks like a header; call its columns path and class"
