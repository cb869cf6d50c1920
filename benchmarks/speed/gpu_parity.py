"""Whether every student and task gives on a device what it gives on the CPU.

    python -m benchmarks.speed.gpu_parity

prints the yardstick, on the CPU alone: how far float32 is from float64 there.
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pointmcd.students.registry import list_students
from pointmcd.tasks.task import TASKS, Labels, get_task

LABELS = Labels([*"abcd"], {name: ["p", "q"] for name in "abcd"})


def parity(device: torch.device, small: bool) -> Iterator[list[object]]:
    """Compare every student in every task: the largest difference, in units of the largest value.

    CurveNet's walks choose otherwise where two scores differ by rounding, so that single curves may
    go other ways.
    """
    for student in ["pointnet", "pointnet2"] if small else list_students():
        for name in TASKS.names():
            model, given = made(student, name, 64 if small else 512)
            there = copy.deepcopy(model).to(device)
            yield [f"{student}, {name}", *differences((model, given), (there, given))]


def made(student: str, name: str, count: int) -> tuple[nn.Module, list[Tensor]]:
    """Return a student in a task, always the same and without dropout, and four clouds for it."""
    torch.manual_seed(0)
    task = get_task(name)
    model = task.build_model(student, LABELS).train()
    for part in model.modules():  # random numbers are not those of another device
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    points = torch.randn(4, count, 3)
    points /= points.norm(dim=2).amax(dim=1)[:, None, None]
    return model, [points, torch.arange(4)][: len(task.input_names)]


def differences(
    wanted: tuple[nn.Module, list[Tensor]], found: tuple[nn.Module, list[Tensor]]
) -> list[str]:
    """Return how far values and gradients of a model and its inputs are from another's."""
    pairs = zip(outcome(*wanted), outcome(*found), strict=True)
    return [f"{difference(*pair):.1e}" for pair in pairs]


def outcome(model: nn.Module, given: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return embeddings with logits, and the gradients of all parameters, flat."""
    place = next(model.parameters())
    logits, features = model.with_features(*(tensor.to(place.device) for tensor in given))  # type: ignore[operator]
    weights = torch.linspace(-1, 1, features.embeddings.shape[2]).to(place)
    (logits.square().mean() + (features.embeddings * weights).mean()).backward()
    grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    values = torch.cat([features.embeddings.flatten(), logits.flatten()])
    return values.detach().cpu(), torch.cat(grads).cpu()


def difference(wanted: Tensor, found: Tensor) -> float:
    """Return the largest difference in units of the largest value."""
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12))


def main() -> None:
    """Print how far float32 is from float64 on the CPU."""
    for student in ("pointnet", "pointnet2", "pointnet2-msg"):
        for name in TASKS.names():
            model, given = made(student, name, 512)
            exact = copy.deepcopy(model).double(), [given[0].double(), *given[1:]]
            print(student, name, *differences(exact, (model, given)))


if __name__ == "__main__":
    main()
