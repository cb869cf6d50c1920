"""Part files: tables that name the parts of some clusters (`path,cluster,part,clusters`)."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pointmcd.data.labels import read_table
from pointmcd.errors import ConfigError
from pointmcd.files import replacing

_COLUMNS = ("path", "cluster", "part", "clusters")


class PartRow(NamedTuple):
    """One line of a part file.

    Attributes:
        path: the shape's name in the store.
        cluster: number of the cluster, from 1.
        part: its part.
        clusters: fingerprint of the clusters (data/clusters.py), which says how many they are.
        line: number of the line, from 1.
    """

    path: str
    cluster: int
    part: str
    clusters: str
    line: int = 0

    @property
    def of(self) -> int:
        """The number of clusters that the shape was cut into."""
        return int(self.clusters.partition("-")[0])


def read_parts(path: str | Path, empty: bool = False) -> list[PartRow]:
    """Read a part file. Rows without a part are left out.

    Args:
        path: the file.
        empty: whether it may name no part yet.

    Raises:
        ConfigError: when the file cannot be read, or a line is none of a part file.
    """
    head, table = read_table(path)
    if absent := [name for name in _COLUMNS if name not in head]:
        raise ConfigError(f"--labels {path}: line 1: lacks the column {absent[0]}")
    columns = [head.index(name) for name in _COLUMNS]
    rows = [_row(path, line, cells, columns) for line, cells in table[1:]]
    rows = [row for row in rows if row.part]
    if not rows and not empty:
        raise ConfigError(f"--labels {path}: names no part of a cluster")
    return rows


def _row(path: str | Path, line: int, cells: list[str], columns: list[int]) -> PartRow:
    here = f"--labels {path}: line {line}"
    if len(cells) <= max(columns):
        raise ConfigError(f"{here}: has fewer than {len(columns)} cells: {','.join(_COLUMNS)}")
    name, cluster, part, clusters = (cells[column] for column in columns)
    count = clusters.strip().partition("-")[0]
    if not all(text.isascii() and text.isdigit() for text in (cluster.strip(), count)):
        raise ConfigError(
            f"{here}: cluster {cluster or 'empty'}, clusters {clusters or 'empty'}: write them as"
            " the page of pointmcd label --parts does: a number, and one like 24-1f0c9a3e, which is"
            " another for each shape"
        )
    if not 1 <= int(cluster) <= int(count):
        raise ConfigError(f"{here}: cluster {cluster}: there are clusters 1 to {count}")
    return PartRow(name, int(cluster), part.strip(), clusters.strip(), line)


def write_parts(path: str | Path, rows: Sequence[PartRow]) -> None:
    """Write a part file; the same rows give the same bytes."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([_COLUMNS, *(row[: len(_COLUMNS)] for row in rows)])
