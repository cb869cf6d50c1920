"""Default names of teachers, and the commands that make them."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.features import folder_name
from pointmcd.teachers.lesson import LESSONS, Endings, Lesson, spelling

_FINETUNED = "-finetuned"
#: Options of a lesson and their values, in a default name as an ending.
Wanted = Mapping[str, Any]


def teacher_name(lesson: type[Lesson], config: TeachConfig) -> str:
    """Return the name of a config's teacher: the one given, or the default."""
    return config.name or default_name(lesson, config)


def default_name(lesson: type[Lesson], config: TeachConfig) -> str:
    """Return the encoder's name with the lesson's ending, and whether it is fine-tuned."""
    ending = _ending(lesson, config)
    name = folder_name(config.teacher) + (f"-{ending}" if ending else "")
    return name + (_FINETUNED if config.finetune else "")


def _ending(lesson: type[Lesson], config: TeachConfig) -> str:
    options = asdict(lesson.read_options(config))
    return next(
        ending
        for ending, wanted in _endings(lesson, config.task).items()
        if wanted.items() <= options.items()
    )


def _endings(lesson: type[Lesson], task: str) -> Endings:
    own: Endings = vars(lesson).get("endings", {})  # those of a base class are for that lesson
    return own or {folder_name(task): {}}


def split_name(name: str) -> tuple[str, str, bool]:
    """Return the encoder of a default name, the ending ("": none), and whether it is fine-tuned."""
    bare = name.removesuffix(_FINETUNED)
    endings = (ending for ending in _known_endings() if ending and bare.endswith(f"-{ending}"))
    ending = next(endings, "")
    return bare.removesuffix(f"-{ending}"), ending, bare != name


def _known_endings() -> dict[str, tuple[str, Wanted]]:
    """The lesson's name and its options, by ending, of all lessons that are known by name."""
    return {
        ending: (task, wanted)
        for task in LESSONS.names()
        for ending, wanted in _endings(LESSONS.get(task), task).items()
    }


def command_for(name: str) -> str:
    """Return options of `pointmcd teach` that make a teacher of that name, if a default one."""
    bare, ending, finetuned = split_name(name)
    teacher = re.sub("^random-", "random:", bare)
    teacher = re.sub("^(random:)?timm-", r"\1timm:", teacher)
    if teacher.startswith("module-"):  # names in Python have no dashes
        teacher = teacher.replace("-", ":")
    task, wanted = _known_endings().get(ending, (TeachConfig.task, {}))
    return _words(teacher, task, wanted, finetuned)


def command_of(lesson: Lesson) -> str:
    """Return options of `pointmcd teach` that make a lesson's teacher, but for its schedule."""
    config = lesson.config
    wanted = _endings(type(lesson), config.task)[_ending(type(lesson), config)]
    words = _words(config.teacher, config.task, wanted, config.finetune)
    weights = f" --weights {config.weights.resolve()}" if config.weights else ""
    name = teacher_name(type(lesson), config)
    named = "" if name == default_name(type(lesson), config) else f" --name {name}"
    return words + weights + named


def _words(teacher: str, task: str, wanted: Wanted, finetune: bool) -> str:
    words = [f"--teacher {teacher}", *([] if task == TeachConfig.task else [f"--task {task}"])]
    words += [
        spelling(name) if v is True else f"{spelling(name)} {v}" for name, v in wanted.items()
    ]
    return " ".join([*words, *(["--finetune"] if finetune else [])])
