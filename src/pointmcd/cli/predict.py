"""`pointmcd predict`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.table import Column, Table
from rich.text import Text
from tyro.conf import Positional

from pointmcd.cli.output import UsageError, out
from pointmcd.errors import PointMCDError
from pointmcd.options import DEVICE, RUN, metavar


def predict(
    run: Positional[Annotated[Path, RUN]],
    files: Positional[Annotated[tuple[Path, ...], metavar("FILE [FILE ...]")]],
    label: Annotated[str | None, metavar("CLASS")] = None,
    out_folder: Annotated[Path, tyro.conf.arg(name="out", metavar="FOLDER")] = Path("parts"),
    checkpoint: Literal["last", "best"] = "best",
    device: Annotated[str, DEVICE] = "auto",
    columns: Annotated[str | None, metavar("X,Y,Z")] = None,
) -> None:
    """Predict the classes of meshes or point clouds, or label their parts.

    Args:
        run: Folder of the run, or of a teacher (STORE/teachers/NAME), which renders the files.
        files: Mesh or point cloud files.
        label: If the run labels parts, the class of the files; by default the name of their folder.
        out_folder: If the run labels parts, the folder for NAME-parts.ply and NAME-parts.png.
        checkpoint: Checkpoint of the last epoch, or the best on the validation split.
        device: cpu, cuda, mps or auto.
        columns: Columns of x, y and z in text tables and arrays: numbers from 1 or names, as in
            2,3,4; by default their names in the file or their places tell.
    """
    if not files:
        raise UsageError("predict: no files; name meshes or point clouds after the run")
    from pointmcd.inference.predict import predict as predictions

    rows, faults = [], []
    for prediction in predictions(run, files, label, out_folder, checkpoint, device, columns):
        if prediction.fault is None:
            rows.append(
                {"file": str(prediction.path), **prediction.cells(), "read": prediction.read}
            )
        else:
            faults.append(prediction.fault)
    if rows:
        table = Table(*(Column(name, overflow="fold") for name in rows[0]))
        for row in rows:
            table.add_row(*map(Text, row.values()))  # a name in [brackets] is no markup
        out.print(table)
    if faults:
        raise PointMCDError("\n".join(faults))
