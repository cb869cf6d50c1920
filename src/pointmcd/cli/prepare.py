"""`pointmcd prepare`."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import tyro

from pointmcd.cli.output import print_line
from pointmcd.preparation.config import PrepareConfig
from pointmcd.progress import console, note

#: Notes that are alike, but for their numbers, and are all printed.
_ALIKE = 3


def prepare(config: Annotated[PrepareConfig, tyro.conf.arg(name="")]) -> None:
    """Turn a data set, or a folder or zip of meshes or clouds, into a store."""
    from pointmcd.preparation.prepare import prepare as run

    result = run(config)
    for entry in result.skipped:
        console.print(f"skipped: {entry['reason']}", style="yellow", soft_wrap=True)
    for line in _lines(result.notes):
        note(line)
    console.print(_splits(result.store), soft_wrap=True)
    sizes = " to ".join(f"{size:,}" for size in dict.fromkeys(result.sizes or ()))
    clouds = f" (clouds of {sizes} points)" if sizes else ""
    variants = f", {result.variants} variants" if result.variants else ""
    skipped = f"{len(result.skipped)} skipped"
    print_line(f"{result.store}: {result.done} shapes{clouds}{variants}, {skipped}")


def _lines(notes: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Yield a line for each note; of many that differ in numbers alone, the first."""
    kinds: dict[str, list[str]] = {}
    for one in notes:
        line = f"{one['name']}: {one['note']}"
        kinds.setdefault(re.sub(r"\d+", "0", one["note"]), []).append(line)
    for alike in kinds.values():
        if len(alike) <= _ALIKE:
            yield from alike
        else:
            yield f"{alike[0]} ({len(alike) - 1} more like this; all are in store.json)"


def _splits(folder: Path) -> str:
    """How many shapes each split has and, where it is not all, how many of train have a label."""
    from pointmcd.data.store import Store

    store = Store(folder)
    counts = Counter(shape.split for shape in store.shapes)
    known = sum(store.is_labelled(int(index)) for index in store.indices("train"))
    labelled = "" if known == counts["train"] else f" ({known:,} labelled)"
    train, val, test = (f"{counts[split]:,} {split}" for split in ("train", "val", "test"))
    return f"splits: {train}{labelled}, {val}, {test}"
