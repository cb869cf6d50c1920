"""An objective from one file outside the package: `toy_objective:ShapeMatch`."""

from dataclasses import dataclass

from torch import nn

from pointmcd.distill.objective import Objective


@dataclass(frozen=True)
class ShapeMatchOptions:
    power: int = 1


class ShapeMatch(Objective):
    """The mean embedding, projected, is the teacher's shape descriptor."""

    Options = ShapeMatchOptions
    weight = 0.5

    def __init__(self, options, setup):
        super().__init__(options, setup)
        (size,) = setup.sizes["shape"]
        self.linear = nn.Linear(setup.channels, size)

    @classmethod
    def outputs(cls, options):
        return ("shape",)

    def forward(self, features, logits, batch):
        gap = self.linear(features.embeddings.mean(dim=1)).float() - batch.teacher["shape"]
        return (gap.abs() ** self.options.power).mean()
