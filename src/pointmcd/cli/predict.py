"""`pointmcd predict`."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.table import Column, Table
from rich.text import Text
from tyro.conf import Positional

from pointmcd.cli.output import out
from pointmcd.errors import ConfigError, PointMCDError

if TYPE_CHECKING:  # they import torch, which would slow every --help
    from pointmcd.inference.predict import Prediction
    from pointmcd.inference.predict_parts import PartPrediction


def predict(
    run: Positional[Path],
    files: Positional[tuple[Path, ...]],
    label: str | None = None,
    out_folder: Annotated[Path, tyro.conf.arg(name="out")] = Path("parts"),
    checkpoint: Literal["last", "best"] = "best",
    device: str = "auto",
) -> None:
    """Name the class of mesh or point cloud files, or label their parts, from points alone.

    A run of parts writes NAME-parts.ply, the points that it took from the file in their part's
    colour, and NAME-parts.png, a picture of them. The points are in the unit sphere: as many as
    the run was trained with, on the surface of a mesh or of those of a cloud.

    Args:
        run: run folder.
        files: any mesh or point cloud files.
        label: class of the files, for a run of parts; by default the folder they are in names it.
        out_folder: folder for what a run of parts writes.
        checkpoint: best on the validation part, or last epoch.
        device: cpu, cuda, mps or auto.
    """
    from pointmcd.training.run import Run

    if Run(run).meta["task"] == "segmentation":
        from pointmcd.inference.predict_parts import predict_parts

        found = predict_parts(run, files, label, out_folder, checkpoint, device)
        table, faults = parts_table(found)
    elif label is not None:
        raise ConfigError(f"--label {label}: {run} names classes; only a run of parts is given one")
    else:
        from pointmcd.inference.predict import predict as classify

        table, faults = classes_table(classify(run, files, checkpoint, device))
    if table.row_count:
        out.print(table)
    if faults:
        raise PointMCDError("\n".join(faults))


def classes_table(predictions: "Iterable[Prediction]") -> tuple[Table, list[str]]:
    """Class and confidence of each file, and what was wrong with the others."""
    table, faults = Table(Column("file", overflow="fold"), "class", "confidence", "next"), []
    for prediction in predictions:
        if prediction.fault is not None:
            faults.append(prediction.fault)
            continue
        rest = ", ".join(f"{name} {p:.0%}" for name, p in prediction.ranking[1:3])
        cells = (prediction.path, prediction.label, f"{prediction.confidence:.0%}", rest)
        table.add_row(*(Text(str(cell)) for cell in cells))  # a name in [brackets] is no markup
    return table, faults


def parts_table(predictions: "Iterable[PartPrediction]") -> tuple[Table, list[str]]:
    """Shares of the parts of each file and what was written, and what was wrong with the others."""
    fold = (Column(name, overflow="fold") for name in ("file", "class", "parts", "written"))
    table, faults = Table(*fold), []
    for prediction in predictions:
        if prediction.fault is not None:
            faults.append(prediction.fault)
            continue
        shares = ", ".join(f"{name} {share:.0%}" for name, share in prediction.parts.items())
        written = f"{prediction.ply}\n{prediction.picture}"
        cells = (prediction.path, prediction.label, shares, written)
        table.add_row(*(Text(str(cell)) for cell in cells))
    return table, faults
