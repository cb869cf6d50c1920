"""Distillation objectives: the terms of the loss between a student and its teacher."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pointmcd.data.dataset import Batch
from pointmcd.distill.statistics import ChannelStatistics
from pointmcd.errors import ConfigError, naming
from pointmcd.plugs import Plugs
from pointmcd.specs import NoOptions, Spec, parse_options, spec_text
from pointmcd.students.base import PointFeatures


@dataclass(frozen=True)
class Setup:
    """Sizes and statistics that an objective is built from.

    Attributes:
        channels: C, the channels of the student's embeddings.
        sizes: dimensions of each teacher output that was asked for, without the shapes:
            {"descriptors": (V, D)}.
        statistics: makes the channel statistics of an output over the train split.
        weights: reads a tensor of the teacher's own weights, by name; ConfigError: it has none.
    """

    channels: int
    sizes: Mapping[str, tuple[int, ...]]
    statistics: Callable[[str], ChannelStatistics]
    weights: Callable[[str], Tensor]


class Objective(nn.Module, ABC):
    """One term of the distillation loss; it owns its projection head, if it has one.

    A subclass is registered by `@register_objective("name")`, in one file, with its own options.
    Its layers are made in `__init__(options, setup)` and trained with the student; none of them is
    part of the model that is left after training.

    Attributes:
        Options: a dataclass of what can be set in `NAME:WEIGHT,option=value`.
        weight: of the term, where a run names none.
    """

    Options: ClassVar[type[Any]] = NoOptions
    weight: ClassVar[float] = 1.0

    def __init__(self, options: Any, setup: Setup) -> None:
        super().__init__()
        self.options = options

    @classmethod
    @abstractmethod
    def outputs(cls, options: Any) -> tuple[str, ...]:
        """Name the teacher outputs that the objective reads, like ("descriptors",)."""

    @abstractmethod
    def forward(self, features: PointFeatures, logits: Tensor, batch: Batch) -> Tensor:
        """Return the loss, a scalar in float32.

        Args:
            features: the student's output for the batch.
            logits: the output of the task's head.
            batch: `teacher` holds the outputs that were asked for, `visibility` bool [B, N, V].
        """

    def agreement(self, features: PointFeatures, logits: Tensor, batch: Batch) -> Tensor:
        """Return how well student and teacher agree, a scalar up to 1; exp(-loss) by default."""
        return torch.exp(-self(features, logits, batch))


OBJECTIVES: Plugs[type[Objective]] = Plugs("objective", "pointmcd.distill", "pointmcd.objectives")
register_objective = OBJECTIVES.register


@dataclass(frozen=True)
class Term:
    """An objective as the settings of a run name it.

    Attributes:
        key: name of its column in the log (`KEY_loss`), unique in a run.
        name: of the objective.
        kind: its class.
        weight: factor of its loss.
        options: its options.
    """

    key: str
    name: str
    kind: type[Objective]
    weight: float
    options: Any

    @property
    def outputs(self) -> tuple[str, ...]:
        """The teacher outputs that it reads.

        Raises:
            ConfigError: when its class names them otherwise than in a tuple.
        """
        with naming(f"objective {self.name}"):
            return named_outputs(self.kind, self.options)

    @property
    def text(self) -> str:
        """The full spec, with every option written out; equal runs have equal texts."""
        return spec_text(self.name, self.options, self.weight)


def read_terms(texts: Sequence[str]) -> tuple[Term, ...]:
    """Read objectives written as `NAME:WEIGHT,option=value`.

    Raises:
        ConfigError: for an unknown objective or option, a value that does not fit, or a weight
            that is not a number of at least 0.
    """
    terms: list[Term] = []
    for text in texts:
        spec = Spec.parse(text, "--objective")
        kind = _get_kind(spec.name, text)
        options = parse_options(kind.Options, spec.options, f"--objective {spec.name}")
        with naming(f"objective {spec.name}"):
            weight = usual_weight(kind) if spec.weight is None else spec.weight
        if not 0 <= weight < float("inf"):
            raise ConfigError(f"--objective {text}: the weight must be at least 0")
        bare, used = spec.name.rpartition(":")[2], {term.key for term in terms}
        keys = chain([bare], (f"{bare}{number}" for number in count(2)))
        terms.append(
            Term(next(key for key in keys if key not in used), spec.name, kind, weight, options)
        )
    return tuple(terms)


def usual_weight(kind: type[Objective]) -> float:
    """Return the weight of an objective where a run names none.

    Raises:
        ConfigError: when it is not a number of at least 0.
    """
    weight: Any = kind.weight
    if not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        raise ConfigError(f"weight is {weight!r}; write a number of at least 0")
    return weight


def named_outputs(kind: type[Objective], options: Any) -> tuple[str, ...]:
    """Return the teacher outputs that an objective reads.

    Raises:
        ConfigError: when they are not a tuple of strings.
    """
    found: Any = kind.outputs(options)
    if not isinstance(found, tuple | list) or not all(isinstance(name, str) for name in found):
        raise ConfigError(f'outputs gives {found!r}; write a tuple of names, such as ("shape",)')
    return tuple(found)


def _get_kind(name: str, text: str) -> type[Objective]:
    """Return the objective of a name; one whose last piece is not a number may end in a weight."""
    try:
        return OBJECTIVES.get(name)
    except ConfigError:
        before, _, weight = name.rpartition(":")
        if before in OBJECTIVES or (":" in before and not before.endswith(".py")):
            raise ConfigError(f"--objective {text}: the weight {weight} is not a number") from None
        raise


class Objectives(nn.ModuleDict):
    """The objectives of a run, by their keys."""

    def __init__(self, terms: Sequence[Term], setup: Setup) -> None:
        super().__init__({term.key: term.kind(term.options, setup) for term in terms})
        self.weights = {term.key: term.weight for term in terms}

    def losses(self, features: PointFeatures, logits: Tensor, batch: Batch) -> Tensor:
        """Loss of each objective, float32 [n], without its weight."""
        found = [objective(features, logits, batch) for objective in self.values()]
        return torch.stack(found) if found else logits.new_zeros(0, dtype=torch.float32)

    def agreement(self, features: PointFeatures, logits: Tensor, batch: Batch) -> Tensor:
        """Mean agreement of the objectives, a scalar."""
        every: list[Any] = list(self.values())
        return torch.stack([one.agreement(features, logits, batch) for one in every]).mean()
