"""`pointmcd prepare`."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import tyro

from pointmcd.cli.output import print_line
from pointmcd.preparation.config import PrepareConfig
from pointmcd.progress import console, note
from pointmcd.tables import first_few

#: Notes that are alike, but for their numbers, and are all printed.
_ALIKE = 3
#: Labelled shapes of which each counts.
_FEW = 100


def prepare(config: Annotated[PrepareConfig, tyro.conf.arg(name="")]) -> None:
    """Turn a data set, or a folder or zip of meshes or clouds, into a store."""
    from pointmcd.preparation.prepare import prepare as run

    result = run(config)
    for line in _lines((one["reason"], one["source"]) for one in result.skipped):
        console.print(f"skipped: {line}", style="yellow", soft_wrap=True)
    for line in _lines((f"{one['name']}: {one['note']}", one["name"]) for one in result.notes):
        note(line)
    if config.features and len(result.skipped) > result.done:
        note(
            f"most files were skipped; without --features {' '.join(config.features)} those that"
            " lack them are read"
        )
    drawn = config.val_fraction > 0 or config.test_fraction > 0
    if told := _classes(config, result.store):
        console.print(told, soft_wrap=True)
    console.print(_splits(result.store, drawn), soft_wrap=True)
    sizes = " to ".join(f"{size:,}" for size in dict.fromkeys(result.sizes or ()))
    clouds = f" (clouds of {sizes} points)" if sizes else ""
    variants = f", {result.variants} variants" if result.variants else ""
    skipped = f"{len(result.skipped)} skipped"
    shapes = "1 shape" if result.done == 1 else f"{result.done} shapes"
    print_line(f"{result.store}: {shapes}{clouds}{variants}, {skipped}")


def _lines(lines: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield lines, each given with the name of what it is about; of many that are alike, the first.

    They are if they differ in names and numbers alone.
    """
    kinds: dict[str, list[str]] = {}
    for line, name in lines:
        kinds.setdefault(re.sub(r"\d+", "0", line.replace(name, "")), []).append(line)
    for alike in kinds.values():
        if len(alike) <= _ALIKE:
            yield from alike
        else:
            yield f"{alike[0]} ({len(alike) - 1} more like this; all are in store.json)"


def _classes(config: PrepareConfig, folder: Path) -> str:
    """How many shapes of which class there are; of a user's own folder, that folders name them."""
    from pointmcd.data.store import Store

    counts = Counter(shape.label for shape in Store(folder).shapes if shape.label is not None)
    if not counts:
        return ""
    each = first_few([f"{label} {count:,}" for label, count in counts.most_common()])
    named = config.labels is None and Path(config.source).exists()
    hint = f"; if folders are no classes, prepare {config.source},labels=none" if named else ""
    return f"{len(counts)} class{'es' * (len(counts) > 1)}: {each}{hint}"


def _splits(folder: Path, drawn: bool) -> str:
    """How many shapes each split has and, where it is not all, how many of train have a label.

    Where splits were `drawn` of few labelled shapes, a note says what that costs.
    """
    from pointmcd.data.store import Store

    store = Store(folder)
    counts = Counter(shape.split for shape in store.shapes)
    labelled = {
        split: sum(store.is_labelled(int(index)) for index in store.indices(split))
        for split in ("train", "val", "test")
    }
    known, every = labelled["train"], sum(labelled.values())
    if drawn and 2 * known < every <= _FEW:
        note(
            f"{folder}: {known} of {every} labelled shapes are learnt from, the others validate and"
            " test; to learn from all, prepare with --val-fraction 0 --test-fraction 0, and"
            " measure by train --folds"
        )
    of = "" if known == counts["train"] else f" ({known:,} labelled)"
    train, val, test = (f"{counts[split]:,} {split}" for split in ("train", "val", "test"))
    return f"splits: {train}{of}, {val}, {test}"
