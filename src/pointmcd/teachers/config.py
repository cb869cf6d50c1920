"""Settings of `pointmcd teach`."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from pointmcd.errors import ConfigError


@dataclass(frozen=True)
class TeachConfig:
    """How a teacher is trained on a store. Defaults: the method's, but for the step size.

    The method fine-tunes its encoder with a step of 1e-4; heads alone on frozen features learn
    well with 1e-3, chosen on the validation part.
    """

    store: Positional[Path]
    """The prepared store."""
    teacher: str = "lite0"
    """Image encoder, or random:NAME for the control with random weights."""
    finetune: bool = False
    """Train the encoder too (slow without a GPU); otherwise only heads on cached features."""
    name: str | None = None
    """Name in the store; by default made from the encoder's."""
    epochs: int = 128
    """Passes over the train part."""
    batch_size: int = 48
    """Shapes per step."""
    lr: float | None = None
    """Adam step size at the start; 1e-3 for heads alone, 1e-4 with --finetune."""
    final_lr: float = 1e-6
    """Step size at the end of the cosine."""
    weight_decay: float = 1e-5
    """L2 penalty of Adam."""
    label_smoothing: float = 0.2
    """Probability shared among the other classes."""
    seed: int = 0
    """Seed of weights and order."""
    device: str = "auto"
    """cpu, cuda, mps, or auto."""
    overwrite: bool = False
    """Replace a teacher of that name."""

    @property
    def resolved_name(self) -> str:
        """Folder name of the teacher in the store."""
        suffix = "-finetuned" if self.finetune else ""
        return self.name or self.teacher.replace(":", "-") + suffix

    @property
    def resolved_lr(self) -> float:
        """Step size at the start."""
        return self.lr if self.lr is not None else (1e-4 if self.finetune else 1e-3)

    def check(self) -> None:
        """Refuse values that cannot be meant.

        Raises:
            ConfigError: naming the field, its value and what it may be.
        """
        # Batch norm needs two shapes.
        for name, least in (("epochs", 1), ("batch_size", 2), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                raise ConfigError(f"--{name.replace('_', '-')} {value}: at least {least}")
        for name in ("resolved_lr", "final_lr", "weight_decay"):
            value = getattr(self, name)
            if not value >= 0:
                option = name.removeprefix("resolved_").replace("_", "-")
                raise ConfigError(f"--{option} {value}: at least 0")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"--label-smoothing {self.label_smoothing}: 0 to below 1")
        if self.name is not None and not re.fullmatch(r"\w[\w.-]*", self.name):
            raise ConfigError(f"--name {self.name}: letters, digits, dots, dashes and underscores")

    def decisive(self) -> dict[str, Any]:
        """Everything that decides the result, JSON: what must agree to resume."""
        fields = asdict(self) | {"lr": self.resolved_lr, "name": self.resolved_name}
        return {k: v for k, v in fields.items() if k not in ("store", "device", "overwrite")}
