"""Settings of a teacher and its lesson: their checks, and which of them decide the result."""

import re
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pointmcd.encoders.timm import TIMM_PREFIX
from pointmcd.errors import ConfigError
from pointmcd.settings import check_choices
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lesson import Lesson
from pointmcd.teachers.names import teacher_name

#: The entry of a teacher's settings with `ImageEncoder.weights`, where that is not empty.
ENCODER_WEIGHTS = "encoder_weights"


def check_config(lesson: type[Lesson], config: TeachConfig) -> None:
    """Refuse settings that cannot be meant.

    Raises:
        ConfigError: naming the option, its value and what it may be.
    """
    check_choices(config)
    lesson.read_options(config)
    if config.finetune and not lesson.finetunes:
        raise ConfigError(f"--finetune: --task {config.task} trains nothing; leave it out")
    if config.weights is not None and not config.teacher.startswith(TIMM_PREFIX):
        raise ConfigError(f"--weights: is for --teacher timm:MODEL, not {config.teacher}")
    _check_runtime(lesson, config)
    if config.seed < 0:
        raise ConfigError(f"--seed {config.seed}: at least 0")
    if config.name is not None and not re.fullmatch(r"\w[\w.-]*", config.name):
        raise ConfigError(f"--name {config.name}: letters, digits, dots, dashes and underscores")


def _check_runtime(lesson: type[Lesson], config: TeachConfig) -> None:
    if config.runtime == "torch":
        return
    if config.finetune or lesson.needs_maps:
        trains = "--finetune" if config.finetune else f"--task {config.task}"
        raise ConfigError(
            f"--runtime onnx: computes a frozen encoder's pooled features, which {trains} does"
            " not use; leave it out"
        )
    if config.device not in ("auto", "cpu"):
        raise ConfigError(
            f"--runtime onnx: runs on the CPU; leave out --device {config.device}, or it"
        )


def decisive_settings(lesson: type[Lesson], config: TeachConfig) -> dict[str, Any]:
    """Return every setting that decides the result, JSON: what must agree to resume."""
    finetune = {"finetune": config.finetune} if lesson.finetunes else {}
    name = teacher_name(lesson, config)
    about = {"teacher": config.teacher, "task": config.task, "name": name, "seed": config.seed}
    return about | finetune | asdict(lesson.read_options(config))


def lesson_settings(lesson: Lesson) -> dict[str, Any]:
    """Return the decisive settings of a lesson, and which weights its encoder was found to have."""
    weights = {ENCODER_WEIGHTS: lesson.encoder.weights} if lesson.encoder.weights else {}
    return decisive_settings(type(lesson), lesson.config) | weights


def config_of(teacher: Mapping[str, Any], store: Path) -> tuple[TeachConfig, str]:
    """Return the config that a teacher.json tells of, for a store, and its `encoder_weights`."""
    settings = dict(teacher["settings"])
    weights = settings.pop(ENCODER_WEIGHTS, "")
    known = {field.name for field in fields(TeachConfig)}
    own = {name: settings.pop(name) for name in settings.keys() - known}
    file = teacher["weights_file"]
    return TeachConfig(store, **settings, options=own, weights=file and Path(file)), weights
