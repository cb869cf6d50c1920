"""The parts of one file: the likeliest of its class for each point, as a PLY, an image, a SEG."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from pointmcd.files import replacing
from pointmcd.plots.colours import part_paint
from pointmcd.shapes.axes import turn
from pointmcd.shapes.clouds import WholeCloud
from pointmcd.tasks.file_parts import file_parts
from pointmcd.tasks.task import InputFile, Labels, Prediction
from pointmcd.typing import Floats, Indices

if TYPE_CHECKING:  # it imports matplotlib, which no training needs
    from pointmcd.plots.parts import PaintedCloud


#: The least share of a part that is shown in a table: less would be 0%.
_SHOWN = 0.005


@dataclass(frozen=True, repr=False)
class PartPrediction(Prediction):
    """The parts of one file.

    Attributes:
        label: the class it was taken for; None beside a fault.
        parts: share of the points of each part of the class, 0 to 1; empty beside a fault.
        ply: the coloured cloud; None where nothing was written.
        picture: the same as a PNG; None where nothing was written.
        seg: the part of each face of a mesh or point of a cloud; None where none was written.
        points: distinct points of the file, float32 [n, 3]; none beside a fault.
        point_parts: the part of each, int64 [n], counted from 0 in its class.
        cloud_parts: of a cloud the part of each of its points, int64 [M], in their order; -1 where
            they have no coordinates. None for a mesh.
    """

    label: str | None = None
    parts: dict[str, float] = field(default_factory=dict)
    ply: Path | None = None
    picture: Path | None = None
    seg: Path | None = None
    points: Floats = field(
        default_factory=lambda: np.zeros((0, 3), np.float32), repr=False, compare=False
    )
    point_parts: Indices = field(
        default_factory=lambda: np.zeros(0, np.int64), repr=False, compare=False
    )
    cloud_parts: Indices | None = field(default=None, repr=False, compare=False)

    @property
    def written(self) -> list[str]:
        """The files that were written."""
        return [str(path) for path in (self.ply, self.picture, self.seg) if path]

    def cells(self) -> dict[str, str]:
        """The class, the parts with their shares, the largest first, and the files."""
        largest = sorted(self.parts.items(), key=lambda part: -part[1])
        shares = ", ".join(f"{name} {share:.0%}" for name, share in largest if share >= _SHOWN)
        return {"class": str(self.label), "parts": shares, "written": "\n".join(self.written)}

    def record(self) -> dict[str, Any]:
        """The class, the shares of its parts, and the files."""
        return {"class": self.label, "parts": self.parts, "written": self.written}


def predict_parts(logits: Tensor, file: InputFile, labels: Labels) -> PartPrediction:
    """Label the points of a file, and write the PLY, the image and the SEG if asked to.

    Args:
        logits: of all parts, [N, P].
        file: points and class; its targets are the PLY, the picture and the SEG, or there are none.
        labels: the classes and parts of the run.

    Raises:
        PointMCDError: when a file cannot be written.
    """
    assert file.label is not None
    assert labels.parts is not None
    names = labels.parts[file.label]
    first, stop = labels.part_ranges[labels.classes.index(file.label)].tolist()
    # A small cloud's points are repeated to fill up the number: each place counts once.
    distinct = np.sort(np.unique(file.points, axis=0, return_index=True)[1])
    every = logits[:, first:stop].argmax(dim=1).numpy()
    parts, seg, whole = every[distinct], None, file.whole
    of_file = None
    if file.targets or isinstance(whole, WholeCloud):
        of_file = file_parts(whole, file.points[:, :3], every)
    if file.targets:
        from pointmcd.plots.parts import PaintedCloud

        points, title = file.points[distinct, :3], f"{file.path.name}: {file.label}"
        painted = PaintedCloud(points, parts, title)
        upright = turn(points, file.up, "y")
        write_picture(file.targets[1], PaintedCloud(upright, parts, title), names)
        if of_file is not None:
            seg = file.targets[2]
            write_seg(seg, of_file)
            if isinstance(whole, WholeCloud):  # to be laid over the file
                known = of_file >= 0
                painted = PaintedCloud(whole.placed[known], of_file[known], title)
        elif file.targets[2].exists():
            _keep(file.targets[2])  # of another file, it would be taken for this one's
        write_ply(file.targets[0], painted, names, first)
    shares = np.bincount(parts, minlength=len(names)) / len(parts)
    ply, picture, _ = file.targets or (None, None, None)
    return PartPrediction(
        file.path,
        label=file.label,
        parts=dict(zip(names, shares.tolist(), strict=True)),
        ply=ply,
        picture=picture,
        seg=seg,
        points=file.points[distinct, :3],
        point_parts=parts,
        cloud_parts=of_file if isinstance(whole, WholeCloud) else None,
    )


def write_ply(path: Path, cloud: "PaintedCloud", names: Sequence[str], first: int) -> None:
    """Write a binary PLY: x y z, red green blue alpha, and the part's global id as `part`.

    Its comments say which id is which part. Coordinates keep their type, which large ones need.

    Args:
        path: the file.
        cloud: points and their parts, counted from 0 in the class.
        names: the class's part names.
        first: global id of the class's first part.

    Raises:
        PointMCDError: when the file cannot be written.
    """
    places = np.asarray(cloud.points)
    kind = ("double", "<f8") if places.dtype == np.float64 else ("float", "<f4")
    columns: dict[str, tuple[str, str, Any]] = {
        axis: (*kind, places[:, i]) for i, axis in enumerate("xyz")
    }
    paint = part_paint(cloud.parts, len(names))
    for i, name in enumerate(("red", "green", "blue")):
        columns[name] = ("uchar", "u1", paint[:, i])
    columns |= {"alpha": ("uchar", "u1", 255), "part": ("int", "<i4", cloud.parts + first)}
    rows = np.empty(len(places), [(name, code) for name, (_, code, _) in columns.items()])
    for name, (_, _, values) in columns.items():
        rows[name] = values
    header = [
        "ply\nformat binary_little_endian 1.0",
        *(f"comment part {first + i}: {' '.join(n.split())}" for i, n in enumerate(names)),
        f"element vertex {len(rows)}",
        *(f"property {word} {name}" for name, (word, _, _) in columns.items()),
        "end_header\n",
    ]
    with replacing(path) as temporary:
        text = "\n".join(header).encode("ascii", "backslashreplace")
        temporary.write_bytes(text + rows.tobytes())


def write_seg(path: Path, parts: Indices) -> None:
    """Write the part of each face or point, counted from 0 in the class, as `prepare` reads it.

    A file of other parts that stands there is kept as NAME.old.

    Raises:
        PointMCDError: when the file cannot be written.
    """
    text = "".join(f"{part}\n" for part in parts)
    with replacing(path) as temporary:
        temporary.write_text(text)
        if path.exists() and path.read_text(errors="replace") != text:
            _keep(path)  # it may have been corrected by hand


def _keep(path: Path) -> None:
    """Rename a file to the first free of NAME.old, NAME.old2, ..."""
    names = (f"{path.name}.old{number if number > 1 else ''}" for number in count(1))
    path.rename(next(place for name in names if not (place := path.with_name(name)).exists()))


def write_picture(path: Path, cloud: "PaintedCloud", names: Sequence[str]) -> None:
    """Draw the cloud from in front and from behind, with a legend, into a PNG.

    Raises:
        PointMCDError: when the file cannot be written.
    """
    from pointmcd.plots.parts import parts_figure

    figure = parts_figure(cloud, names)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
