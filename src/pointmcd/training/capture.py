"""A training step recorded once on a GPU, then replayed without Python and launches between."""

import warnings
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from pointmcd.errors import first_line

#: What a step logs, scalars by name.
Logged = dict[str, Tensor]
#: Steps before the recording: kernels are chosen and compiled, the optimiser makes its state.
WARM_UP = 3


class Recorder(Protocol):
    """The device's part: tests have one that calls the step again instead of a replay."""

    def warm_up(self, step: Callable[[], Logged]) -> Logged:
        """Make a step as one will be recorded, and return what it logs."""

    def record(self, step: Callable[[], Logged]) -> tuple[Callable[[], None], Logged]:
        """Return what replays the step and where it then leaves what it logs; make no step."""

    def random_state(self) -> Tensor:
        """Return the state of the device's random numbers."""

    def restore_random(self, state: Tensor) -> None:
        """Set the state of the device's random numbers."""


class GraphRecorder:
    """Records into a CUDA graph."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()

    def warm_up(self, step: Callable[[], Logged]) -> Logged:
        """Make a step on a stream of its own, as torch asks for."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            logged = step()
        torch.cuda.current_stream().wait_stream(self.stream)
        return logged

    def record(self, step: Callable[[], Logged]) -> tuple[Callable[[], None], Logged]:
        """Record a step; `RuntimeError` where it waits for the host."""
        graph = torch.cuda.CUDAGraph()
        # Threads that load batches may use the GPU meanwhile.
        with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
            logged = step()
        return graph.replay, logged

    def random_state(self) -> Tensor:
        """Return the state of the GPU's random numbers."""
        return torch.cuda.get_rng_state()

    def restore_random(self, state: Tensor) -> None:
        """Set the state of the GPU's random numbers."""
        torch.cuda.set_rng_state(state)


class CapturedStep:
    """Makes steps, after the first few by replaying a recorded one on inputs of fixed places.

    Numbers among the inputs become scalars on the device, so that a schedule reaches the recorded
    step. Inputs of other sizes, and all where the step cannot be recorded, take the plain step; so
    do all where the first replay does not match the plain step.

    Args:
        step: makes one step from nested tuples and dicts of tensors, numbers and None.
        state: lists the tensors that a step writes to, parameters and buffers: they must stay
            where they are.
        moments: lists what the optimiser keeps.
        recorder: of the device.
        device: where numbers go.
    """

    def __init__(
        self,
        step: Callable[..., Logged],
        state: Callable[[], list[Tensor]],
        recorder: Recorder,
        device: torch.device,
        moments: Callable[[], list[Tensor]] = list,
    ) -> None:
        self.step, self.state, self.recorder, self.device = step, state, recorder, device
        self.moments = moments
        self.inputs: list[Any] = []
        self.layout: tuple[TreeSpec, list[Any]] | None = None
        self.places: list[int] = []
        self.steps = 0
        self.recorded: tuple[Callable[[], None], Logged] | None = None
        self.fails = False

    def __call__(self, *inputs: Any) -> Logged:
        """Make a step."""
        leaves, spec = tree_flatten(inputs)
        layout = spec, [_form(leaf) for leaf in leaves]
        if self.layout is None:
            self.layout = layout
            self.inputs = [self._fixed(leaf) for leaf in leaves]
        if self.fails or layout != self.layout:
            return self.step(*inputs)
        self._fill(leaves)
        if self.recorded is None and self.steps >= WARM_UP:
            return self._record()
        if self.recorded is None:
            self.steps += 1
            logged = self.recorder.warm_up(self._fixed_step)
            self._check_places()
            return logged
        replay, logged = self.recorded
        replay()
        return logged

    def _fixed(self, leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return torch.empty_like(leaf, memory_format=torch.contiguous_format)
        if isinstance(leaf, float):
            return torch.zeros((), device=self.device)
        return leaf

    def _fill(self, leaves: list[Any]) -> None:
        for place, leaf in zip(self.inputs, leaves, strict=True):
            if isinstance(leaf, Tensor):
                place.copy_(leaf, non_blocking=True)
            elif isinstance(leaf, float):
                place.fill_(leaf)

    def _fixed_step(self) -> Logged:
        assert self.layout is not None
        return self.step(*tree_unflatten(self.inputs, self.layout[0]))

    def _record(self) -> Logged:
        """Record, and make one step: the plain one, to which the first replay is held."""
        try:
            self.recorded = self.recorder.record(self._fixed_step)
        except RuntimeError as error:
            self._give_up(first_line(error))
            return self._fixed_step()
        state = [*self.state(), *self.moments()]
        before, chance = [one.detach().clone() for one in state], self.recorder.random_state()
        replay, logged = self.recorded
        replay()
        replayed = [one.detach().clone() for one in (*state, *logged.values())]
        with torch.no_grad():
            for one, old in zip(state, before, strict=True):
                one.copy_(old)
        self.recorder.restore_random(chance)
        wanted = self._fixed_step()
        if not _near(replayed, [*state, *wanted.values()], before):
            self.recorded = None
            self._give_up("a replay differs from the plain step")
        return wanted

    def _check_places(self) -> None:
        """Give up where a step puts new tensors into the state: a replay would read the old."""
        places, before = [tensor.data_ptr() for tensor in self.state()], self.places
        self.places = places
        if before and places != before:
            self._give_up("a step replaces a buffer; write into it with copy_")

    def _give_up(self, why: str) -> None:
        self.fails = True
        warnings.warn(f"training runs without CUDA graphs, which is slower: {why}", stacklevel=2)


def optimizer_moments(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return the tensors that an optimiser keeps of its parameters."""
    kept = (value for own in optimizer.state.values() for value in own.values())
    return [value for value in kept if isinstance(value, Tensor)]


def _near(found: list[Tensor], wanted: list[Tensor], before: list[Tensor]) -> bool:
    """Return whether a step changed its state as another did, but for rounding.

    An optimiser of normalised steps turns the rounding of a gradient near zero into a whole step:
    the difference of all changes together may be a tenth of them.
    """
    pairs = list(zip(found, wanted, strict=True))
    if not all(bool(torch.isfinite(one).all()) for one, _ in pairs):
        return False
    # As doubles: two masks have no difference of their own type.
    moved = [
        one.detach().double() - old.double() for (_, one), old in zip(pairs, before, strict=False)
    ]
    apart = [one.double() - other.detach().double() for one, other in pairs[: len(before)]]
    logged = all(torch.allclose(one, other, 0.01, 1e-4) for one, other in pairs[len(before) :])
    return logged and _length(apart) <= 0.1 * _length(moved) + 1e-6


def _length(tensors: list[Tensor]) -> float:
    return float(sum(float(one.square().sum()) for one in tensors) ** 0.5)


def _form(leaf: Any) -> Any:
    """Return what must be the same in every replay."""
    if isinstance(leaf, Tensor):
        return leaf.shape, leaf.dtype, leaf.device
    return type(leaf) if isinstance(leaf, float) else leaf
