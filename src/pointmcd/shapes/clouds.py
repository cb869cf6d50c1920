"""Point cloud files, and meshes as points: what a trained encoder is asked about."""

import re
import warnings
from io import StringIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap

from pointmcd.errors import ShapeError
from pointmcd.ops.farthest_points import farthest_points
from pointmcd.shapes.formats import CLOUD_SUFFIXES, mesh_suffixes, read_file, suffix_of
from pointmcd.shapes.frame import Points, unit_box, unit_sphere
from pointmcd.shapes.mesh import normalise, parse, read_mesh
from pointmcd.shapes.sampling import sample_surface

_COMMENT = re.compile(r"#[^\n]*")


def read_points(path: Path, count: int, seed: int) -> npt.NDArray[np.float32]:
    """Read a mesh or point cloud file as points in the unit sphere, in farthest-point order.

    A mesh is normalised and sampled as `prepare` does it. A cloud (`.ply` without faces, `.xyz`,
    `.pts`, `.txt`, `.csv`, `.npy`; columns after the third are passed over) is centred at its mean
    and its farthest point put at distance 1; then its points are taken farthest first. A cloud of
    fewer points than `count` gives all of them, repeated in the same order.

    Args:
        path: The file.
        count: Number of points P, at least 1.
        seed: Seed of the samples of a mesh; a cloud is subsampled without chance.

    Returns:
        float32 `[P, 3]`.

    Raises:
        ShapeError: when the file is absent, of another type, empty, or has NaN or infinite points.
    """
    suffix = suffix_of(path.name)
    if suffix in CLOUD_SUFFIXES:
        return _ordered(_cloud(path, suffix), count, path)
    if suffix not in mesh_suffixes():
        suffixes = ", ".join(f".{name}" for name in sorted(mesh_suffixes() | CLOUD_SUFFIXES))
        raise ShapeError(f"{path}: is no mesh or point cloud; files that end in {suffixes} are")
    if suffix == "ply" and (points := _ply_points(path)) is not None:
        return _ordered(points, count, path)
    return sample_surface(normalise(read_mesh(path, str(path), suffix)), count, seed)[0]


def _ordered(points: Points, count: int, path: Path) -> npt.NDArray[np.float32]:
    """Bring points into the unit sphere and take `count` of them, farthest first."""
    if not np.isfinite(points).all():
        raise ShapeError(f"{path}: a point is NaN or infinite")
    cloud = normalise_cloud(points, str(path)).astype(np.float32)
    return np.asarray(cloud[cloud_order(cloud, count)])


def normalise_cloud(points: Points, name: str) -> Points:
    """Centre a cloud `[N, 3]` at its mean, with the farthest point at distance 1.

    Raises:
        ShapeError: when all points are at one place; the text begins with `name`.
    """
    try:
        framed, _ = unit_box(points)
    except ValueError as error:
        raise ShapeError(f"{name}: {error}") from error
    return unit_sphere(framed, framed.mean(axis=0))


def cloud_order(cloud: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
    """Which `count` points to take, farthest first; those of a smaller cloud come again."""
    return np.resize(farthest_points(cloud, min(count, len(cloud))), count)


def _ply_points(path: Path) -> Points | None:
    """Return the vertices of a PLY file without faces, None where it has faces."""
    scene = parse(path, str(path), "ply")
    clouds = [g.vertices for g in scene.geometry.values() if not len(getattr(g, "faces", ()))]
    if len(clouds) != len(scene.geometry) or not clouds:
        return None
    return np.concatenate(clouds).astype(np.float64)


def _cloud(path: Path, suffix: str) -> Points:
    """Read the positions of a text or NumPy file, `[N, 3]`."""
    try:
        rows = _numpy_rows(path) if suffix == "npy" else _text_rows(path)
        if rows.ndim != 2 or rows.shape[1] < 3:
            raise ValueError(f"an array of shape {rows.shape}, not [points, 3 or more]")
        if not len(rows):
            raise ValueError("no points")
        return rows[:, :3].astype(np.float64)
    except (ValueError, TypeError, EOFError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ShapeError(f"{path}: cannot be read as points: {reason}") from error


def _numpy_rows(path: Path) -> npt.NDArray[np.float64]:
    # Mapping checks the size that the header promises against the file before any allocation.
    # It refuses pickled objects, as `allow_pickle=False` does.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            rows = open_memmap(path, mode="r")
    except Exception as error:  # the header is read by Python's own tokenizer, and fails its ways
        raise ValueError(f"not an intact .npy file of numbers ({error})") from error
    if rows.dtype.kind not in "fiu":
        raise ValueError(f"an array of {rows.dtype}, not of numbers")
    return rows


def _text_rows(path: Path) -> npt.NDArray[np.float64]:
    """Read rows of numbers parted by spaces, commas or semicolons, `[N, columns]`."""
    text = read_file(path, str(path)).decode("utf-8-sig", "replace")
    text = _COMMENT.sub("", text.replace(",", " ").replace(";", " "))
    lines = [line for line in text.splitlines() if line.strip()]
    promised = None
    if lines and lines[0].strip().isdecimal():
        promised = int(lines.pop(0))
    elif lines and not _is_number(lines[0].split()[0]):
        lines.pop(0)
    if promised is not None and promised > len(lines):
        raise ValueError(f"{promised} points are promised, {len(lines)} are there; truncated")
    if not lines:
        raise ValueError("no points")
    return np.loadtxt(StringIO("\n".join(lines)), ndmin=2)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
