"""Coordinates under mixed precision: float32 up to the first learnt layer's product.

bfloat16 has 8 bits: in the unit sphere it moves a point by up to 0.002, more than points of a dense
cloud lie apart.
"""

from torch import Tensor, nn

from pointmcd.ops.backend import full_precision

#: Layers of at most as many input channels read coordinates, normals, or an edge's two ends.
_COORDINATES = 12


def protect_coordinates(student: nn.Module) -> None:
    """Let the layers of a student that read coordinates compute in their own precision, in place.

    These are its linear and convolution layers of few input channels. What a student computes of
    coordinates itself, by matrix products, it must put under `full_precision`.
    """
    for part in student.modules():
        exact = _EXACT.get(type(part))
        if exact is not None and next(part.parameters()).shape[1] <= _COORDINATES:
            part.__class__ = exact


class _Linear(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        with full_precision(input):
            return super().forward(input.to(self.weight))


class _Conv1d(nn.Conv1d):
    def forward(self, input: Tensor) -> Tensor:
        with full_precision(input):
            return super().forward(input.to(self.weight))


class _Conv2d(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        with full_precision(input):
            return super().forward(input.to(self.weight))


_EXACT: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: _Linear,
    nn.Conv1d: _Conv1d,
    nn.Conv2d: _Conv2d,
}
