"""How far two trainings drift apart whose first weights differ by rounding alone, on the CPU.

    python -m benchmarks.speed.divergence

The yardstick of tests/training/test_recorded_on_gpu.py: a recorded training cannot be nearer to a
plain one than a plain one is to itself.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.speed.gpu_parity import made

STUDENTS = ("pointnet", "dgcnn", "pointnet2", "curvenet")
#: Steps, points of a cloud, and the size of the first difference in units of a weight.
STEPS, POINTS, CHANGE = 7, 256, 1e-6


def losses(model: nn.Module, points: Tensor) -> Tensor:
    """Train a classifier for some steps of a falling learning rate; return its losses."""
    labels = torch.arange(len(points))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    found = []
    for number in range(STEPS):
        optimizer.param_groups[0]["lr"] = 0.01 / (1 + number)
        loss = F.cross_entropy(model(points.roll(number, 0)), labels.roll(number, 0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.detach())
    return torch.stack(found)


def drift(student: str, seed: int) -> float:
    """Return the largest difference of two losses of one step, in units of the loss."""
    model, (points, *_) = made(student, "classification", POINTS)
    torch.manual_seed(seed)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weights in other.parameters():
            weights.mul_(1 + CHANGE * torch.randn_like(weights))
    one, two = losses(model, points), losses(other, points)
    return float(((two - one).abs() / one).max())


def main() -> None:
    """Print the largest drift of each student over four first differences."""
    for student in STUDENTS:
        print(f"{student}: up to {max(drift(student, seed) for seed in range(4)):.0%}")


if __name__ == "__main__":
    main()
