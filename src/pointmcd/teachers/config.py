"""Settings of `pointmcd teach`."""

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from pointmcd.errors import ConfigError

Task = Literal["classification", "segmentation"]


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
}


@dataclass(frozen=True)
class TeachConfig:
    """How a teacher is trained on a store. Defaults: the method's, but for the step size.

    Settings that are None depend on the task and on `finetune`: `schedule` has their values.
    """

    store: Positional[Path]
    """The prepared store."""
    teacher: str = "lite0"
    """Image encoder, or random:NAME for the control with random weights."""
    task: Task = "classification"
    """What it learns: the shape's class, or the part of every pixel."""
    finetune: bool = False
    """Train the encoder too (slow without a GPU); otherwise only what is put on top of it."""
    name: str | None = None
    """Name in the store; by default made from the encoder's and the task."""
    epochs: int | None = None
    """Passes over the train part; 128, segmentation 20."""
    batch_size: int | None = None
    """Shapes per step; 48, segmentation 4."""
    views_per_step: int = 4
    """Views of each shape in one step, drawn anew each time; classification takes all."""
    lr: float | None = None
    """Adam step size at the start; 1e-3, segmentation 1e-2, 1e-4 with --finetune."""
    final_lr: float | None = None
    """Step size at the end of the cosine; 1e-6, segmentation 5e-6."""
    weight_decay: float = 1e-5
    """L2 penalty of Adam."""
    label_smoothing: float = 0.2
    """Probability shared among the other classes; segmentation has none."""
    seed: int = 0
    """Seed of weights and order."""
    device: str = "auto"
    """cpu, cuda, mps, or auto."""
    overwrite: bool = False
    """Replace a teacher of that name."""

    @property
    def resolved_name(self) -> str:
        """Folder name of the teacher in the store."""
        return self.name or default_name(self.teacher, self.task, self.finetune)

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

    def decisive(self) -> dict[str, Any]:
        """Everything that decides the result, JSON: what must agree to resume."""
        fields = asdict(self) | asdict(self.schedule) | {"name": self.resolved_name}
        idle = ["store", "device", "overwrite"]
        # Teachers of a class are described as they were before there was another task.
        segments = self.task == "segmentation"
        idle += ["label_smoothing"] if segments else ["task", "views_per_step"]
        return {name: value for name, value in fields.items() if name not in idle}


def _option(field: str) -> str:
    return "--" + field.replace("_", "-")


def default_name(encoder: str, task: str, finetune: bool) -> str:
    """What a teacher is called that is given no name."""
    of_task = "" if task == "classification" else f"-{task}"
    return f"{encoder.replace(':', '-')}{of_task}{'-finetuned' if finetune else ''}"


def split_name(name: str) -> tuple[str, bool, bool]:
    """The encoder in a default name, whether it is of segmentation, and whether fine-tuned."""
    bare, finetuned = _without(name, "-finetuned")
    bare, segments = _without(bare, "-segmentation")
    return bare, segments, finetuned


def command_for(name: str) -> str:
    """Options of `pointmcd teach` that make a teacher of that name, if it is a default one."""
    bare, segments, finetuned = split_name(name)
    teacher = re.sub("^random-", "random:", bare)
    task = " --task segmentation" if segments else ""
    return f"--teacher {teacher}{task}{' --finetune' if finetuned else ''}"


def _without(name: str, suffix: str) -> tuple[str, bool]:
    return name.removesuffix(suffix), name.endswith(suffix)
