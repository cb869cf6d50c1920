"""One epoch of training and validation, on whatever devices and processes accelerate runs."""

import copy
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator, DataLoaderConfiguration, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import send_to_device
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pointmcd.checkpoint import (
    load_module,
    load_optimizer,
    optimizer_tensors,
    save_checkpoint,
    under_prefix,
    with_prefix,
)
from pointmcd.data.augment import Augmentation
from pointmcd.data.dataset import Batch, ShapeDataset, as_is, evaluation_loader
from pointmcd.data.splits import keep_share
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.distill.distillation import ViewDistillation
from pointmcd.errors import ConfigError, RunError
from pointmcd.ops.batch_norm import synchronise
from pointmcd.ops.cross_entropy import smoothed_cross_entropy
from pointmcd.ops.processes import process_count, process_index
from pointmcd.tasks.registry import build_model, get_task
from pointmcd.tasks.task import Scores, Task
from pointmcd.training.config import TrainConfig
from pointmcd.training.finetune import start_from
from pointmcd.training.processes import agreed, check_shared
from pointmcd.training.run import Run
from pointmcd.training.schedule import learning_rate, loss_weights
from pointmcd.training.targets import channel_statistics, prepare_targets


class Trainee(nn.Module):
    """The model of the task and, in training only, its distillation branch."""

    def __init__(self, model: Any, distillation: ViewDistillation | None) -> None:
        super().__init__()
        self.model = model
        self.distillation = distillation

    def forward(self, inputs: tuple[Tensor, ...], visibility: Tensor | None) -> tuple[Tensor, ...]:
        """Logits, geometric descriptors [B, V, D] (or empty), the student's penalty."""
        logits, features = self.model.with_features(*inputs)
        nothing = logits.new_zeros(())
        descriptors = nothing
        if self.distillation is not None and visibility is not None:
            descriptors = self.distillation(features, visibility)
        return logits, descriptors, nothing if features.penalty is None else features.penalty


class Trainer:
    """Holds what training changes, and runs its epochs."""

    def __init__(self, config: TrainConfig, store: Store) -> None:
        self.config = config
        with agreed():
            self._build(store)
        if process_count() > 1:
            self.accelerator.ddp_handler.find_unused_parameters = _leaves_some_unused(
                self.trainee, self.task, self.dataset, self.accelerator.device
            )
            synchronise(self.trainee)
        loader = _train_loader(config, self.dataset, self.order)
        prepared = self.accelerator.prepare(self.trainee, _optimizer(config, self.trainee), loader)
        self.model, self.optimizer, self.loader = prepared

    def _build(self, store: Store) -> None:
        """Everything that can be refused; no process waits for another."""
        config = self.config
        self.accelerator = _accelerator(config)
        self.dataset = _train_dataset(config, store)
        check_shared(config.batch_size, len(self.dataset))
        self.task = get_task(config.task)
        # The model is made first: arms of one seed start from the same weights.
        torch.manual_seed(config.seed)
        ranges = store.part_ranges if self.dataset.parts else None
        self.module = build_model(
            *(config.task, config.student, len(store.classes), ranges), config.pretrain_for
        )
        if config.init is not None:
            start_from(self.module, Run(config.init))
        self.trainee = Trainee(self.module, _distillation(config, self.dataset, self.module))
        self.order = torch.Generator()
        self.validation = _validation_loader(config, store)

    def epoch(self, epoch: int) -> dict[str, Any]:
        """Train one epoch (counted from 0), validate, and return the record of it."""
        start = time.perf_counter()
        config = self.config
        # Everything random depends on seed and epoch alone: a resumed run repeats it.
        # Dropout and noise of a process are its own; order and augmentation are those of all.
        torch.manual_seed((process_index() << 40) + config.seed * 100_003 + epoch)
        self.order.manual_seed(config.seed * 100_003 + epoch)
        # Not the data set's: accelerate's loader tells it the loader's own count of passes.
        self.loader.set_epoch(epoch)
        lr = learning_rate(config, epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        sums = self._train(loss_weights(config, epoch))
        scores = self._validate()
        with agreed():
            self._check_finite(epoch, (*sums.values(), scores["val_loss"] or 0.0))
        return {
            "epoch": epoch + 1,
            "lr": lr,
            **sums,
            **scores,
            "seconds": round(time.perf_counter() - start, 3),
        }

    def _check_finite(self, epoch: int, losses: tuple[float, ...]) -> None:
        if not all(map(math.isfinite, losses)):
            raise RunError(
                f"{self.config.folder}: the loss is no longer finite in epoch {epoch + 1}; lower"
                " --lr"
            )

    def _validate(self) -> Scores:
        """Figures on the validation part; all None where there is none."""
        if self.validation is None:
            return dict.fromkeys(self.task.figures)
        with evaluating(self.trainee):
            return self.task.validate(
                *(self.module, self.validation, self.accelerator.device),
                self.trainee.distillation,
            )

    def _train(self, weights: tuple[float, float]) -> dict[str, float]:
        self.model.train()
        sums = torch.zeros(4, device=self.accelerator.device)
        for batch in self.loader:
            sums += self._step(batch, weights)
        task, distill, right, count = self.accelerator.reduce(sums, "sum").tolist()
        of_labels = {"task_loss": task / count, "train_accuracy": right / count}
        return {"distill_loss": distill / count} | (of_labels if self.task.labelled else {})

    def _step(self, batch: Batch, weights: tuple[float, float]) -> Tensor:
        """One optimiser step.

        Returns:
            task loss, distillation loss and share right, times the shapes, and their number: [4].
        """
        config, (task_weight, distill_weight) = self.config, weights
        with self.accelerator.autocast():
            logits, descriptors, penalty = self.model(self.task.inputs(batch), batch.visibility)
        task, right = self._judge(logits.float(), batch)
        loss = task_weight * task + config.regulariser_weight * penalty.float()
        distill = torch.zeros_like(task)
        distillation = self.trainee.distillation
        if distillation is not None and batch.targets is not None:
            distill = distillation.distance(descriptors.float(), batch.targets)
            loss = loss + distill_weight * distill
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        self.optimizer.step()
        sums = torch.stack([task.detach(), distill.detach(), right, torch.ones_like(right)])
        return sums * len(logits)

    def _judge(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The task's loss, and the share of its rows that are right; 0 for a task without rows."""
        rows, truth = self.task.pairs(logits, batch)
        if not len(rows):
            return logits.new_zeros(()), logits.new_zeros(())
        loss = smoothed_cross_entropy(rows, truth, self.config.label_smoothing)
        return loss, (rows.argmax(dim=1) == truth).float().mean()

    def save(self, path: Path, state: dict[str, Any], whole: bool) -> None:
        """Write a checkpoint: the model, and all that training needs if `whole`."""
        tensors = with_prefix("model", self.module.state_dict())
        if whole:
            tensors |= with_prefix("optimizer", optimizer_tensors(self.optimizer))
            if self.trainee.distillation is not None:
                tensors |= with_prefix("distillation", self.trainee.distillation.state_dict())
        save_checkpoint(path, tensors, state)

    def load(self, tensors: dict[str, Tensor], what: str) -> None:
        """Go on from a whole checkpoint."""
        load_module(self.module, under_prefix("model", tensors), what)
        if self.trainee.distillation is not None:
            load_module(self.trainee.distillation, under_prefix("distillation", tensors), what)
        load_optimizer(self.optimizer, under_prefix("optimizer", tensors))


def _accelerator(config: TrainConfig) -> Accelerator:
    # accelerate keeps its settings per process; another run in this process may differ.
    AcceleratorState._reset_state()
    on_cpu = pick_device(config.device).type == "cpu"  # refuses one that is not there
    if on_cpu and config.precision == "fp16":  # accelerate would pass over it in silence
        raise ConfigError("--precision fp16: needs a GPU; use bf16 or no")
    return Accelerator(
        cpu=on_cpu,
        kwargs_handlers=[DistributedDataParallelKwargs()],
        mixed_precision=config.precision,
        dataloader_config=DataLoaderConfiguration(split_batches=True),
    )


def _leaves_some_unused(
    trainee: Trainee, task: Task, dataset: ShapeDataset, device: torch.device
) -> bool:
    """Whether a step gives some parameter no gradient, as pretraining those for labelling points.

    DistributedDataParallel must know: it would wait for such gradients, and to look for them in
    vain costs time and a warning.
    """
    trial = copy.deepcopy(trainee).to(device).train()
    batch: Batch = send_to_device(dataset.__getitems__([0, 1]), device)
    outputs = trial(task.inputs(batch), batch.visibility)
    torch.stack([output.sum() for output in outputs]).sum().backward()
    return any(p.grad is None for p in trial.parameters() if p.requires_grad)


def _train_loader(
    config: TrainConfig, dataset: ShapeDataset, order: torch.Generator
) -> DataLoader[Batch]:
    """Batches of all processes together; accelerate gives each its share."""
    return DataLoader(
        dataset,
        batch_size=min(config.batch_size, len(dataset)),
        shuffle=True,
        drop_last=True,
        generator=order,
        collate_fn=as_is,
        num_workers=config.workers,
    )


def _train_dataset(config: TrainConfig, store: Store) -> ShapeDataset:
    everything = store.indices("train")
    indices = labelled_part(config, store)
    targets = None
    if config.teacher is not None:
        targets = prepare_targets(config, store, indices)
    augmentation = Augmentation(
        *(config.seed, config.scale, config.shift, config.resample, config.rotation),
        up=store.rig["up"],
    )
    return ShapeDataset(
        *(store, indices, config.points, targets),
        visibility=config.visibility,
        pairing=config.pairing,
        augmentation=augmentation,
        parts=config.task == "segmentation",
        labelled=get_task(config.task).labelled,
        repeats=round(len(everything) / len(indices)),
    )


def labelled_part(config: TrainConfig, store: Store) -> npt.NDArray[np.int64]:
    """The train shapes that are learnt from: all, or a share of every class."""
    indices = store.indices("train")
    if config.label_fraction == 1:
        return indices
    records = [store.shapes[i] for i in indices]
    names, labels = [r.name for r in records], [r.label for r in records]
    return indices[keep_share(names, labels, config.label_fraction, config.seed)]


def _distillation(
    config: TrainConfig, dataset: ShapeDataset, model: Any
) -> ViewDistillation | None:
    if dataset.targets is None:
        return None
    channels = int(model.student.num_features)
    statistics = channel_statistics(dataset.targets)
    signed = bool((statistics.least < 0).any())  # a ReLU could not reach them
    branch = ViewDistillation(channels, dataset.targets.shape[2], config.distill_loss, signed)
    if config.distill_start == "targets":
        branch.start_from(statistics.mean, statistics.deviation)
    return branch


def _optimizer(config: TrainConfig, module: nn.Module) -> torch.optim.Optimizer:
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            module.parameters(), lr=config.lr, momentum=0.9, weight_decay=config.weight_decay
        )
    return torch.optim.AdamW(module.parameters(), lr=config.lr, weight_decay=config.weight_decay)


def _validation_loader(config: TrainConfig, store: Store) -> DataLoader[Batch] | None:
    indices = store.indices("val")
    if not len(indices):
        return None
    labelled = get_task(config.task).labelled
    # Without labels there is only the teacher to agree with.
    targets = None if labelled else prepare_targets(config, store, indices)
    dataset = ShapeDataset(
        *(store, indices, config.points, targets, config.visibility, config.pairing),
        parts=config.task == "segmentation",
        labelled=labelled,
    )
    return evaluation_loader(dataset)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, without gradients."""
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        module.train(was_training)
