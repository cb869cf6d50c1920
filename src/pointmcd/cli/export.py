"""`pointmcd export`."""

from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from pointmcd.cli.output import print_line


def export(
    run: Positional[Path],
    to: Literal["onnx", "safetensors"] = "onnx",
    out_path: Annotated[Path | None, tyro.conf.arg(name="out")] = None,
    checkpoint: Literal["last", "best"] = "best",
    points: int | None = None,
) -> None:
    """Write a run's model for other programs: an ONNX file, or weights with a card.

    Args:
        run: run folder.
        to: onnx (a program, checked in ONNX Runtime) or safetensors (weights and README.md).
        out_path: file (onnx) or folder (safetensors); by default export.onnx or export in the run.
        checkpoint: best on the validation part, or last epoch.
        points: fix the number of points that the ONNX file takes; by default any from 2.
    """
    from pointmcd.inference.export import export_run

    print_line(str(export_run(run, to, out_path, checkpoint, points)))
