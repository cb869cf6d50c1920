"""Copies of stores with one thing changed: helpers of the tests."""

import json
import shutil

from pointmcd.data.store import Store


def copy_store(source, target, change=None, without=()):
    """A copy of a store; `change` gets each record of a shape, or None where nothing changes."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*without))
    if change is not None:
        edit_shapes(target, change)
    return target


def edit_shapes(store, change):
    """Change the records of shapes in a store, and let its teachers and features pass for its own.

    A real change of labels or splits makes another store; here it is made unnoticed.
    """
    before = Store(store).fingerprint
    edit_json(store / "store.json", lambda meta: [change(r) for r in meta["shapes"]])
    after = Store(store).fingerprint
    for path in (*store.glob("teachers/*/teacher.json"), *store.glob("features/*/made-by.json")):
        path.write_text(path.read_text().replace(before, after))


def edit_json(path, change):
    """Change a JSON file in place."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def turn_labels(split):
    """Give every shape of a split the next one's class: bed, chair, lamp, bed."""
    following = {"bed": "chair", "chair": "lamp", "lamp": "bed"}

    def change(record):
        if record["split"] == split:
            record["class"] = following[record["class"]]

    return change


def files_of(folder):
    """Every file of a folder, hidden ones too, and its bytes."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
