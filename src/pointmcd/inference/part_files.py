"""A labelled cloud as files: a coloured PLY for 3D viewers and a still picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import trimesh

from pointmcd.files import replacing
from pointmcd.plots.colours import part_paint
from pointmcd.plots.parts import BACK, FRONT, PaintedCloud, parts_figure


def write_ply(path: Path, cloud: PaintedCloud, names: Sequence[str], first: int) -> None:
    """Write a binary PLY: x y z, red green blue alpha, and the part's global id as `part`.

    Its comments say which id is which part.

    Args:
        path: the file.
        cloud: points and their parts, counted from 0 in the class.
        names: the class's part names.
        first: global id of the class's first part.

    Raises:
        PointMCDError: when the file cannot be written.
    """
    points = trimesh.PointCloud(cloud.points, colors=part_paint(cloud.parts, len(names)))
    points.vertex_attributes = {"part": (cloud.parts + first).astype(np.int32)}
    lines = [f"comment part {first + i}: {' '.join(n.split())}\n" for i, n in enumerate(names)]
    comments = "".join(lines).encode("ascii", "backslashreplace")
    data: bytes = points.export(file_type="ply")
    with replacing(path) as temporary:
        temporary.write_bytes(data.replace(b"element vertex", comments + b"element vertex", 1))


def write_picture(path: Path, cloud: PaintedCloud, names: Sequence[str]) -> None:
    """Draw the cloud from in front and from behind, with a legend, into a PNG.

    Raises:
        PointMCDError: when the file cannot be written.
    """
    figure = parts_figure([cloud], names, (FRONT, BACK))
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def output_names(files: Sequence[Path], out: Path) -> list[str]:
    """Name what is written for each file, without suffix: `chair-parts`, next `chair-parts-2`.

    No two names are the same, nor is NAME.ply or NAME.png in `out` one of the files, on a disk that
    does not tell upper from lower case either.
    """
    taken = {_place(file) for file in files}
    names = []
    for file in files:
        wanted, number = f"{file.stem}-parts", 1
        name = wanted
        while (places := {_place(out / f"{name}.{kind}") for kind in ("ply", "png")}) & taken:
            number += 1
            name = f"{wanted}-{number}"
        taken |= places
        names.append(name)
    return names


def _place(file: Path) -> str:
    return str(file.resolve()).casefold()
