"""`pointmcd map`."""

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from pointmcd.cli.output import free_page, print_line
from pointmcd.options import DEVICE, RUN, STORE, Flag, metavar


def map_page(
    store: Positional[Annotated[Path, STORE]],
    out_file: Annotated[Path, tyro.conf.arg(name="out", metavar="FILE")] = Path("map.html"),
    run: Annotated[Path | None, RUN] = None,
    teacher: Annotated[str | None, metavar("TEACHER")] = None,
    labels: Annotated[Path | None, metavar("FILE")] = None,
    device: Annotated[str, DEVICE] = "auto",
    overwrite: Flag = False,
) -> None:
    """Write a self-contained page with a map of all shapes, twins (near-duplicates) and outliers.

    Args:
        store: Folder of the store.
        out_file: Page to write, or a folder for it.
        run: Run whose student embeds the points, and whose guesses are shown; by default the image
            encoder's features of the views are laid out.
        teacher: Teacher in the store, in place of a run.
        labels: Label file; by default that of the run, else the labels in the store.
        device: cpu, cuda, mps or auto.
        overwrite: Replace a page of that name.
    """
    file = free_page(out_file, "map.html", overwrite)
    from pointmcd.labelling.map import shape_map

    print_line(str(shape_map(store, run, teacher, labels, device).save(file)))
