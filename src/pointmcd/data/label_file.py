"""Label files of either kind, with classes of shapes or parts of clusters."""

import hashlib
import json
from pathlib import Path

from pointmcd.data.labels import is_part_file, read_labels, write_labels
from pointmcd.data.part_labels import read_parts, write_parts


def labels_digest(path: str | Path) -> str:
    """Return a short hash of what a label file says, whatever its order and form.

    Raises:
        ConfigError: when the file cannot be read.
    """
    rows: list[tuple[str | int, ...]]
    if is_part_file(path):
        rows = sorted(row[:4] for row in read_parts(path))
    else:
        rows = sorted((row.path, row.label, row.split or "") for row in read_labels(path))
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:8]


def copy_labels(source: str | Path, target: str | Path) -> None:
    """Write what a label file says into another, in the form of the package's own.

    Raises:
        ConfigError: when the file cannot be read.
    """
    if is_part_file(source):
        write_parts(target, read_parts(source))
    else:
        write_labels(target, read_labels(source))
