"""View logits: the teacher's own classifier reads the student's descriptor of each view."""

from dataclasses import dataclass

from torch import Tensor, nn

from pointmcd.data.dataset import Batch
from pointmcd.distill.logits import LogitOptions, divergence
from pointmcd.distill.objective import Objective, Setup, register_objective
from pointmcd.distill.projection import ViewProjection
from pointmcd.students.base import PointFeatures

#: The weights that a teacher of classification has for its descriptors, [K, D].
CLASSIFIER = "heads.classifier.weight"


@dataclass(frozen=True)
class ViewLogitOptions(LogitOptions):
    """Options of `view_logits`, which are those of `logits`."""


@register_objective("view_logits")
class ViewLogits(Objective):
    """Divergence of class probabilities of each view: geometric descriptor against picture.

    The descriptor of VAFP goes through the teacher's classifier, which is kept as it is: what is
    matched is what the descriptor says of the class. The idea is that of Yang et al., "Knowledge
    Distillation via Softmax Regression Representation Learning" (ICLR 2021).
    """

    Options = ViewLogitOptions
    weight = 9.0
    classifier: Tensor

    def __init__(self, options: ViewLogitOptions, setup: Setup) -> None:
        super().__init__(options, setup)
        self.register_buffer("classifier", setup.weights(CLASSIFIER).float(), persistent=False)
        statistics = setup.statistics("descriptors")
        self.projection = ViewProjection(setup.channels, self.classifier.shape[1])
        self.projection.start_from(statistics.mean, statistics.std)

    @classmethod
    def outputs(cls, options: ViewLogitOptions) -> tuple[str, ...]:
        """The logits of views; the descriptors only for the start of the projection."""
        return ("view_logits", "descriptors")

    def forward(self, features: PointFeatures, logits: Tensor, batch: Batch) -> Tensor:
        """Mean divergence over shapes and views, times T squared."""
        assert batch.visibility is not None
        descriptors = self.projection(features, batch.visibility).float()
        ours = nn.functional.linear(descriptors, self.classifier)
        return divergence(
            ours.flatten(0, 1), batch.teacher["view_logits"].flatten(0, 1), self.options
        )
