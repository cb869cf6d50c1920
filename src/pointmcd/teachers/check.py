"""Check any lesson against the contract, on a tiny made-up store."""

import inspect
import json
import re
from collections.abc import Callable
from dataclasses import asdict, is_dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from pointmcd.checking import attempt, check_derived, checking, close
from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.errors import ConfigError
from pointmcd.files import remove
from pointmcd.preparation.made_up import make_up_store
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lesson import LESSONS, Lesson, LessonOptions
from pointmcd.teachers.settings import teacher_name
from pointmcd.teachers.stored import work_file
from pointmcd.typing import Indices

_CPU = torch.device("cpu")
T = TypeVar("T")


def check_lesson(lesson: str | type[Lesson]) -> None:
    """Check that a lesson keeps the contract of lessons.

    It checks the class and its options; trains it for an epoch on ten made-up shapes with part
    labels, twice, and with a trained encoder where `finetunes` says so; and checks scores and
    outputs: their names, shapes and finite values, that outputs of a shape do not change with the
    other shapes asked for, that the same seed gives the same outputs, and that the weights of the
    teacher carry all that they need. A lesson with `label_free` must not read a label meanwhile.

    Args:
        lesson: the class, a registered name, or `package.module:Name`.

    Raises:
        ConfigError: one line that names the first rule broken, and how.
    """
    kind = LESSONS.get(lesson) if isinstance(lesson, str) else lesson
    name = lesson if isinstance(lesson, str) else getattr(lesson, "__name__", str(lesson))
    with checking(f"lesson {name}"), TemporaryDirectory() as folder:
        _check_class(kind)
        store = make_up_store(Path(folder))
        options: dict[str, Any] = {"epochs": 1, "batch_size": 3, "views_per_step": 2}
        config = TeachConfig(store.path, "random:lite0", task=name, device="cpu", **options)
        _check_teaching(kind, _Unlabelled(store.path) if kind.label_free else store, config)


def _check_class(kind: Any) -> None:
    check_derived(kind, Lesson)
    made = kind.options_type
    if not inspect.isclass(made) or not issubclass(made, LessonOptions) or not is_dataclass(made):
        raise ConfigError("options_type must be a dataclass derived from LessonOptions")
    for finetune in (False, kind.finetunes):
        options = _try("default_options", partial(kind.default_options, finetune))
        _try("options as JSON", partial(json.dumps, asdict(options)))


def _check_teaching(kind: type[Lesson], store: Store, config: TeachConfig) -> None:
    first = _fitted(kind, store, config, "fit")
    outputs = _check_outputs(first)
    scores = _try("scores", lambda: json.loads(json.dumps(first.scores())))
    stated = {"val_shapes": 2, "descriptor_size": outputs["descriptors"].shape[-1]} | scores
    line = _try("summary", lambda: kind.summary(stated))
    if not isinstance(line, str) or "\n" in line:
        raise ConfigError(f"summary returns {line!r}; expected one line")
    remove(work_file(store, teacher_name(kind, config)))

    again = _fitted(kind, store, config, "fit, a second time")
    _compare(again, outputs, "differ from one training to the next; draw from torch's generator")
    loaded = _make(kind, store, config)
    tensors = {name: x.clone() for name, x in first.teacher.state_dict().items()}
    _try("load", lambda: loaded.load(tensors, "its own weights"))
    _compare(
        loaded, outputs, "change once the teacher's weights are loaded; is some state no buffer?"
    )
    if kind.finetunes:
        tuned = replace(config, finetune=True)
        _check_outputs(_fitted(kind, store, tuned, "fit with --finetune"))


def _fitted(kind: type[Lesson], store: Store, config: TeachConfig, what: str) -> Lesson:
    lesson = _make(kind, store, config)
    _try(what, lesson.fit)
    return lesson


def _make(kind: type[Lesson], store: Store, config: TeachConfig) -> Lesson:
    encoder = ImageEncoder(config.teacher, config.seed)
    lesson = _try("the class", lambda: kind(store, config, _CPU, encoder))
    if not isinstance(getattr(lesson, "teacher", None), nn.Module):
        raise ConfigError("sets no torch module self.teacher")
    _try("prepare", lesson.prepare)
    return lesson


def _check_outputs(lesson: Lesson) -> dict[str, Tensor]:
    """The outputs for all shapes, of the right form."""
    count, views = len(lesson.store.shapes), lesson.store.num_views
    outputs = _outputs(lesson, np.arange(count))
    for name, tensor in outputs.items():
        if not re.fullmatch(r"[a-z]\w*", name) or name in lesson.cached:
            raise ConfigError(f"output {name!r}: expected a lower-case word, once")
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise ConfigError(f"output {name}: expected a tensor of floats")
        if tensor.shape[:1] != (count,):
            raise ConfigError(f"output {name}: {list(tensor.shape)} for {count} shapes")
        if not tensor.isfinite().all():
            raise ConfigError(f"output {name}: values that are not finite")
    shape = list(outputs["descriptors"].shape) if "descriptors" in outputs else []
    if len(shape) != 3 or shape[1] != views:
        raise ConfigError(f"output descriptors: {shape or 'none'}; expected [{count}, {views}, D]")
    some = np.array([count - 1, 0])
    for name, tensor in _outputs(lesson, some).items():
        if not close(tensor, outputs[name][some]):
            raise ConfigError(f"output {name}: of a shape, changes with the others asked for")
    return outputs


def _compare(lesson: Lesson, wanted: dict[str, Tensor], fault: str) -> None:
    found = _outputs(lesson, np.arange(len(lesson.store.shapes)))
    for name, tensor in wanted.items():
        if name not in found or not close(found[name], tensor):
            raise ConfigError(f"output {name}: values {fault}")


def _outputs(lesson: Lesson, indices: Indices) -> dict[str, Tensor]:
    lesson.teacher.eval()
    with torch.inference_mode():
        return _try("outputs", lambda: lesson.outputs(indices))


def _try(what: str, call: Callable[[], T]) -> T:
    try:
        return attempt(f"{what} fails", call)
    except ConfigError as error:
        if not isinstance(error.__cause__, _LabelReadError):
            raise
        raise ConfigError(f"{what} reads a label, though label_free says that none is") from None


class _LabelReadError(Exception):
    """A label was read."""


class _Unlabelled(Store):
    """A store whose labels must not be read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.shapes = [replace(shape, label=None) for shape in self.shapes]

    def __getattribute__(self, name: str) -> Any:
        if name in ("labels", "part_labels", "pixel_labels", "part_ranges"):
            raise _LabelReadError
        return super().__getattribute__(name)
