"""A run's model as an ONNX file of any batch and number of points, held against torch."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, PointMCDError, StoreError
from pointmcd.extras import import_extra
from pointmcd.files import replacing
from pointmcd.inference.export_about import about
from pointmcd.onnx_file import EXTRA, OnnxModule, write_onnx
from pointmcd.training.model import load_model
from pointmcd.training.run import Run

#: How far ONNX Runtime may be from torch, in units of the largest value where that is above 1.
TOLERANCE = 1e-4
#: What the program is traced with, where the number of points is open: no size that is special.
_TRACED = (3, 200)
_WHAT = "--to onnx"


def write_run_onnx(run: Run, path: Path, checkpoint: str, points: int | None) -> None:
    """Write and check the file; see `pointmcd.inference.export.export_run`."""
    for name in ("onnx", "onnxscript", "onnxruntime"):  # before any work
        import_extra(name, EXTRA, _WHAT)
    model = load_model(run, checkpoint, torch.device("cpu"))
    metadata = {key: json.dumps(value) for key, value in about(run, model, checkpoint).items()}
    with replacing(path) as temporary:
        _write(run, model, temporary, points, metadata)
        loaded = OnnxModule(temporary, _WHAT)
        for inputs in _clouds(run, points):
            _check(model, loaded, inputs, path)


def _write(
    run: Run, model: nn.Module, path: Path, points: int | None, metadata: dict[str, str]
) -> None:
    """The file, of a fixed number of points where one is given."""
    from pointmcd.ops.farthest_onnx import translations

    labelled = run.meta["task"] == "segmentation"
    batch = torch.export.Dim("batch")
    size = {0: batch} if points else {0: batch, 1: torch.export.Dim("points", min=2)}
    cloud = _random(_TRACED[0], points or _TRACED[1])
    try:
        write_onnx(
            *(model, _inputs(run, cloud), path, _WHAT),
            inputs=["points", "labels"] if labelled else ["points"],
            outputs=["embedding" if run.meta["task"] == "pretrain" else "logits"],
            sizes=(size, {0: batch}) if labelled else (size,),
            translations=translations(),
            metadata=metadata,
        )
    except ConfigError as error:
        if points is not None:
            raise
        hint = f"--points {run.config.points} fixes the number of points, which may help"
        raise ConfigError(f"{error}; {hint}") from error


def _check(model: nn.Module, loaded: OnnxModule, inputs: tuple[Tensor, ...], path: Path) -> None:
    """Refuse a file that says something else than torch."""
    with torch.inference_mode():
        wanted = model(*inputs)
    gap = float((loaded(*inputs) - wanted).abs().max())
    limit = TOLERANCE * max(1.0, float(wanted.abs().max()))
    if not gap <= limit:
        size = " x ".join(map(str, inputs[0].shape[:2]))
        raise PointMCDError(
            f"{path}: not written: on {size} points ONNX Runtime differs from torch by {gap:.1e},"
            f" more than {limit:.1e}; use --to safetensors, or report this student"
        )


def _clouds(run: Run, points: int | None) -> Iterator[tuple[Tensor, ...]]:
    """Inputs of several batch sizes and numbers of points: shapes of the store, where there."""
    usual = points or run.config.points
    counts = [usual] if points else sorted({max(2, usual // 2), usual, 2 * usual})
    for batch, count in [(1, usual), *((2, count) for count in counts), (5, usual)]:
        yield _inputs(run, _stored(run, batch, count))


def _inputs(run: Run, cloud: Tensor) -> tuple[Tensor, ...]:
    """Clouds [B, N, 3], for a run of parts with class ids [B] that go round."""
    if run.meta["task"] != "segmentation":
        return (cloud,)
    return cloud, torch.arange(cloud.shape[0]) % int(run.meta["num_classes"])


def _stored(run: Run, batch: int, count: int) -> Tensor:
    """Points [B, N, 3] of the first shapes of the run's store; of chance where it has fewer."""
    try:
        store = Store(Path(run.meta["store"]))
    except StoreError:
        return _random(batch, count)
    if len(store.shapes) < batch or store.num_points < count:
        return _random(batch, count)
    return torch.from_numpy(np.array(store.points(np.arange(batch), count)))


def _random(batch: int, count: int) -> Tensor:
    """Normal clouds [B, N, 3] in the unit sphere, the same each time."""
    points = torch.randn(batch, count, 3, generator=torch.Generator().manual_seed(0))
    cloud: Tensor = points / points.norm(dim=2).amax(dim=1)[:, None, None]
    return cloud
