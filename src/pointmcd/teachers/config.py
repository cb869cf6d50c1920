"""Settings of `pointmcd teach`."""

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from tyro.conf import Positional

from pointmcd.errors import ConfigError
from pointmcd.options import Advanced

#: What a teacher learns. The last two need no label, and none reaches them.
TeacherTask = Literal["classification", "segmentation", "features", "autoencoder"]
LABEL_FREE = ("features", "autoencoder")


@dataclass(frozen=True)
class Schedule:
    """How long and in what steps a teacher learns; the fields are described in `TeachConfig`."""

    epochs: int
    batch_size: int
    lr: float
    final_lr: float


#: By task and whether the encoder is fine-tuned. The method fine-tunes with a step of 1e-4; what
#: learns on a frozen encoder does well with a larger one, chosen on the validation part.
_SCHEDULES = {
    ("classification", False): Schedule(128, 48, 1e-3, 1e-6),
    ("classification", True): Schedule(128, 48, 1e-4, 1e-6),
    ("segmentation", False): Schedule(20, 4, 1e-2, 5e-6),
    ("segmentation", True): Schedule(20, 4, 1e-4, 5e-6),
    ("autoencoder", False): Schedule(20, 8, 1e-3, 5e-6),
    ("autoencoder", True): Schedule(20, 8, 1e-4, 5e-6),
    ("features", False): Schedule(1, 2, 0.0, 0.0),  # nothing is trained
}


@dataclass(frozen=True)
class TeachConfig:
    """How a teacher is trained on a store. Defaults: the method's, but for the step size.

    Settings that are None depend on the task and on `finetune`: `schedule` has their values.
    """

    store: Positional[Path]
    """The prepared store."""
    teacher: str = "lite0"
    """Image encoder: lite0, timm:MODEL for any model of timm, module:package.module:factory for
    your own, or random:NAME for the control with random weights."""
    weights: Path | None = None
    """File with the weights of timm:MODEL (.safetensors or .pth); by default timm's own."""
    task: TeacherTask = "classification"
    """What it learns: the shape's class; the part of every pixel (segmentation); or, for students
    without labels, nothing (features: the encoder as it is) or to redraw the views
    (autoencoder)."""
    whiten: Advanced[bool] = False
    """Features only: make the channels uncorrelated too (PCA), and keep the 512 strongest."""
    finetune: bool = False
    """Train the encoder too (slow without a GPU); otherwise only what is put on top of it."""
    name: str | None = None
    """Name in the store; by default made from the encoder's and the task."""
    epochs: int | None = None
    """Passes over the train part; 128, segmentation and autoencoder 20."""
    batch_size: int | None = None
    """Shapes per step; 48, segmentation 4, autoencoder 8."""
    views_per_step: Advanced[int] = 4
    """Views of each shape in one step, drawn anew each time; classification takes all."""
    lr: float | None = None
    """Adam step size at the start; 1e-3, segmentation 1e-2, 1e-4 with --finetune."""
    final_lr: Advanced[float | None] = None
    """Step size at the end of the cosine; 1e-6, segmentation and autoencoder 5e-6."""
    weight_decay: Advanced[float] = 1e-5
    """L2 penalty of Adam."""
    label_smoothing: float = 0.2
    """Probability shared among the other classes; classification only."""
    seed: int = 0
    """Seed of weights and order."""
    device: str = "auto"
    """cpu, cuda, mps, or auto."""
    runtime: Literal["torch", "onnx"] = "torch"
    """What computes a frozen encoder's features: torch, or ONNX Runtime on the CPU (an extra)."""
    overwrite: bool = False
    """Replace a teacher of that name."""

    @property
    def resolved_name(self) -> str:
        """Folder name of the teacher in the store."""
        return self.name or default_name(self.teacher, self._kind, self.finetune)

    @property
    def _kind(self) -> str:
        return "whitened" if self.whiten else self.task

    @property
    def schedule(self) -> Schedule:
        """Epochs, batch and step sizes: those given, else the task's own."""
        default = _SCHEDULES[self.task, self.finetune]
        given = {name: getattr(self, name) for name in asdict(default)}
        return replace(default, **{k: v for k, v in given.items() if v is not None})

    def check(self) -> None:
        """Refuse values that cannot be meant.

        Raises:
            ConfigError: naming the field, its value and what it may be.
        """
        if self.task not in get_args(TeacherTask):
            raise ConfigError(f"--task {self.task}: use one of {', '.join(get_args(TeacherTask))}")
        if self.whiten and self.task != "features":
            raise ConfigError(f"--whiten: is for --task features, not {self.task}")
        if self.finetune and self.task == "features":
            raise ConfigError("--finetune: --task features trains nothing; use autoencoder")
        if self.weights is not None and not self.teacher.startswith("timm:"):
            raise ConfigError(f"--weights: is for --teacher timm:MODEL, not {self.teacher}")
        self._check_runtime()
        values = vars(self) | asdict(self.schedule)
        # Batch norm needs two shapes.
        for name, least in (("epochs", 1), ("batch_size", 2), ("views_per_step", 1), ("seed", 0)):
            if values[name] < least:
                raise ConfigError(f"{_option(name)} {values[name]}: at least {least}")
        for name in ("lr", "final_lr", "weight_decay"):
            if not values[name] >= 0:
                raise ConfigError(f"{_option(name)} {values[name]}: at least 0")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"--label-smoothing {self.label_smoothing}: 0 to below 1")
        if self.name is not None and not re.fullmatch(r"\w[\w.-]*", self.name):
            raise ConfigError(f"--name {self.name}: letters, digits, dots, dashes and underscores")

    def _check_runtime(self) -> None:
        if self.runtime not in ("torch", "onnx"):
            raise ConfigError(f"--runtime {self.runtime}: use torch or onnx")
        if self.runtime == "torch":
            return
        if self.finetune or self.task not in ("classification", "features"):
            trains = "--finetune" if self.finetune else f"--task {self.task}"
            raise ConfigError(
                f"--runtime onnx: computes a frozen encoder's pooled features, which {trains} does"
                " not use; leave it out"
            )
        if self.device not in ("auto", "cpu"):
            raise ConfigError(
                f"--runtime onnx: runs on the CPU; leave out --device {self.device}, or it"
            )

    def decisive(self) -> dict[str, Any]:
        """Every setting that decides the result, JSON: what must agree to resume.

        A file of weights counts by what is in it: see `Lesson.settings`.
        """
        fields = asdict(self) | asdict(self.schedule) | {"name": self.resolved_name}
        idle = {"store", "weights", "device", "runtime", "overwrite"} | _IDLE[self.task]
        return {name: value for name, value in fields.items() if name not in idle}


#: What a task does not read. Teachers of a class are described as before there was another task.
_IDLE: dict[str, set[str]] = {
    "classification": {"task", "views_per_step", "whiten"},
    "segmentation": {"label_smoothing", "whiten"},
    "autoencoder": {"label_smoothing", "whiten"},
    "features": {
        *("label_smoothing", "views_per_step", "weight_decay", "finetune"),
        *("epochs", "batch_size", "lr", "final_lr"),
    },
}


def _option(field: str) -> str:
    return "--" + field.replace("_", "-")


#: Endings of default names, and the options that they stand for.
_KINDS = {
    "segmentation": " --task segmentation",
    "features": " --task features",
    "whitened": " --task features --whiten",
    "autoencoder": " --task autoencoder",
}


def folder_name(encoder: str) -> str:
    """The encoder's name in names of folders."""
    return re.sub("[:/]", "-", encoder)


def default_name(encoder: str, kind: str, finetune: bool) -> str:
    """What a teacher is called that is given no name.

    Args:
        encoder: the image encoder.
        kind: its task, or "whitened".
        finetune: whether the encoder is trained too.
    """
    of_kind = "" if kind == "classification" else f"-{kind}"
    return f"{folder_name(encoder)}{of_kind}{'-finetuned' if finetune else ''}"


def split_name(name: str) -> tuple[str, str, bool]:
    """The encoder in a default name, its kind (see `default_name`), and whether fine-tuned."""
    bare = name.removesuffix("-finetuned")
    for kind in _KINDS:
        if bare.endswith(f"-{kind}"):
            return bare.removesuffix(f"-{kind}"), kind, bare != name
    return bare, "classification", bare != name


def command_for(name: str) -> str:
    """Options of `pointmcd teach` that make a teacher of that name, if it is a default one."""
    bare, kind, finetuned = split_name(name)
    teacher = re.sub("^random-", "random:", bare)
    teacher = re.sub("^(random:)?timm-", r"\1timm:", teacher)
    if teacher.startswith("module-"):  # names in Python have no dashes
        teacher = teacher.replace("-", ":")
    return f"--teacher {teacher}{_KINDS.get(kind, '')}{' --finetune' if finetuned else ''}"
