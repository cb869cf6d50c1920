"""`pointmcd view`."""

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from pointmcd.cli.output import free_page, print_line
from pointmcd.options import RUN, Flag, UpAxis, metavar


def view(
    subject: Positional[Annotated[tuple[Path, ...], metavar("FILE|FOLDER|STORE|RUN [...]")]],
    out_file: Annotated[Path, tyro.conf.arg(name="out", metavar="FILE")] = Path("view.html"),
    run: Annotated[Path | None, RUN] = None,
    shapes: Annotated[tuple[str, ...], metavar("NAME [NAME ...]")] = (),
    label: Annotated[str | None, metavar("CLASS")] = None,
    up: UpAxis = None,
    overwrite: Flag = False,
) -> None:
    """Write a self-contained page on which shapes can be turned: points, views, predictions.

    Args:
        subject: Mesh or cloud files, and folders of them; or a store, with the points that each
            view sees; or an evaluated run, with its predictions for test shapes, the wrong first.
        out_file: Page to write, or a folder for it.
        run: Of files: a run, or a teacher (STORE/teachers/NAME), that predicts on them.
        shapes: Of a store or run: names of shapes; by default 24.
        label: Of files: their class, if the run labels parts.
        up: Of files: axis that points up; by default that of the run's own shapes, or y.
        overwrite: Replace a page of that name.
    """
    file = free_page(out_file, "view.html", overwrite)
    from pointmcd.report.view import view as write_view

    print_line(str(write_view(subject, file, run, shapes, label, up)))
