"""Settings of a teacher: their checks, which decide the result, its name, the command for it."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from pointmcd.data.label_file import labels_digest
from pointmcd.data.labels import is_part_file
from pointmcd.encoders.image_encoder import is_encoder, split_names
from pointmcd.encoders.joined import JOIN
from pointmcd.encoders.timm import TIMM_PREFIX
from pointmcd.errors import ConfigError
from pointmcd.settings import check_choices, check_known_labels, option
from pointmcd.teachers.config import LESSON_OPTIONS, TeachConfig
from pointmcd.teachers.features import folder_name
from pointmcd.teachers.lesson import LESSONS, Endings, Lesson

#: The entry of a teacher's settings with `ImageEncoder.weights`, where that is not empty.
ENCODER_WEIGHTS = "encoder_weights"
_FINETUNED = "-finetuned"
_LABEL_FILE = re.compile(r"-labels-[0-9a-f]{8}$")
_LABELS_KNOWN = re.compile(r"-(\d\.\d+)-s(\d+)$")
#: Options of a lesson and their values, in a default name as an ending.
Wanted = Mapping[str, Any]


def check_config(lesson: type[Lesson], config: TeachConfig) -> None:
    """Refuse invalid values.

    Raises:
        ConfigError: naming the option, its value and what it may be.
    """
    check_choices(config)
    lesson.read_options(config)
    check_known_labels(config)
    if config.finetune and not lesson.finetunes:
        raise ConfigError(f"--finetune: --task {config.task} trains nothing; leave it out")
    names = split_names(config.teacher)
    if config.weights is not None and sum(name.startswith(TIMM_PREFIX) for name in names) != 1:
        raise ConfigError(f"--weights: is for --teacher timm:MODEL, not {config.teacher}")
    if config.finetune and len(names) > 1:
        raise ConfigError("--finetune: trains one encoder; joined ones stay frozen, leave it out")
    if config.runtime == "onnx":
        _check_onnx(lesson, config)
    if lesson.label_free and config.label_fraction < 1:
        raise ConfigError(f"--label-fraction: --task {config.task} uses no labels; leave it out")
    if lesson.label_free and config.labels is not None:
        raise ConfigError(f"--labels: --task {config.task} uses no labels; leave it out")
    if config.labels is not None and is_part_file(config.labels) and not lesson.reads_parts:
        raise ConfigError(
            f"--labels {config.labels}: names parts, which --task {config.task} does not learn; use"
            " --task segmentation"
        )
    if config.name is not None and not re.fullmatch(r"\w[\w.-]*", config.name):
        raise ConfigError(f"--name {config.name}: letters, digits, dots, dashes and underscores")


def _check_onnx(lesson: type[Lesson], config: TeachConfig) -> None:
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
    # Teachers of all labels are described as before there was a choice.
    known: dict[str, Any] = {}
    if config.label_fraction < 1:
        known["label_fraction"] = config.label_fraction
    if config.labels is not None:
        known["labels"] = labels_digest(config.labels)
    return about | known | finetune | asdict(lesson.read_options(config))


def lesson_settings(lesson: Lesson) -> dict[str, Any]:
    """Return the decisive settings of a lesson, and which weights its encoder was found to have."""
    weights = {ENCODER_WEIGHTS: lesson.encoder.weights} if lesson.encoder.weights else {}
    return decisive_settings(type(lesson), lesson.config) | weights


def config_of(teacher: Mapping[str, Any], store: Path) -> tuple[TeachConfig, str]:
    """Return the config that a teacher.json tells of, for a store, and its `encoder_weights`."""
    settings = dict(teacher["settings"])
    weights = settings.pop(ENCODER_WEIGHTS, "")
    settings.pop("labels", None)
    own = {
        name: settings.pop(name) for name in settings.keys() - {f.name for f in fields(TeachConfig)}
    }
    return TeachConfig(store, **settings, options=own, weights=teacher["weights_file"]), weights


def teacher_name(lesson: type[Lesson], config: TeachConfig) -> str:
    """Return the name of a config's teacher: the one given, or the default.

    That is the encoder's name with the lesson's ending, whether it is fine-tuned, and a fraction of
    the labels with the seed that draws them, or a hash of the label file.
    """
    if config.name:
        return config.name
    ending, _ = _ending(lesson, config)
    name = folder_name(config.teacher) + (f"-{ending}" if ending else "")
    name += _FINETUNED if config.finetune else ""
    if config.labels is not None:
        return f"{name}-labels-{labels_digest(config.labels)}"
    known = f"-{config.label_fraction:g}-s{config.seed}"
    return name + known if config.label_fraction < 1 else name


def _ending(lesson: type[Lesson], config: TeachConfig) -> tuple[str, Wanted]:
    options = asdict(lesson.read_options(config)).items()
    endings = _endings(lesson, config.task).items()
    return next((ending, wanted) for ending, wanted in endings if wanted.items() <= options)


def _endings(lesson: type[Lesson], task: str) -> Endings:
    own: Endings = vars(lesson).get("endings", {})  # those of a base class are for that lesson
    return own or {folder_name(task): {}}


def _known_endings() -> dict[str, tuple[str, Wanted]]:
    """The lesson's name and its options, by ending, of all lessons that are known by name."""
    return {
        ending: (task, wanted)
        for task in LESSONS.names()
        for ending, wanted in _endings(LESSONS.get(task), task).items()
    }


def split_name(name: str) -> tuple[str, str, bool]:
    """Return the encoder of a default name, the ending ("": none), and whether it is fine-tuned."""
    bare = name.removesuffix(_FINETUNED)
    endings = (ending for ending in _known_endings() if ending and bare.endswith(f"-{ending}"))
    ending = next(endings, "")
    return bare.removesuffix(f"-{ending}"), ending, bare != name


def command_for(name: str, labels: Path | None = None) -> str | None:
    """Return options of `pointmcd teach` that make a teacher of that name, if a default one.

    None where the name begins with no image encoder's, as a misspelt one. `labels` is the label
    file at hand, which the name may be of.
    """
    known = _LABELS_KNOWN.search(name)
    fraction, seed = (float(known[1]), int(known[2])) if known else (1.0, 0)
    from_file = _LABEL_FILE.search(name)
    bare, ending, finetuned = split_name(_LABEL_FILE.sub("", _LABELS_KNOWN.sub("", name)))
    encoders = [*map(_encoder_of, bare.split(JOIN))]
    if not all(map(is_encoder, encoders)):
        return None
    teacher = JOIN.join(encoders)
    task, wanted = _known_endings().get(ending, (TeachConfig.task, {}))
    config = TeachConfig(
        Path(), teacher, task=task, finetune=finetuned, label_fraction=fraction, seed=seed
    )
    words = _words(config, wanted)
    if from_file is None:
        return words
    at_hand = labels is not None and from_file[0].endswith(labels_digest(labels))
    return f"{words} --labels {shlex.quote(str(labels)) if at_hand else 'FILE'}"


def _encoder_of(folder_name: str) -> str:
    """The encoder's name that gave a folder name."""
    if folder_name.startswith("module-"):  # names in Python have no dashes
        return folder_name.replace("-", ":")
    return re.sub("^(random:)?timm-", r"\1timm:", re.sub("^random-", "random:", folder_name))


def command_of(lesson: Lesson) -> str:
    """Return options of `pointmcd teach` that make a lesson's teacher."""
    kind, config = type(lesson), lesson.config
    _, wanted = _ending(kind, config)
    words = _words(config, {**wanted, **config.given_options})
    for name in ("weights", "labels"):
        if file := getattr(config, name):
            words += f" --{name} {shlex.quote(str(file.resolve()))}"
    named = teacher_name(kind, config) != teacher_name(kind, replace(config, name=None))
    return f"{words} --name {config.name}" if named else words


def _words(config: TeachConfig, options: Wanted) -> str:
    words = [f"--teacher {config.teacher}"]
    words += [] if config.task == TeachConfig.task else [f"--task {config.task}"]
    for name, value in options.items():
        if name in LESSON_OPTIONS:
            words.append(option(name) if value is True else f"{option(name)} {value}")
    own = [(name, value) for name, value in options.items() if name not in LESSON_OPTIONS]
    if own:
        pairs = (f"{name} {shlex.quote(str(value))}" for name, value in own)
        words.append(f"--options {' '.join(pairs)}")
    words += ["--finetune"] if config.finetune else []
    if config.label_fraction < 1:
        words.append(f"--label-fraction {config.label_fraction:g}")
    if config.label_fraction < 1 or config.seed:
        words.append(f"--seed {config.seed}")
    return " ".join(words)
