"""`pointmcd download`."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.table import Column, Table
from rich.text import Text
from tyro.conf import Positional

from pointmcd.cli.output import TEXT, FormOptions, print_line, print_tables
from pointmcd.options import metavar
from pointmcd.progress import console

if TYPE_CHECKING:  # it would slow every --help
    from pointmcd.datasets.base import DataSet


def download(
    name: Positional[Annotated[str | None, metavar("[NAME]")]] = None,
    folder: Positional[Annotated[Path, metavar("[FOLDER]")]] = Path(),
    layout: Annotated[str | None, metavar("LAYOUT")] = None,
    form: FormOptions = TEXT,
) -> None:
    """Download a public data set if its licence allows that, or say how to get it.

    Args:
        name: The data set; all are listed without it.
        folder: Where to put the archive; run again to go on after an interruption.
        layout: Form of the data set, if it has several.
        form: Form of the list that is printed without NAME.
    """
    from pointmcd.datasets.download import download as run
    from pointmcd.datasets.download import licence_notice
    from pointmcd.datasets.registry import get_data_set, list_data_sets

    if name is None:
        every = [get_data_set(one) for one in list_data_sets()]
        print_tables([_data_sets_table(every)], form, [*map(_record, every)])
        return
    data_set = get_data_set(name)
    console.print(licence_notice(data_set), soft_wrap=True)
    fetched = run(name, folder, layout)
    held = "as published" if fetched.published else "no checksum is known to compare with"
    console.print(f"sha256 {fetched.sha256} ({held})", soft_wrap=True)
    print_line(str(fetched.path))


def _data_sets_table(data_sets: "Iterable[type[DataSet]]") -> Table:
    """Return a table of data sets: name, then content, source and licence, a line each."""
    about = Column("what it is, how to get it, licence", overflow="fold")
    table = Table(Column("name", no_wrap=True), about, show_lines=True)
    for one in data_sets:
        name, *lines = _record(one).values()
        table.add_row(Text(name), Text("\n".join(lines)))
    return table


def _record(one: "type[DataSet]") -> dict[str, str]:
    fetched = any(layout.archive is not None for layout in one.layouts)
    how = f"pointmcd download {one.name}" if fetched else f"by hand: {one.home}"
    return {"name": one.name, "title": one.title, "how": how, "licence": one.licence}
