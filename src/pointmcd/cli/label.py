"""`pointmcd label`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from pointmcd.cli.output import UsageError, free_page, print_line
from pointmcd.errors import ConfigError
from pointmcd.options import DEVICE, RUN, STORE, Flag, metavar
from pointmcd.progress import console, note

if TYPE_CHECKING:
    from pointmcd.labelling.page import LabelPage
    from pointmcd.labelling.parts_page import PartsPage


def label(
    store: Positional[Annotated[Path, STORE]],
    out_file: Annotated[Path | None, metavar("FILE"), tyro.conf.arg(name="out")] = None,
    labels: Annotated[Path | None, metavar("FILE")] = None,
    run: Annotated[Path | None, RUN] = None,
    count: Annotated[int, metavar("N")] = 50,
    parts: Flag = False,
    clusters: Annotated[int | None, metavar("N")] = None,
    serve: Flag = False,
    device: Annotated[str, DEVICE] = "auto",
    overwrite: Flag = False,
) -> None:
    """Write a self-contained page for labelling shapes, the most useful first.

    Args:
        store: Folder of the store.
        out_file: Page to write; labels.html by default, parts.html with --parts.
        labels: Label file to begin with; by default that of a run on the store, else the class
            labels in the store (its part labels are not shown). With --serve also the file that is
            saved: labels.csv by default, parts.csv with --parts.
        run: Run of this store or another, exported weights (a folder, or a name as in predict
            --pretrained), or teacher (STORE/teachers/NAME); its guesses are to be confirmed or
            corrected. With --parts one of segmentation.
        count: Shapes to propose.
        parts: Label parts instead, by clicking pieces of the shapes: clusters of their points.
        clusters: With --parts: clusters that each shape is cut into; 24.
        serve: Serve the page on this machine, at the address printed, and save the labels after
            every change.
        device: cpu, cuda, mps or auto.
        overwrite: Replace a page of that name.
    """
    if clusters is not None and not parts:
        raise UsageError("label: --clusters is for --parts; leave it out")
    if serve and out_file is not None:
        raise UsageError("label: --out is for a page without --serve; leave one of them out")
    name = "parts" if parts else "labels"
    file = out_file or Path(f"{name}.html")
    if serve:
        file = labels or Path(f"{name}.csv")
        labels = file if file.exists() else None
        if labels is not None and not parts:
            _check_columns(labels)
    else:
        file = free_page(file, f"{name}.html", overwrite)
    page: LabelPage | PartsPage
    if parts:
        from pointmcd.data.clusters import CLUSTERS
        from pointmcd.labelling.parts_page import parts_page

        page = parts_page(store, labels, count, clusters or CLUSTERS, device, run)
        _tell_replaced(store)
    else:
        from pointmcd.labelling.page import label_page

        page = label_page(store, labels, run, count, device)
    if serve:
        _serve(page, file)
    else:
        from pointmcd.labelling.html import write_label_page

        print_line(str(write_label_page(page, file)))


def _tell_replaced(folder: Path) -> None:
    """Say that the page's file takes the place of part labels in the store."""
    from pointmcd.data.store import Store

    store = Store(folder)
    if store.parts is None:
        return
    indices = [*store.indices("train"), *store.indices("val")]
    if count := sum(store.is_labelled(int(index)) for index in indices):
        note(
            f"the part labels of {count} shapes in the store are not on the page; teach and"
            " train take the page's file (--labels) in their place"
        )


def _check_columns(file: Path) -> None:
    """Refuse a file of which saving would drop something."""
    from pointmcd.data.labels import other_columns

    if others := other_columns(file):
        raise ConfigError(
            f"--labels {file}: path, class and split are saved alone, and these would be lost:"
            f" {', '.join(others)}; name a copy without them"
        )


def _serve(page: "LabelPage | PartsPage", file: Path) -> None:
    from pointmcd.labelling.serve import LabelServer

    known = file.exists()
    with LabelServer(page, file) as server:
        begin = "is continued" if known else "is written with the first label"
        console.print(f"{file}: {begin}; Ctrl-C ends", soft_wrap=True)
        print_line(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            found = server.file.current()  # waits for a save that goes on
            print_line(
                f"{file}: {server.page.describe(found)}"
                if file.exists()
                else "nothing was labelled; no file was written"
            )
