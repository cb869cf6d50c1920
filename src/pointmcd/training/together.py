"""Runs with the same settings, such as several seeds, trained as one model with batched weights.

Small runs leave a GPU idle between launches: here a step of all of them is as many launches as one
of a single run (torch.func, "Model ensembling").
"""

import copy
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

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
from pointmcd.training.processes import join, process_count
from pointmcd.training.run import Run, lock_folder
from pointmcd.training.train import Plan, begin, existing_run, finish, plan_run, resume
from pointmcd.training.trainer import Trainer, loss_weights

#: Settings in which runs may differ.
_FREE = ("out", "seed", "labels", "store", "overwrite")
#: Students made of operations that torch can batch over runs.
STUDENTS = ("pointnet", "pointnet-vanilla")
_REMEDY = "train them one by one"


def train_together(configs: Sequence[TrainConfig]) -> list[Path]:
    """Train runs as `train` would one by one: equal up to rounding, except for dropout.

    Each has its own folder, which `train` can resume too. Runs that were stopped at different
    epochs go on in groups. The seconds in a run's records are those of its whole group.

    Args:
        configs: settings that differ in seed, labels, store or folder alone; students `pointnet`
            and `pointnet-vanilla`, the task classification, a baseline or the objective `logits`.

    Returns:
        the run folders, in that order.

    Raises:
        ConfigError: when the settings differ otherwise, such runs cannot be batched, or there are
            several processes.
        PointMCDError: as `train`.
    """
    if configs:
        join(configs[0].device)
    if process_count() > 1:
        raise ConfigError("runs are trained together by one process; start it without a launcher")
    plans = [plan_run(config) for config in configs]
    for plan in plans:
        _check(plan, plans[0])
    folders = [plan.config.folder.resolve() for plan in plans]
    if twice := [folder for folder in folders if folders.count(folder) > 1]:
        raise ConfigError(f"--out {twice[0]}: is given twice; each run has a folder of its own")
    with ExitStack() as locks:
        for plan in plans:
            locks.enter_context(lock_folder(plan.config.folder))
        found = [existing_run(plan) for plan in plans]
        open_ones = [
            (plan, run, config.points)
            for plan, run, config in zip(plans, found, configs, strict=True)
            if run is None or not run.finished
        ]
        trainers = [Trainer(plan.config, plan.store, plan.teacher) for plan, _, _ in open_ones]
        _check_steps(trainers)
        groups: dict[int, list[_Member]] = defaultdict(list)
        for (plan, begun, points), trainer in zip(open_ones, trainers, strict=True):
            run = begun or begin(plan, trainer, points)
            start, keeper = resume(trainer, run)
            groups[start].append(_Member(trainer, run, keeper))
        for start, members in groups.items():
            _train(start, members)
    return [plan.config.folder for plan in plans]


def can_train_together(config: TrainConfig) -> bool:
    """Return whether `train_together` takes such a run; its store and teacher must be there."""
    return _obstacle(plan_run(config).config) is None


class _Member(NamedTuple):
    trainer: Trainer
    run: Run
    keeper: Keeper


def _check(plan: Plan, first: Plan) -> None:
    """Refuse runs that differ, or whose step is not one of torch's operations alone."""
    config, other = plan.config, first.config
    for name in (field.name for field in fields(config) if field.name not in _FREE):
        ours, theirs = getattr(config, name), getattr(other, name)
        if ours != theirs:
            raise ConfigError(
                f"{config.folder}: has {name} {ours}, {other.folder} {theirs}; runs that are"
                f" trained together differ in seed, labels, store or out alone: {_REMEDY}"
            )
    if plan.store.classes != first.store.classes:
        raise ConfigError(
            f"{config.folder}: has other classes than {other.folder}, so that they cannot be"
            f" trained together; {_REMEDY}"
        )
    if obstacle := _obstacle(config):
        raise ConfigError(f"{obstacle}: such runs cannot be trained together; {_REMEDY}")


def _obstacle(config: TrainConfig) -> str | None:
    """Return the option whose value cannot be batched over runs, with the value; None: none."""
    fits = {
        f"--student {config.student}": config.student in STUDENTS,
        f"--task {config.task}": config.task == "classification",
        f"--objective {' '.join(config.objectives)}": {one.name for one in config.terms}
        <= {"logits"},
        f"--precision {config.precision}": config.precision == "no",
        f"--ema-decay {config.ema_decay}": config.ema_decay is None,
        f"--clip-gradients {config.clip_gradients}": config.clip_gradients is None,
        f"--class-weights {config.class_weights}": config.class_weights == "none",
        f"--log-to {' '.join(config.log_to)}": not config.log_to,
    }
    return next((option for option, fine in fits.items() if not fine), None)


def _check_steps(trainers: Sequence[Trainer]) -> None:
    steps = {trainer.steps: trainer.config.folder for trainer in trainers}
    if len(steps) > 1:
        (most, one), (least, other), *_ = sorted(steps.items(), reverse=True)
        raise ConfigError(
            f"{one}: has {most} steps an epoch, {other} {least}; runs that are trained together"
            f" take equally many: label equally many shapes in each, or {_REMEDY}"
        )


def _train(start: int, members: Sequence[_Member]) -> None:
    together = Together([one.trainer for one in members])
    total = together.first.config.epochs
    with progress_bar() as progress:
        task = progress.add_task(f"{len(members)} runs", total=total, completed=start, note="")
        for epoch in range(start, total):
            records = together.epoch(epoch)
            # All or none, so that an interrupted training goes on together.
            due = members[0].keeper.is_due(epoch + 1)
            for one, record in zip(members, records, strict=True):
                one.keeper.keep(record, due)
            progress.update(task, completed=epoch + 1)
    for one in members:
        finish(one.trainer, one.run)


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
        each = [tree_flatten(one)[0] for one in batches]
        first, spec = tree_flatten(batches[0])
        tensors = {
            i: torch.stack([leaves[i] for leaves in each])
            for i, leaf in enumerate(first)
            if isinstance(leaf, Tensor)
        }

        def one(
            parameters: dict[str, Tensor], buffers: dict[str, Tensor], own: dict[int, Tensor]
        ) -> tuple[Tensor, Logged]:
            there = [own.get(i, leaf) for i, leaf in enumerate(first)]
            batch, *unlabelled = tree_unflatten(there, spec)
            outputs = functional_call(self.skeleton, (parameters, buffers), (batch, *unlabelled))
            return self.first.losses(outputs, batch, weights)

        parameters = {name: torch.stack(own) for name, own in self.parameters.items()}
        buffers = {name: torch.stack(own) for name, own in self.buffers.items()}
        with in_torch():
            losses, logged = vmap(one, randomness="different")(parameters, buffers, tensors)
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
