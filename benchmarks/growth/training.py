"""Curves of VAFP, forward and backward, and of whole distilled steps of students."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch

from benchmarks.growth.curve import Call, Curve, sweep
from benchmarks.shared.steps import make_module, random_batch
from benchmarks.shared.steps import step as train_step
from pointmcd.ops.masked_max import masked_max

#: Of VAFP, where another grows.
USUAL = {"B": 8, "N": 1024, "V": 12, "C": 1024}
GROWING: dict[str, Sequence[int]] = {
    "N": (256, 512, 1024, 2048, 4096),
    "V": (4, 8, 16, 32),
    "C": (128, 256, 512, 1024, 2048),
    "B": (4, 8, 16, 32),
}
NAMES = {"N": "points", "V": "views", "C": "channels", "B": "shapes in a batch"}
STEP_BATCH = 8
STEP_POINTS: dict[str, Sequence[int]] = {
    "pointnet": (256, 512, 1024, 2048, 4096),
    "dgcnn": (256, 512, 1024, 2048),
}


def projection(growing: Mapping[str, Sequence[int]] = GROWING) -> Iterator[Curve]:
    """Yield the cost of VAFP against each of its four sizes."""
    for letter, sizes in growing.items():
        kept = ", ".join(f"{name} {size}" for name, size in USUAL.items() if name != letter)
        calls = {size: partial(vafp, **USUAL | {letter: size}) for size in sizes}
        yield sweep(f"VAFP, {kept}", NAMES[letter], calls, repeats=5)


def vafp(B: int, N: int, V: int, C: int) -> Call:  # noqa: N803
    """Return a call of VAFP; two fifths of the points are seen, as on real shapes."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.rand(B, N, C, generator=generator, requires_grad=True)
    visibility = torch.rand(B, N, V, generator=generator) < 0.4
    grad = torch.randn(B, V, C, generator=generator)
    return lambda: torch.autograd.grad(masked_max(embeddings, visibility), embeddings, grad)


def steps(
    points: Mapping[str, Sequence[int]] = STEP_POINTS, batch: int = STEP_BATCH
) -> list[Curve]:
    """Return the cost of distilled steps of students against the number of points."""
    return [
        sweep(
            f"{name}, distilled step, B {batch}, V 12",
            "points",
            {size: partial(step, name, batch, size) for size in sizes},
            repeats=2,
        )
        for name, sizes in points.items()
    ]


def step(name: str, batch: int, points: int) -> Call:
    """Return a call that goes forward and backward and updates the parameters."""
    return train_step(
        make_module(name), random_batch(batch, points), make_optimizer=torch.optim.AdamW
    )
