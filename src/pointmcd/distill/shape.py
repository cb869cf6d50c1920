"""Shape: the pooled embedding of a shape matches the teacher's descriptor of it."""

from torch import Tensor, nn
from torch.nn import functional as F

from pointmcd.data.dataset import Batch
from pointmcd.distill.objective import Objective, Setup, register_objective
from pointmcd.ops.masked_max import max_over_points
from pointmcd.students.base import PointFeatures


@register_objective("shape")
class ShapeDescriptor(Objective):
    """Cosine distance of the projected embedding (max over points) to the shape descriptor.

    VAFP without visibility: what one descriptor of all views together gives.
    """

    def __init__(self, options: object, setup: Setup) -> None:
        super().__init__(options, setup)
        self.linear = nn.Linear(setup.channels, setup.sizes["shape"][-1])

    @classmethod
    def outputs(cls, options: object) -> tuple[str, ...]:
        """The teacher's descriptor of the whole shape."""
        return ("shape",)

    def forward(self, features: PointFeatures, logits: Tensor, batch: Batch) -> Tensor:
        """Mean of 1 - cosine similarity over the shapes."""
        ours = self.linear(max_over_points(features.embeddings).float())
        return (1 - F.cosine_similarity(ours, batch.teacher["shape"].float(), dim=1)).mean()

    def agreement(self, features: PointFeatures, logits: Tensor, batch: Batch) -> Tensor:
        """Mean cosine similarity."""
        loss: Tensor = self(features, logits, batch)
        return 1 - loss
