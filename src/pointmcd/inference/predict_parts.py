"""Label the parts of mesh and point cloud files, from points and their class alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from pointmcd.data.store import part_ranges
from pointmcd.datasets.layout import SPLITS
from pointmcd.device import pick_device
from pointmcd.errors import ConfigError, RunError, ShapeError
from pointmcd.inference.part_files import output_names, write_picture, write_ply
from pointmcd.plots.parts import PaintedCloud
from pointmcd.shapes.clouds import read_points
from pointmcd.training.model import load_model
from pointmcd.training.run import Run


@dataclass(frozen=True)
class PartPrediction:
    """What a segmentation run says of one file.

    Attributes:
        path: the file.
        label: the class it was taken for, as given or as its folder says; None where unknown.
        parts: share of the points of each part of the class, 0 to 1; empty beside a fault.
        ply: the coloured cloud; None beside a fault.
        picture: the same as a PNG; None beside a fault.
        fault: why the file was left out, one line; None where it was not.
    """

    path: Path
    label: str | None
    parts: dict[str, float]
    ply: Path | None
    picture: Path | None
    fault: str | None = None


def predict_parts(
    run: Path,
    files: Sequence[Path],
    label: str | None = None,
    out: Path = Path("parts"),
    checkpoint: str = "best",
    device: str = "auto",
) -> Iterator[PartPrediction]:
    """Label the parts of files one after the other; a bad file is told of and the rest goes on.

    As many points as the run was trained with are taken from each file (on the surface of a mesh,
    in the unit sphere) and labelled; `NAME-parts.ply` and `NAME-parts.png` show them.

    Args:
        run: the folder of a part segmentation run.
        files: any mesh or point cloud files.
        label: the class of all of them. By default the folder that a file lies in names it, as
            `prepare` reads folders: CLASS/NAME or CLASS/{train,test}/NAME. A run with a single
            class needs neither.
        out: folder for what is written; an input file is never written over.
        checkpoint: "best" (on the validation part) or "last".
        device: cpu, cuda, mps or auto.

    Raises:
        RunError: when the run or its checkpoint cannot be used, or the run names classes.
        ConfigError: when `label` is no class of the run.
        PointMCDError: when `out` cannot be written to.
    """
    opened = Run(run)
    opened.refuse_pretrained()
    if opened.meta["task"] != "segmentation":
        raise RunError(f"{run}: names classes and no parts; use predict, or give a run of parts")
    classes: list[str] = opened.meta["classes"]
    if label is not None and label not in classes:
        raise ConfigError(f"label {label}: is no class of {run}; one of: {', '.join(classes)}")
    where = pick_device(device)
    segmenter = load_model(opened, checkpoint, where)
    only = label or (classes[0] if len(classes) == 1 else None)
    for path, name in zip(files, output_names(files, out), strict=True):
        known = only or _class_of(path, classes)
        try:
            cloud = _labelled(opened, segmenter, path, known, where)
        except ShapeError as error:
            yield PartPrediction(path, known, {}, None, None, str(error))
            continue
        yield _written(opened, path, str(known), cloud, out / name)


def _class_of(path: Path, classes: Sequence[str]) -> str | None:
    """Read the class from the folders of a file, as `prepare` does."""
    folder = path.absolute().parent
    if folder.name not in classes and folder.name.lower() in SPLITS:
        folder = folder.parent
    return folder.name if folder.name in classes else None


def _labelled(
    run: Run, segmenter: torch.nn.Module, path: Path, label: str | None, device: torch.device
) -> PaintedCloud:
    """The points of a file with the likeliest part of its class for each."""
    classes: list[str] = run.meta["classes"]
    if label is None:
        raise ShapeError(
            f"{path}: of which class? Say it with --label, or put the file into a folder of that"
            f" name; one of: {', '.join(classes)}"
        )
    points = read_points(path, run.config.points, seed=0)
    start, stop = _ids(run, label)
    with torch.inference_mode():
        labels = torch.tensor([classes.index(label)], device=device)
        logits = segmenter(torch.from_numpy(points)[None].to(device), labels)
    parts = logits[0, :, start:stop].argmax(dim=1).cpu().numpy()
    distinct = _distinct(points)
    return PaintedCloud(points[distinct], parts[distinct], f"{path.name}: {label}")


def _ids(run: Run, label: str) -> tuple[int, int]:
    """First global part id of a class, and the one after its last."""
    classes = run.meta["classes"]
    start, stop = part_ranges(run.meta["parts"], classes)[classes.index(label)]
    return int(start), int(stop)


def _distinct(points: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Where each place occurs first: a small cloud's points are repeated to fill up the number."""
    return np.sort(np.unique(points, axis=0, return_index=True)[1])


def _written(run: Run, path: Path, label: str, cloud: PaintedCloud, target: Path) -> PartPrediction:
    names: list[str] = run.meta["parts"][label]
    # Not with_suffix: a name may hold dots.
    ply, picture = (target.with_name(f"{target.name}.{kind}") for kind in ("ply", "png"))
    write_ply(ply, cloud, names, _ids(run, label)[0])
    write_picture(picture, cloud, names)
    shares = np.bincount(cloud.parts, minlength=len(names)) / len(cloud.parts)
    return PartPrediction(path, label, dict(zip(names, shares.tolist(), strict=True)), ply, picture)
