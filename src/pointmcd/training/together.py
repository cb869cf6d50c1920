"""Runs of one setting, such as its seeds or folds, trained as one model with batched weights.

Small runs leave a GPU idle between launches: here a step of all of them is as many launches as one
of a single run (torch.func, "Model ensembling").
"""

import copy
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_flatten, tree_unflatten

from pointmcd.data.dataset import Batch
from pointmcd.errors import ConfigError
from pointmcd.ops.backend import in_torch
from pointmcd.progress import progress_bar
from pointmcd.training.capture import Logged
from pointmcd.training.config import TrainConfig
from pointmcd.training.keeper import Keeper
from pointmcd.training.run import Run, lock_folder
from pointmcd.training.train import begin, existing_run, finish, plan_run, resume
from pointmcd.training.trainer import Trainer, loss_weights

#: Settings in which runs may differ.
_FREE = ("out", "seed", "labels", "store", "overwrite")
#: Students made of operations that torch can batch over runs.
STUDENTS = ("pointnet", "pointnet-vanilla")


def train_together(configs: Sequence[TrainConfig]) -> list[Path]:
    """Train runs as `train` would one by one, equal to rounding but for what dropout draws.

    Each has its own folder, resumable by `train` too. Runs that were stopped at different epochs go
    on in groups.

    Args:
        configs: settings that differ in seed, labels, store or folder alone; students `pointnet`
            and `pointnet-vanilla`, the task classification, a baseline or the objective `logits`.

    Returns:
        the run folders, in that order.

    Raises:
        ConfigError: when the settings differ otherwise, or such runs cannot be batched.
        PointMCDError: as `train`.
    """
    plans = [plan_run(config) for config in configs]
    for plan in plans:
        _check(plan.config, plans[0].config)
    groups: dict[int, list[tuple[Trainer, Run, Keeper]]] = defaultdict(list)
    with ExitStack() as locks:
        for plan, config in zip(plans, configs, strict=True):
            locks.enter_context(lock_folder(plan.config.folder))
            found = existing_run(plan)
            if found is None or not found.finished:
                trainer, run = begin(plan, found, config.points)
                start, keeper = resume(trainer, run)
                groups[start].append((trainer, run, keeper))
        for start, members in groups.items():
            _train(start, members)
    return [plan.config.folder for plan in plans]


def _check(config: TrainConfig, first: TrainConfig) -> None:
    """Refuse settings that differ, or whose step is not one of torch's operations alone."""
    same = {name: getattr(first, name) for name in _FREE}
    if replace(config, **same) != first:
        raise ConfigError(
            "runs that are trained together differ in seed, labels, store or out only"
        )
    fits = {
        "--student": config.student in STUDENTS,
        "--task": config.task == "classification",
        "--objective": {term.name for term in config.terms} <= {"logits"},
        "--precision": config.precision == "no",
        "--ema-decay": config.ema_decay is None,
        "--clip-gradients": config.clip_gradients is None,
        "--class-weights": config.class_weights == "none",
        "--log-to": not config.log_to,
    }
    for option, fine in fits.items():
        if not fine:
            value = getattr(config, option[2:].replace("-", "_"))
            shown = " ".join(value) if isinstance(value, tuple) else value
            raise ConfigError(f"{option} {shown}: such runs cannot be trained together")


def _train(start: int, members: Sequence[tuple[Trainer, Run, Keeper]]) -> None:
    together = Together([trainer for trainer, _, _ in members])
    total = together.first.config.epochs
    with progress_bar() as progress:
        task = progress.add_task(f"{len(members)} runs", total=total, completed=start, note="")
        for epoch in range(start, total):
            for (_, _, keeper), record in zip(members, together.epoch(epoch), strict=True):
                keeper.keep(record)
            progress.update(task, completed=epoch + 1)
    for trainer, run, _ in members:
        finish(trainer, run)


class Together:
    """Trainers of runs that take each step together.

    Each keeps its own parameters, optimiser and batches; for a step these are stacked, and the
    gradient flows back to each. Batch norm is that of each run.
    """

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        self.trainers, self.first = trainers, trainers[0]
        self.parameters = _by_name([dict(t.training.named_parameters()) for t in trainers])
        self.buffers = _by_name([dict(t.training.named_buffers()) for t in trainers])
        self.skeleton = copy.deepcopy(self.first.training).to("meta")
        if len({trainer.steps for trainer in trainers}) > 1:
            raise ConfigError(
                "runs that are trained together take equally many steps; these have"
                f" {', '.join(str(trainer.steps) for trainer in trainers)} an epoch"
            )

    def epoch(self, epoch: int) -> list[dict[str, Any]]:
        """Train one epoch (counted from 0), validate, and return the record of each run."""
        for trainer in self.trainers:
            trainer.start_epoch(epoch)
        weights = loss_weights(self.first.config, epoch)
        logged: list[Logged] = []
        with ExitStack() as stack:
            every = [trainer.batches(stack) for trainer in self.trainers]
            logged.extend(self.step(batches, weights) for batches in zip(*every, strict=True))
        means = {name: torch.stack([one[name] for one in logged]).mean(dim=0) for name in logged[0]}
        return [
            trainer.end_epoch(epoch, {name: float(mean[i]) for name, mean in means.items()})
            for i, trainer in enumerate(self.trainers)
        ]

    def step(self, batches: Sequence[tuple[Batch, ...]], weights: tuple[float, float]) -> Logged:
        """Make one step of each run, and return what it logs, [R] by name, R runs."""
        flat = [tree_flatten(one) for one in batches]
        spec = flat[0][1]
        leaves = [torch.stack(one) for one in _tensors([leaves for leaves, _ in flat])]
        places = [i for i, leaf in enumerate(flat[0][0]) if isinstance(leaf, Tensor)]

        def one(parameters: Any, buffers: Any, tensors: list[Tensor]) -> tuple[Tensor, Logged]:
            there = list(flat[0][0])
            for place, tensor in zip(places, tensors, strict=True):
                there[place] = tensor
            batch, *unlabelled = tree_unflatten(there, spec)
            outputs = functional_call(self.skeleton, (parameters, buffers), (batch, *unlabelled))
            return self.first.losses(outputs, batch, weights)

        parameters = {name: torch.stack(own) for name, own in self.parameters.items()}
        buffers = {name: torch.stack(own) for name, own in self.buffers.items()}
        with in_torch():
            losses, logged = vmap(one, randomness="different")(parameters, buffers, leaves)
        for trainer in self.trainers:
            trainer.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        for trainer in self.trainers:
            trainer.optimizer.step()
        for name, own in self.buffers.items():
            torch._foreach_copy_(own, list(buffers[name].unbind()))
        return {name: values.detach() for name, values in logged.items()}


def _by_name(each: Sequence[dict[str, Tensor]]) -> dict[str, list[Tensor]]:
    return {name: [one[name] for one in each] for name in each[0]}


def _tensors(each: Sequence[list[Any]]) -> Iterator[tuple[Tensor, ...]]:
    """Yield the tensors of several runs that stand in the same place."""
    for leaves in zip(*each, strict=True):
        if isinstance(leaves[0], Tensor):
            yield leaves
