"""Tables of results: written once, for the terminal, notebooks, pandas and as Markdown."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from rich.table import Table
from rich.text import Text

from pointmcd.extras import import_extra


def result_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    title: str = "",
    notes: Sequence[str] = (),
) -> Table:
    """Return a table with its first column on the left and all others on the right.

    Names in [brackets] are not markup; `notes` are lines below the table.
    """
    table = Table(title=Text(title), caption=Text("\n".join(notes)), caption_justify="left")
    for number, column in enumerate(columns):
        table.add_column(Text(column), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def first_few(names: Sequence[str]) -> str:
    """Return names as a list in a sentence or title; of many the first five."""
    return ", ".join([*names[:5], "..."] if len(names) > 5 else names)


def table_rows(table: Table) -> list[dict[str, str]]:
    """Return the rows of a table of texts, by the titles of its columns."""
    names = [str(column.header) for column in table.columns]
    cells = zip(*(map(str, column.cells) for column in table.columns), strict=True)
    return [dict(zip(names, row, strict=True)) for row in cells]


def to_html(table: Table) -> str:
    """Return a table of texts as an HTML table, its title above it and its notes below."""
    heads = [str(column.header) for column in table.columns]
    rows = [heads, *(list(row.values()) for row in table_rows(table))]
    lines = (
        "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in row)
        for kind, row in zip(["th", *["td"] * len(rows)], rows, strict=False)
    )
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    notes = "<br>".join(map(escape, str(table.caption or "").splitlines()))
    return f"<p><b>{escape(str(table.title or ''))}</b></p><table>{body}</table><p>{notes}</p>"


def to_markdown(table: Table) -> str:
    """Return a table of texts as Markdown: its title in bold, its rows, its notes as a list.

    rich's own `box.MARKDOWN` would lose the alignment of columns and take a | in a cell for its
    end.
    """
    lines = [
        [str(column.header) for column in table.columns],
        ["---:" if column.justify == "right" else "---" for column in table.columns],
        *zip(*(map(str, column.cells) for column in table.columns), strict=True),
    ]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    rows = "\n".join(f"| {' | '.join(line)} |" for line in cells)
    notes = "\n".join(f"- {note}" for note in str(table.caption or "").splitlines())
    title = f"**{table.title}**" if str(table.title or "") else ""
    return "\n\n".join(part for part in (title, rows, notes) if part) + "\n"


def data_frame(rows: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> Any:
    """Return rows, or columns by name, as a pandas DataFrame.

    Raises:
        ConfigError: when pandas is absent.
    """
    return import_extra("pandas", "pandas", "to_frame").DataFrame(rows)


class Tabular(ABC):
    """Base of what notebooks show as a table."""

    @abstractmethod
    def _table(self) -> Table:
        """Return the table that is shown."""

    @abstractmethod
    def _records(self) -> list[dict[str, Any]]:
        """Return the rows of the frame: values by name."""

    def _repr_html_(self) -> str:
        return to_html(self._table())

    def to_frame(self) -> Any:
        """Return a pandas DataFrame; scores are fractions.

        Raises:
            ConfigError: when pandas is absent.
        """
        return data_frame(self._records())
