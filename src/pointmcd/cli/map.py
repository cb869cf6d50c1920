"""`pointmcd map`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional

from pointmcd.cli.output import (
    TEXT,
    Form,
    FormOptions,
    UsageError,
    free_page,
    print_line,
    print_tables,
)
from pointmcd.options import DEVICE, RUN, STORE, Flag, metavar


def map_page(
    store: Positional[Annotated[Path, STORE]],
    out_file: Annotated[Path | None, metavar("FILE"), tyro.conf.arg(name="out")] = None,
    run: Annotated[Path | None, RUN] = None,
    teacher: Annotated[str | None, metavar("TEACHER")] = None,
    labels: Annotated[Path | None, metavar("FILE")] = None,
    device: Annotated[str, DEVICE] = "auto",
    overwrite: Flag = False,
    form: FormOptions = TEXT,
) -> None:
    """Write a self-contained page with a map of all shapes, twins (near-duplicates) and outliers.

    With --csv, --json or --markdown the pairs that are most alike are printed instead.

    Args:
        store: Folder of the store.
        out_file: Page to write, or a folder for it; map.html by default.
        run: Run of this store or another, or exported weights, as in predict --pretrained: the
            student embeds the points, and guesses of classes are shown; by default the image
            encoder's features of the views are laid out.
        teacher: Teacher in the store, in place of a run.
        labels: Label file; by default that of a run on the store, else the labels in the store.
        device: cpu, cuda, mps or auto.
        overwrite: Replace a page of that name.
        form: Form of the list of pairs, in place of the page.
    """
    if form != TEXT and out_file is not None:
        raise UsageError("map: --out is for the page; leave it out to print the pairs")
    file = free_page(out_file or Path("map.html"), "map.html", overwrite or form != TEXT)
    from pointmcd.labelling.map import shape_map

    made = shape_map(store, run, teacher, labels, device)
    if form == TEXT:
        print_line(str(made.save(file)))
    else:
        _print_pairs(made.pair_records(), form)


def _print_pairs(records: Sequence[Mapping[str, Any]], form: Form) -> None:
    from pointmcd.labelling.map import PAIR
    from pointmcd.tables import result_table

    texts = {True: "yes", False: "", None: "-"}
    rows = [
        [f"{x:.3f}" if isinstance(x, float) else texts.get(x, x) for x in record.values()]
        for record in records
    ]
    print_tables([result_table(PAIR, rows)], form, records)
