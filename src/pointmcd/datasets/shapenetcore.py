"""ShapeNetCore, v1 and v2: CAD models in 55 classes, as OBJ meshes.

Chang et al., "ShapeNet: An Information-Rich 3D Model Repository", arXiv 1512.03012: about 51,300
models. v1 has SYNSET/MODEL/model.obj, v2 SYNSET/MODEL/models/model_normalized.obj. `all.csv` there
(id, synsetId, subSynsetId, modelId, split) gives the splits; without it there are none. Classes are
named by `taxonomy.json` (the first of a synset's words), and without it by the synset's number.
"""

import csv
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pointmcd.datasets.base import DataSet, Layout, named, read_text
from pointmcd.datasets.folder import ShapeSource
from pointmcd.datasets.layout import SPLITS
from pointmcd.datasets.listing import Listing, absent_notes
from pointmcd.datasets.tree import locate
from pointmcd.errors import ShapeError

_MODEL = {
    "v1": re.compile(r"(?:.*/)?(\d{8})/([^/]+)/model\.obj"),
    "v2": re.compile(r"(?:.*/)?(\d{8})/([^/]+)/models/model_normalized\.obj"),
}

Key = tuple[str, str]


def _matches(version: str, files: Sequence[str]) -> bool:
    return any(_MODEL[version].fullmatch(file) for file in files)


def _list_meshes(version: str, source: Path, files: list[str], meshes: Path | None) -> Listing:
    classes, splits = _read_classes(source, files), _read_splits(source, files)
    found: dict[Key, ShapeSource] = {}
    for file in sorted(files):
        if match := _MODEL[version].fullmatch(file):
            key = (match[1], match[2])
            found.setdefault(key, _shape(source, file, key, classes, splits))
    absent = defaultdict(list)
    for key, split in sorted((splits or {}).items()):
        if key not in found:
            absent[split].append("/".join(key))
    shapes = sorted(found.values(), key=lambda shape: shape.name)
    return Listing(shapes, absent_notes(source, absent))


def _shape(
    source: Path, file: str, key: Key, classes: dict[str, str], splits: dict[Key, str] | None
) -> ShapeSource:
    path, member = locate(source, file)
    label = classes.get(key[0], key[0])
    listed = splits is None or key in splits
    return ShapeSource(
        name=f"{label}/{key[1]}",
        label=label,
        split=None if splits is None else splits.get(key),
        location=f"{source}/{file}",
        suffix="obj",
        path=path,
        member=member,
        fault=None if listed else "is not in all.csv",
    )


def _read_classes(source: Path, files: list[str]) -> dict[str, str]:
    """The first word of each synset; of two that share it the later one has its number too."""
    file = named(files, "taxonomy.json")
    if file is None:
        return {}
    try:
        entries = json.loads(read_text(source, file))
        words = {str(e["synsetId"]): str(e["name"]).split(",")[0].strip() for e in entries}
    except (ValueError, KeyError, TypeError) as error:
        raise ShapeError(f"{source}/{file}: is no list of synsetId and name: {error}") from error
    first: dict[str, str] = {}
    for synset, word in sorted(words.items()):
        first.setdefault(word, synset)
    return {
        synset: word if first[word] == synset else f"{word}_{synset}"
        for synset, word in words.items()
    }


def _read_splits(source: Path, files: list[str]) -> dict[Key, str] | None:
    file = named(files, "all.csv")
    if file is None:
        return None
    splits: dict[Key, str] = {}
    for number, row in enumerate(csv.DictReader(read_text(source, file).splitlines()), 2):
        split = SPLITS.get(str(row.get("split")).strip().lower())
        if split is None or not row.get("synsetId") or not row.get("modelId"):
            raise ShapeError(
                f"{source}/{file}: line {number} must have synsetId, modelId and split (train, val"
                " or test)"
            )
        splits[row["synsetId"].strip().zfill(8), row["modelId"].strip()] = split
    return splits


SHAPENETCORE = DataSet(
    name="shapenetcore",
    title="ShapeNetCore v1 or v2: CAD models in 55 classes",
    classes=55,
    licence="ShapeNet's terms: non-commercial research and education, to be agreed to",
    home="https://shapenet.org",
    obtain="sign up at the home page and unpack the archives, all.csv beside them",
    layouts=tuple(
        Layout(version, partial(_matches, version), partial(_list_meshes, version))
        for version in ("v2", "v1")
    ),
    unchecked="how many shapes each split has: no count is known for sure",
)
