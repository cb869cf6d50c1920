"""`pointmcd label`."""

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from pointmcd.cli.output import UsageError, free_page, print_line
from pointmcd.options import DEVICE, RUN, STORE, Flag, metavar
from pointmcd.progress import console


def label(
    store: Positional[Annotated[Path, STORE]],
    out_file: Annotated[Path | None, tyro.conf.arg(name="out", metavar="FILE")] = None,
    labels: Annotated[Path | None, metavar("FILE")] = None,
    run: Annotated[Path | None, RUN] = None,
    count: Annotated[int, metavar("N")] = 50,
    serve: Flag = False,
    device: Annotated[str, DEVICE] = "auto",
    overwrite: Flag = False,
) -> None:
    """Write a self-contained page on which shapes are labelled, those first that teach most.

    Args:
        store: Folder of the store.
        out_file: Page to write; labels.html by default.
        labels: Label file to begin with; by default that of --run, else the labels in the store.
            With --serve also the file that is saved: labels.csv by default.
        run: Run on the store, or teacher (STORE/teachers/NAME); its guesses are to be confirmed or
            corrected.
        count: Shapes to propose.
        serve: Show the page on this machine at once, and save the labels after every change.
        device: cpu, cuda, mps or auto.
        overwrite: Replace a page of that name.
    """
    if serve:
        if out_file is not None:
            raise UsageError("label: --out is for a page without --serve; leave one of them out")
        _serve(store, labels or Path("labels.csv"), run, count, device)
        return
    file = free_page(out_file or Path("labels.html"), "labels.html", overwrite)
    from pointmcd.labelling.page import label_page, write_label_page

    print_line(str(write_label_page(label_page(store, labels, run, count, device), file)))


def _serve(store: Path, file: Path, run: Path | None, count: int, device: str) -> None:
    from pointmcd.labelling.page import label_page
    from pointmcd.labelling.serve import LabelServer

    known = file if file.exists() else None
    with LabelServer(label_page(store, known, run, count, device), file) as server:
        begin = "is continued" if known else "is written with the first label"
        console.print(f"{file}: {begin}; Ctrl-C ends", soft_wrap=True)
        print_line(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            shapes = len(server.page.names)
            labelled = len(server.file.current())  # waits for a save that goes on
            print_line(
                f"{file}: {labelled} of {shapes} shapes labelled"
                if file.exists()
                else "nothing was labelled; no file was written"
            )
