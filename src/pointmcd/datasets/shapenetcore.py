"""ShapeNetCore, v1 and v2: CAD models in 55 classes, as OBJ meshes.

Chang et al., "ShapeNet: An Information-Rich 3D Model Repository", arXiv 1512.03012: about 51,300
models. v1 has SYNSET/MODEL/model.obj, v2 SYNSET/MODEL/models/model_normalized.obj. `all.csv` there
(id, synsetId, subSynsetId, modelId, split) gives the splits; without it there are none. Classes are
named by `taxonomy.json` (the first of a synset's words), and without it by the synset's number.
"""

import csv
import json
import re
from functools import partial

from pointmcd.datasets.base import DataSet, Layout, register_dataset
from pointmcd.datasets.layout import SPLITS
from pointmcd.datasets.sources import Listing, ShapeSource, absent_notes
from pointmcd.datasets.tree import FileTree
from pointmcd.errors import ShapeError
from pointmcd.shapes.formats import reading

_MODEL = {
    "v1": re.compile(r"(?:.*/)?(\d{8})/([^/]+)/model\.obj"),
    "v2": re.compile(r"(?:.*/)?(\d{8})/([^/]+)/models/model_normalized\.obj"),
}

#: Synset and model.
Key = tuple[str, str]


def _list_meshes(version: str, tree: FileTree) -> Listing:
    classes, splits = _read_classes(tree), _read_splits(tree)
    found: dict[Key, ShapeSource] = {}
    for file in sorted(tree.files):
        match = _MODEL[version].fullmatch(file)
        if match is None or (key := (match[1], match[2])) in found:
            continue
        label = classes.get(key[0], key[0])
        found[key] = ShapeSource(
            name=f"{label}/{key[1]}",
            label=label,
            split=None if splits is None else splits.get(key),
            file=tree.file(file),
            fault=None if splits is None or key in splits else "is not in all.csv",
        )
    listed = sorted((splits or {}).items())
    absent = {"/".join(key): split for key, split in listed if key not in found}
    shapes = sorted(found.values(), key=lambda shape: shape.name)
    return Listing(shapes, absent_notes(tree, absent))


def _read_classes(tree: FileTree) -> dict[str, str]:
    """Return the first word of each synset; the later of two that share it has its number too."""
    file = tree.find("taxonomy.json")
    if file is None:
        return {}
    source = tree.file(file)
    try:
        pairs = ((str(e["synsetId"]), str(e["name"])) for e in json.loads(source.text()))
        words = {synset: name.split(",")[0].strip() for synset, name in sorted(pairs)}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ShapeError(f"{source.name}: is not a list of synsetId and name") from error
    first = {word: synset for synset, word in reversed(words.items())}
    return {s: word if first[word] == s else f"{word}_{s}" for s, word in words.items()}


def _read_splits(tree: FileTree) -> dict[Key, str] | None:
    file = tree.find("all.csv")
    if file is None:
        return None
    source = tree.file(file)
    splits: dict[Key, str] = {}
    with reading(source.name, "csv"):
        rows = list(csv.DictReader(source.text().splitlines()))
    for number, row in enumerate(rows, 2):
        split = SPLITS.get(str(row.get("split")).strip().lower())
        if split is None or not row.get("synsetId") or not row.get("modelId"):
            need = "must have synsetId, modelId and split (train, val or test)"
            raise ShapeError(f"{source.name}: line {number} {need}")
        splits[row["synsetId"].strip().zfill(8), row["modelId"].strip()] = split
    return splits


def _layout(version: str) -> Layout:
    return Layout(
        name=version,
        list_shapes=partial(_list_meshes, version),
        matches=lambda tree: any(_MODEL[version].fullmatch(file) for file in tree.files),
    )


@register_dataset("shapenetcore")
class ShapeNetCore(DataSet):
    """The models of either version."""

    title = "ShapeNetCore v1 or v2: CAD models in 55 classes"
    classes = 55
    licence = "ShapeNet's terms: non-commercial research and education, to be agreed to"
    home = "https://shapenet.org"
    obtain = "sign up at the home page and unpack the archives, all.csv beside them"
    layouts = (_layout("v2"), _layout("v1"))
    unchecked = "how many shapes each split has: no count is known for sure"
