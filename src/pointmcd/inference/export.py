"""Export a trained run for other programs: an ONNX file, or weights with a card."""

from pathlib import Path
from typing import Literal

import torch

from pointmcd.checkpoint import save_checkpoint
from pointmcd.errors import ConfigError
from pointmcd.files import replacing
from pointmcd.inference.export_onnx import write_run_onnx
from pointmcd.inference.model_card import about, model_card
from pointmcd.training.model import load_model
from pointmcd.training.run import Run

Format = Literal["onnx", "safetensors"]
#: What a folder of weights holds; one that holds anything else is not written over.
WEIGHTS, CARD = "model.safetensors", "README.md"


def export_run(
    run: str | Path,
    to: Format = "onnx",
    out: str | Path | None = None,
    checkpoint: str = "best",
    points: int | None = None,
) -> Path:
    """Write a run's model for use without pointmcd.

    "onnx": one file with the inputs and the output that the task names: `points` float32
    [batch, points, 3], for part segmentation also `labels` int64 [batch], and `logits` ([batch,
    classes]; [batch, points, parts]) or, of a pretrained run, `embedding` [batch, C]. It holds what
    it was made from in its metadata, and is checked in ONNX Runtime before it gets its name.

    "safetensors": a folder with the weights and a card that says what they are.

    Args:
        run: the run folder.
        to: the format.
        out: the file (onnx) or folder (safetensors); `export.onnx` or `export` in the run by
            default.
        checkpoint: "best" (on the validation split) or "last".
        points: the only number of points that the ONNX file takes; by default it takes any from 2.

    Returns:
        The file or folder.

    Raises:
        RunError: when the run is not finished, or its checkpoint cannot be used.
        ConfigError: when `out` is something else already, the extra `onnx` is absent, or the
            student cannot be exported.
        PointMCDError: when the file computes something else than the run.
    """
    opened = Run(Path(run))
    opened.refuse_unfinished()
    if points is not None and (to != "onnx" or points < 1):
        raise ConfigError(f"--points {points}: is 1 or more, and for --to onnx alone")
    path = Path(out or opened.path / ("export.onnx" if to == "onnx" else "export"))
    if to == "safetensors":
        _refuse_others(path)
    elif path.is_dir():
        raise ConfigError(f"--out {path}: is a folder; name a file, like {path / 'model.onnx'}")
    model = load_model(opened, checkpoint, torch.device("cpu"))
    described = about(opened, model, checkpoint)
    if to == "onnx":
        write_run_onnx(opened, model, path, points, described)
        return path
    with replacing(path) as folder:
        folder.mkdir()
        save_checkpoint(folder / WEIGHTS, model.state_dict(), {"about": described})
        (folder / CARD).write_text(model_card(opened, described), encoding="utf-8")
    return path


def _refuse_others(path: Path) -> None:
    """Refuse to replace anything but a folder of weights."""
    if path.is_dir():
        if {file.name for file in path.iterdir()} <= {WEIGHTS, CARD}:
            return
        raise ConfigError(f"--out {path}: holds other files; name a folder of its own")
    if path.exists():
        raise ConfigError(f"--out {path}: is a file; name a folder")
