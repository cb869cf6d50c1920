"""`pointmcd predict`."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.table import Column, Table
from rich.text import Text
from tyro.conf import Positional

from pointmcd.cli.output import UsageError, out
from pointmcd.errors import ConfigError, PointMCDError
from pointmcd.options import DEVICE, RUN, metavar

if TYPE_CHECKING:  # they import torch, which would slow every --help
    from pointmcd.inference.predict import Prediction
    from pointmcd.inference.predict_parts import PartPrediction


def predict(
    run: Positional[Annotated[Path, RUN]],
    files: Positional[Annotated[tuple[Path, ...], metavar("FILE [FILE ...]")]],
    label: Annotated[str | None, metavar("CLASS")] = None,
    out_folder: Annotated[Path, tyro.conf.arg(name="out", metavar="FOLDER")] = Path("parts"),
    checkpoint: Literal["last", "best"] = "best",
    device: Annotated[str, DEVICE] = "auto",
) -> None:
    """Predict the classes of meshes or point clouds, or label their parts.

    Args:
        run: Folder of the run.
        files: Mesh or point cloud files.
        label: If the run labels parts, the class of the files; by default the name of their folder.
        out_folder: If the run labels parts, the folder for NAME-parts.ply and NAME-parts.png.
        checkpoint: Checkpoint of the last epoch, or the best on the validation split.
        device: cpu, cuda, mps or auto.
    """
    if not files:
        raise UsageError("predict: no files; name meshes or point clouds after the run")
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
    """Return a table of the files that were read, and what is wrong with the others."""
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
    """Return a table of the files that were read, and what is wrong with the others."""
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
