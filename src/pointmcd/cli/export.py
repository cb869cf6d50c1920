"""`pointmcd export`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from pointmcd.cli.output import check_free, print_line
from pointmcd.options import RUN, Flag, metavar


def export(
    run: Positional[Annotated[Path, RUN]],
    to: Literal["onnx", "safetensors"] = "onnx",
    out_path: Annotated[Path | None, metavar("PATH"), tyro.conf.arg(name="out")] = None,
    checkpoint: Literal["last", "best"] = "last",
    points: Annotated[int | None, metavar("INT")] = None,
    half: Flag = False,
    licence: Annotated[str | None, metavar("NAME")] = None,
    overwrite: Flag = False,
) -> None:
    """Write the model of a run or teacher for other programs: an ONNX file, or weights with a card.

    Args:
        run: Folder of the run, or of a teacher (STORE/teachers/NAME); for onnx also weights: those
            that come with pointmcd (a name), a folder of --to safetensors, or hf-hub:OWNER/NAME.
        to: onnx (a program, checked in ONNX Runtime) or safetensors (weights and README.md).
        out_path: File (onnx) or folder (safetensors); by default export.onnx or export in that
            folder, of weights NAME.onnx.
        checkpoint: Checkpoint of the last epoch, or the best on the validation split.
        points: Fix the number of points that the ONNX file takes; by default any from 2.
        half: Keep safetensors in float16, in half the space.
        licence: Licence of the weights, for their card, such as cc-by-4.0.
        overwrite: With onnx, replace a file of that name; what was exported before to the folder of
            the run, or as a folder of weights, is replaced in any case.
    """
    if to == "onnx":
        _check_out(run, out_path, overwrite)
    from pointmcd.inference.export import export_run
    from pointmcd.progress import console, note
    from pointmcd.training.calibration import tell_uncalibrated
    from pointmcd.training.run import Run
    from pointmcd.training.weights import WEIGHTS

    path = export_run(run, to, out_path, checkpoint, points, half, licence)
    weights = path if path.is_file() else path / WEIGHTS
    if (run / "run.json").exists() and (text := tell_uncalibrated(Run(run), checkpoint)):
        note(text)
    console.print(f"{weights.name}: {weights.stat().st_size / 1e6:.1f} MB", soft_wrap=True)
    print_line(str(path))


def _check_out(run: Path, out: Path | None, overwrite: bool) -> None:
    """Refuse to replace an ONNX file that is not the run's own."""
    from pointmcd.inference.export import onnx_file

    file = onnx_file(run, out)
    if out is not None or file.parent != run:
        check_free("--out", file, overwrite)
