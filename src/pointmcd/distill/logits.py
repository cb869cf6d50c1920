"""Logits: the student's class probabilities match the teacher's."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from pointmcd.data.dataset import Batch
from pointmcd.distill.objective import Objective, register_objective
from pointmcd.errors import ConfigError
from pointmcd.students.base import PointFeatures


@dataclass(frozen=True)
class LogitOptions:
    """Options of `logits`.

    Attributes:
        temperature: divisor of the logits before the softmax; above 0.
        standardise: first give each shape's logits zero mean and unit standard deviation over its
            classes; false is the plain form.
    """

    temperature: float = 2.0
    standardise: bool = True

    def __post_init__(self) -> None:
        check_temperature(self.temperature)


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that is not a divisor.

    Raises:
        ConfigError: when it is not above 0 and finite.
    """
    if not 0 < temperature < float("inf"):
        raise ConfigError(f"temperature {temperature}: must be above 0")


@register_objective("logits")
class Logits(Objective):
    """Kullback-Leibler divergence of the student's class probabilities from the teacher's.

    Sources: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network" (2015): softened
    by a temperature T, the loss times T squared; Sun et al., "Logit Standardization in Knowledge
    Distillation" (CVPR 2024): standardised shape by shape, with T 2 and weight 9.
    """

    Options = LogitOptions
    weight = 9.0

    @classmethod
    def outputs(cls, options: LogitOptions) -> tuple[str, ...]:
        """The teacher's logits of the whole shape."""
        return ("logits",)

    def forward(self, features: PointFeatures, logits: Tensor, batch: Batch) -> Tensor:
        """Mean divergence over the shapes, times T squared."""
        return divergence(logits, batch.teacher["logits"], self.options)


def divergence(ours: Tensor, theirs: Tensor, options: LogitOptions) -> Tensor:
    """Divergence of softened probabilities of rows [n, K], their mean times T squared."""
    mine, wanted = (_softened(logits.float(), options) for logits in (ours, theirs))
    # Not F.kl_div, which torch.func has no rule for (training/together.py).
    mean = (wanted.exp() * (wanted - mine)).sum(dim=1).mean()
    return mean * options.temperature**2


def _softened(logits: Tensor, options: LogitOptions) -> Tensor:
    """Log-probabilities [n, K]."""
    if options.standardise:
        centred = logits - logits.mean(dim=1, keepdim=True)
        logits = centred / (centred.std(dim=1, keepdim=True) + 1e-7)
    return F.log_softmax(logits / options.temperature, dim=1)
