"""Export a trained run for other programs: an ONNX file, or weights with a card."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor, nn

from pointmcd.checkpoint import save_checkpoint
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, StoreError
from pointmcd.files import replacing
from pointmcd.inference.export_onnx import write_student_onnx, write_teacher_onnx
from pointmcd.inference.model_card import CARD, about, model_card, teacher_card
from pointmcd.inference.predictor import open_trained
from pointmcd.inference.teacher import about_teacher, open_teacher, refuse_run_options
from pointmcd.teachers.stored import is_teacher
from pointmcd.training.run import Run
from pointmcd.training.weights import WEIGHTS, is_weights

Format = Literal["onnx", "safetensors"]
_CPU = torch.device("cpu")


def export_run(
    run: str | Path,
    to: Format = "onnx",
    out: str | Path | None = None,
    checkpoint: str = "last",
    points: int | None = None,
    half: bool = False,
    licence: str | None = None,
) -> Path:
    """Write the model of a run, of a teacher, or of exported weights, for use without pointmcd.

    "onnx": one file with the inputs and the output that the task names: `points` float32
    [batch, points, 3], for part segmentation also `labels` int64 [batch], and `logits` ([batch,
    classes]; [batch, points, parts]) or, of a pretrained run, `embedding` [batch, C]. It holds what
    it was made from in its metadata, and is checked in ONNX Runtime before it gets its name. A
    teacher takes `images` in 0 to 1, float32 [batch, views, 3, size, size], of its store's size;
    one of parts also `labels`, and labels pixels: [batch, views, parts + 1, size, size], the
    background last.

    "safetensors": a folder with the weights and a card that says what they are.

    Args:
        run: the folder of a run, or of a teacher that does a task itself (STORE/teachers/NAME); for
            "onnx" also exported weights: a folder, a name of `list_pretrained`, or
            `hf-hub:OWNER/NAME`.
        to: the format.
        out: the file (onnx) or folder (safetensors); `export.onnx` or `export` in that folder by
            default, of weights NAME.onnx.
        checkpoint: "last", or "best" (on the validation split, if that was not fitted).
        points: the only number of points that the ONNX file takes; by default it takes any from 2.
        half: keep safetensors in float16, in half the space; they are loaded as float32.
        licence: that of the weights, for the card: an SPDX name like "cc-by-4.0"; by default the
            card says that none was chosen.

    Returns:
        The file or folder.

    Raises:
        RunError: when the run is not finished, or its checkpoint cannot be used.
        StoreError: when a teacher does not match its store, or is no longer in it.
        ConfigError: when `out` is something else already, the extra `onnx` is absent, the student
            cannot be exported, an option is for the other format, or float16 has no room for the
            weights.
        PointMCDError: when the file computes something else than the run.
    """
    source = Path(run)
    weights = is_weights(source)
    path = onnx_file(source, out) if to == "onnx" else Path(out or source / "export")
    if points is not None and (to != "onnx" or points < 1):
        raise ConfigError(f"--points {points}: must be at least 1, and applies only to --to onnx")
    for option, given in (("half", half), ("licence", licence)):
        if given and to == "onnx":
            raise ConfigError(f"--{option}: is for --to safetensors alone")
    load = _weights if weights else _teacher if is_teacher(source) else _run
    exported = load(source, checkpoint, points, half)
    if to == "safetensors":
        _refuse_others(path)
    elif path.is_dir():
        raise ConfigError(f"--out {path}: is a folder; name a file, like {path / 'model.onnx'}")
    if to == "onnx":
        exported.write_onnx(path)
        return path
    with replacing(path) as folder:
        folder.mkdir()
        tensors = exported.model.state_dict()
        if half:
            tensors = {name: _half(tensor) for name, tensor in tensors.items()}
        save_checkpoint(folder / WEIGHTS, tensors, {"about": exported.about})
        (folder / CARD).write_text(exported.card(licence), encoding="utf-8")
    return path


def onnx_file(source: Path, out: str | Path | None) -> Path:
    """Return where an ONNX file is written: by default into the run or teacher, of weights here."""
    name = f"{source.name}.onnx"
    return Path(out or (name if is_weights(source) else source / "export.onnx"))


@dataclass(frozen=True)
class _Export:
    """A model to export, with its metadata, its card and the writer of its ONNX file."""

    model: nn.Module
    about: dict[str, Any]
    card: Callable[[str | None], str]
    write_onnx: Callable[[Path], None]


def _run(folder: Path, checkpoint: str, points: int | None, half: bool) -> _Export:
    run = Run(folder)
    run.refuse_unfinished()
    checkpoint = run.kept(checkpoint)
    trained = open_trained(folder, checkpoint, _CPU)
    if half:
        _round(trained.model, folder)
    described = about(run, trained.model, checkpoint)
    write = partial(
        write_student_onnx, trained, points=points, about=described, store=_store_of(run)
    )
    return _Export(trained.model, described, partial(model_card, run, described), write)


def _store_of(run: Run) -> Store | None:
    """Return the store of a run; None where it is gone, or lacks what the student takes."""
    try:
        store = run.open_store()
        store.check_features(run.features)
    except StoreError:
        return None
    return store


def _weights(place: Path, checkpoint: str, points: int | None, half: bool) -> _Export:
    trained = open_trained(place, checkpoint, _CPU)
    told: dict[str, Any] = trained.model.about  # type: ignore[assignment]
    described = told | {  # older have none of these
        "up": trained.up,
        "temperature": trained.temperature,
        "calibrated": trained.calibrated,
    }
    write = partial(write_student_onnx, trained, points=points, about=described, store=None)
    return _Export(trained.model, described, partial(_refuse_card, place), write)


def _refuse_card(place: Path, licence: str | None) -> NoReturn:
    raise ConfigError(f"--to safetensors: {place}: is of that kind already; --to onnx takes it")


def _teacher(folder: Path, checkpoint: str, points: int | None, half: bool) -> _Export:
    refuse_run_options(checkpoint, points=points)
    teacher = open_teacher(folder, _CPU)
    if half:
        _round(teacher.model, folder)
    described = about_teacher(teacher)
    write = partial(write_teacher_onnx, teacher, about=described)
    return _Export(teacher.model, described, partial(teacher_card, teacher, described), write)


def _half(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


def _round(model: nn.Module, folder: Path) -> None:
    """Round weights to what float16 holds, so that they are described as they will be loaded."""
    for name, tensor in model.state_dict().items():
        rounded = _half(tensor)
        if not rounded.isfinite().all():
            raise ConfigError(f"--half: {folder}: {name} is out of float16's range; leave it out")
        tensor.copy_(rounded)


def _refuse_others(path: Path) -> None:
    """Refuse to replace anything but a folder of weights."""
    if path.is_dir():
        if {file.name for file in path.iterdir()} <= {WEIGHTS, CARD}:
            return
        raise ConfigError(f"--out {path}: holds other files; name a folder of its own")
    if path.exists():
        raise ConfigError(f"--out {path}: is a file; name a folder")
