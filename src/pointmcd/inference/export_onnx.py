"""A model as an ONNX file of any batch and number of points or views, compared with torch."""

import json
import timeit
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pointmcd.data.dataset import Batch
from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import as_images
from pointmcd.errors import ConfigError, PointMCDError
from pointmcd.files import replacing
from pointmcd.inference.predictor import Predictor
from pointmcd.inference.teacher import Teacher
from pointmcd.onnx_file import OnnxModule, require_onnx, write_onnx
from pointmcd.progress import console
from pointmcd.shapes.features import count_channels

#: How far ONNX Runtime may be from torch, in units of the largest value where that is above 1.
TOLERANCE = 1e-4
#: Batch and points of the example, where the number of points is open: no size that is special.
_TRACED = (3, 200)
#: Calls that are timed, and the seconds that they may take.
_REPEATS, _SECONDS = 15, 2.0
_WHAT = "--to onnx"


def write_student_onnx(
    trained: Predictor, path: Path, points: int | None, about: dict[str, Any], store: Store | None
) -> None:
    """Write a trained student's model and check the file.

    Args:
        trained: the model, on the CPU.
        path: the file.
        points: the only number of points that it takes; None for any from 2.
        about: its metadata, JSON values.
        store: shapes to compare on; None for random clouds.

    Raises:
        ConfigError: when the extra is absent, or the model cannot be exported.
        PointMCDError: when the file computes something else than the model.
    """
    with _checked(trained.model, path, _examples(trained, points, store)) as temporary:
        _write(trained, temporary, points, about)


def write_teacher_onnx(teacher: Teacher, path: Path, about: dict[str, Any]) -> None:
    """Write a teacher's model, `images` float32 [batch, views, 3, S, S] -> its output.

    `labels` int64 [batch] is a second input where its task is given classes. It is compared on
    shapes of the teacher's store; errors are those of `write_student_onnx`.
    """
    store, size = teacher.store, teacher.store.rig["size"]
    shown = [
        np.stack([store.views(i) for i in range(min(n, len(store.shapes)))]) for n in (1, 2, 5)
    ]
    images = [as_images(torch.from_numpy(views)) for views in shown]
    examples = [_with_classes(teacher, some) for some in [*images, images[1][:, :1]]]
    batch, views = torch.export.Dim("batch"), torch.export.Dim("views")
    names = ["images", "labels"] if teacher.task.takes_class else ["images"]
    with _checked(teacher.model, path, examples) as temporary:
        write_onnx(
            teacher.model,
            _with_classes(teacher, torch.rand(2, 3, 3, size, size)),
            temporary,
            _WHAT,
            inputs=names,
            outputs=[teacher.task.output_name],
            sizes=tuple({0: batch, 1: views} if name == "images" else {0: batch} for name in names),
            metadata={key: json.dumps(value) for key, value in about.items()},
        )


def _with_classes(teacher: Teacher, images: Tensor) -> tuple[Tensor, ...]:
    """Inputs of a teacher's model: images, and class ids, each class in turn."""
    if not teacher.task.takes_class:
        return (images,)
    return images, torch.arange(len(images)) % len(teacher.labels.classes)


@contextmanager
def _checked(
    model: nn.Module, path: Path, examples: Iterable[tuple[Tensor, ...]]
) -> Iterator[Path]:
    """Yield a temporary name for a file, which is compared with the model and then renamed."""
    require_onnx(_WHAT)  # before an export that may take minutes
    with replacing(path) as temporary:
        yield temporary
        loaded, shown = OnnxModule(temporary, _WHAT), list(examples)
        for inputs in shown:
            _check(model, loaded, inputs, path)
        _tell_latency(loaded, shown[0])


def _tell_latency(loaded: OnnxModule, inputs: tuple[Tensor, ...]) -> None:
    """Say how long the file takes for one shape here."""
    calls = max(1, min(_REPEATS, int(_SECONDS / timeit.timeit(lambda: loaded(*inputs), number=1))))
    seconds = median(timeit.repeat(lambda: loaded(*inputs), number=1, repeat=calls))
    what, threads = "points" if inputs[0].ndim == 3 else "views", torch.get_num_threads()
    console.print(
        f"{1000 * seconds:.3g} ms for a shape of {inputs[0].shape[1]:,} {what}, in ONNX Runtime on"
        f" {threads} thread{'s' * (threads > 1)} of this CPU",
        soft_wrap=True,
    )


def _write(trained: Predictor, path: Path, points: int | None, about: dict[str, Any]) -> None:
    from pointmcd.ops.farthest_onnx import translations

    task = trained.task
    batch = torch.export.Dim("batch")
    sizes = {name: {0: batch} for name in task.input_names}
    if points is None:
        sizes["points"] = {0: batch, 1: torch.export.Dim("points", min=2)}
    try:
        write_onnx(
            trained.model,
            _inputs(trained, _random(trained, _TRACED[0], points or _TRACED[1])),
            path,
            _WHAT,
            inputs=task.input_names,
            outputs=[task.output_name],
            sizes=tuple(sizes.values()),
            translations=translations(),
            metadata={key: json.dumps(value) for key, value in about.items()},
        )
    except ConfigError as error:
        if points is not None:
            raise
        hint = f"--points {trained.points} fixes the number of points, which may help"
        raise ConfigError(f"{error}; {hint}") from error


def _check(model: nn.Module, loaded: OnnxModule, inputs: tuple[Tensor, ...], path: Path) -> None:
    """Refuse a file whose outputs differ from torch's."""
    with torch.inference_mode():
        wanted = model(*inputs)
    gap = float((loaded(*inputs) - wanted).abs().max())
    limit = TOLERANCE * max(1.0, float(wanted.abs().max()))
    if not gap <= limit:
        size = " x ".join(map(str, inputs[0].shape[:2]))
        what, of = ("points", "student") if inputs[0].ndim == 3 else ("views", "encoder")
        raise PointMCDError(
            f"{path}: not written: on {size} {what} ONNX Runtime differs from torch by {gap:.1e},"
            f" more than {limit:.1e}; use --to safetensors, or report this {of}"
        )


def _examples(
    trained: Predictor, points: int | None, store: Store | None
) -> Iterator[tuple[Tensor, ...]]:
    """Inputs of several batch sizes and numbers of points: shapes of the store, where there."""
    usual = points or trained.points
    counts = [usual] if points else sorted({max(2, usual // 2), usual, 2 * usual})
    for batch, count in [(1, usual), *((2, count) for count in counts), (5, usual)]:
        if store is None or len(store.shapes) < batch or store.num_points < count:
            clouds = _random(trained, batch, count)
        else:
            first = store.points(np.arange(batch), count, trained.features)
            clouds = torch.from_numpy(np.array(first))
        yield _inputs(trained, clouds)


def _inputs(trained: Predictor, points: Tensor) -> tuple[Tensor, ...]:
    """Inputs of the model: points [B, N, 3 + F], and class ids [B], each class in turn."""
    labels = torch.arange(len(points)) % max(1, len(trained.labels.classes))
    return trained.task.inputs(Batch(points, labels))


def _random(trained: Predictor, batch: int, count: int) -> Tensor:
    """Normal clouds [B, N, 3 + F] in the unit sphere, features too, the same each time."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(batch, count, 3, generator=generator)
    beside = torch.rand(batch, count, count_channels(trained.features), generator=generator)
    return torch.cat([points / points.norm(dim=2).amax(dim=1)[:, None, None], beside], dim=2)
