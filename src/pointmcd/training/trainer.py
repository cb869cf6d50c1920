"""One epoch of training and validation, on whatever devices and processes accelerate runs."""

import copy
import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from typing import Any

import torch
from accelerate import Accelerator, DataLoaderConfiguration, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import send_to_device
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pointmcd.ahead import map_ahead
from pointmcd.checkpoint import (
    load_module,
    load_optimizer,
    optimizer_tensors,
    under_prefix,
    with_prefix,
)
from pointmcd.data.dataset import Batch, ShapeDataset, as_is
from pointmcd.data.resident import resident
from pointmcd.data.sampling import BalancedSampler, class_weights
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.distill.objective import Objectives, Setup
from pointmcd.distill.statistics import channel_statistics
from pointmcd.errors import ConfigError, RunError
from pointmcd.ops.batch_norm import synchronise
from pointmcd.students.precision import protect_coordinates
from pointmcd.tasks.task import Labels, Scores, Task
from pointmcd.teachers.stored import teacher_weights
from pointmcd.training.averages import ExponentialAverage
from pointmcd.training.capture import (
    CapturedStep,
    GraphRecorder,
    Logged,
    Recorder,
    optimizer_moments,
)
from pointmcd.training.config import TrainConfig
from pointmcd.training.finetune import open_start, start_from
from pointmcd.training.inputs import (
    TrainShapes,
    train_dataset,
    unlabelled_dataset,
    validation_loader,
)
from pointmcd.training.model import build_model, evaluating
from pointmcd.training.processes import agreed, check_shared, process_count, process_index


class StudentTraining(nn.Module):
    """The model of the task and, in training only, its distillation objectives."""

    def __init__(self, task: Task, model: Any, objectives: Objectives) -> None:
        super().__init__()
        self.task, self.model, self.objectives = task, model, objectives

    def forward(
        self, batch: Batch, unlabelled: Batch | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, the loss of each objective [n], the student's penalty.

        Args:
            batch: what the task learns from.
            unlabelled: what the objectives learn from; None: the same.
        """
        logits, features = self.model.with_features(*self.task.inputs(batch))
        penalty = features.penalty
        if unlabelled is None:
            losses = self.objectives.losses(features, logits, batch)
        else:
            others, other_features = self.model.with_features(*self.task.inputs(unlabelled))
            losses = self.objectives.losses(other_features, others, unlabelled)
        return logits, losses, logits.new_zeros(()) if penalty is None else penalty


class Trainer:
    """Holds what training changes, and runs its epochs.

    Args:
        config: the settings.
        store: what is trained on.
        teacher: the teacher.json of the run's teacher; None for a baseline.
    """

    def __init__(
        self, config: TrainConfig, store: Store, teacher: dict[str, Any] | None = None
    ) -> None:
        self.config, self.store, self.teacher = config, store, teacher
        with agreed():
            self._build()
        if process_count() > 1:
            self.accelerator.ddp_handler.find_unused_parameters = self._leaves_some_unused()
            synchronise(self.training)
        device = self.accelerator.device
        optimizer = _optimizer(config, self.training, device if self.captures else None)
        pairs = zip(self._datasets, self.orders, strict=False)
        loaders = [self._train_loader(dataset, order) for dataset, order in pairs]
        prepared = self.accelerator.prepare(self.training, optimizer, *loaders)
        self.model, self.optimizer, *self.loaders = prepared
        self._began = 0.0
        #: Told after each step the epoch, and which share of its steps is done.
        self.on_step: Callable[[int, float], None] = lambda epoch, share: None
        self.make_step: Callable[..., Logged] = self._step
        if self.captures:
            self.make_step = CapturedStep(
                self._step,
                self._state,
                self._recorder(),
                device,
                lambda: optimizer_moments(self.optimizer),
            )

    def _build(self) -> None:
        """Everything that can be refused; no process waits for another."""
        config, store = self.config, self.store
        self.accelerator = _accelerator(config)
        self.task = config.described_task
        self.dataset = train_dataset(config, store, self.teacher)
        self.unlabelled = unlabelled_dataset(config, store, self.teacher)
        check_shared(config.batch_size, len(self.dataset))
        # The model is made first: runs of one seed start from the same weights.
        torch.manual_seed(config.seed)
        labels = Labels.of(store)
        self.module = build_model(self.task, config.student, labels, config.features)
        if config.init is not None:
            start_from(self.module, open_start(config.init))
        _set_dropout(self.module, config.dropout)
        if config.precision != "no":
            student: Any = self.module.student
            protect_coordinates(student)
        self.training = StudentTraining(self.task, self.module, self._objectives())
        self.average = self._average()
        self.weights = self._class_weights()
        # One for each loader: of a common one, loader processes would draw in another order.
        self.orders = [torch.Generator(), torch.Generator()]
        here = self.accelerator.device if self._on_gpu() else None
        self.validation = validation_loader(config, store, self.teacher, here)

    @property
    def _datasets(self) -> list[TrainShapes]:
        """The data sets of which each gives a batch to a step."""
        return [self.dataset] if self.unlabelled is None else [self.dataset, self.unlabelled]

    def _train_loader(self, dataset: TrainShapes, order: torch.Generator) -> DataLoader[Batch]:
        """Batches of all processes together; accelerate gives each its share."""
        config, sampler = self.config, None
        # Shapes without labels are all alike.
        if config.sampling == "balanced" and isinstance(dataset, ShapeDataset) and dataset.labelled:
            sampler = BalancedSampler(dataset.labels, len(dataset), order)
        here = self._on_gpu() and not config.workers
        source = resident(dataset, self.accelerator.device) if here else dataset
        return DataLoader(
            source,
            batch_size=min(config.batch_size, len(dataset)),
            shuffle=sampler is None,
            sampler=sampler,
            drop_last=True,
            generator=order,
            collate_fn=as_is,
            num_workers=config.workers,
            pin_memory=self._on_gpu() and source is dataset,
        )

    def _batches(self, loader: DataLoader[Batch]) -> Generator[Batch, None, None]:
        """Go through a loader, whose batches a thread makes and sends to a GPU ahead of time.

        Those of shapes that stay there are made when they are asked for.
        """
        batches, threads = iter(loader), int(loader.pin_memory)
        try:
            # Once more than there are batches: accelerate's loader then knows a pass has ended.
            for batch in map_ahead(lambda _: next(batches, None), range(len(loader) + 1), threads):
                if batch is not None:
                    yield batch
        except ConfigError as error:  # of a loader process, torch gives the traceback as its text
            raise ConfigError(error.args[0].strip().rpartition("ConfigError: ")[2]) from error

    @property
    def captures(self) -> bool:
        """Whether steps are recorded and replayed: on one GPU, for plugs of this package.

        Those of others may draw numbers or count in Python, which a recording would fix. The
        scaling of float16 waits for the host in each step.
        """
        parts: list[Any] = [self.task, self.module.student, *self.training.objectives.values()]
        ours = all(type(part).__module__.startswith("pointmcd.") for part in parts)
        alone = process_count() == 1
        return self._on_gpu() and ours and alone and self.config.precision != "fp16"

    def _on_gpu(self) -> bool:
        return bool(self.accelerator.device.type == "cuda")

    def _recorder(self) -> Recorder:
        return GraphRecorder()

    def _state(self) -> list[Tensor]:
        """Parameters and buffers, and those of their average."""
        modules = [self.training] if self.average is None else [self.training, self.average]
        return [tensor for one in modules for tensor in (*one.parameters(), *one.buffers())]

    @property
    def evaluated(self) -> StudentTraining:
        """The model to validate and save: the averaged weights if there are any."""
        if self.average is None:
            return self.training
        averaged: Any = self.average.module
        assert isinstance(averaged, StudentTraining)
        return averaged

    def _average(self) -> ExponentialAverage | None:
        decay = self.config.ema_decay
        if decay is None:
            return None
        return ExponentialAverage(self.training, decay, self.accelerator.device)

    def _class_weights(self) -> Tensor | None:
        """Weight [K] of the shapes of each class in the task's loss; None: all alike."""
        if self.config.class_weights == "none" or not isinstance(self.dataset, ShapeDataset):
            return None
        weights = class_weights(self.dataset.labels, len(self.store.classes))
        return torch.from_numpy(weights).float().to(self.accelerator.device)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return max(len(self.loaders[0]), 1)

    def _objectives(self) -> Objectives:
        student: Any = self.module.student
        outputs = self._datasets[-1].teacher or {}
        setup = Setup(
            channels=int(student.num_features),
            sizes={name: output.shape[1:] for name, output in outputs.items()},
            statistics=lambda name: channel_statistics(outputs[name]),
            weights=lambda name: teacher_weights(self.store, self.teacher or {}, name),
        )
        return Objectives(self.config.terms, setup)

    def _leaves_some_unused(self) -> bool:
        """Return whether a step leaves parameters without a gradient, as in pretraining for parts.

        DistributedDataParallel must know: it would wait for such gradients, and to look for them in
        vain costs time and a warning.
        """
        device = self.accelerator.device
        trial = copy.deepcopy(self.training).to(device).train()
        batches = [dataset.__getitems__([0, 1]) for dataset in self._datasets]
        outputs = trial(*send_to_device(batches, device))
        torch.stack([output.sum() for output in outputs]).sum().backward()
        return any(p.grad is None for p in trial.parameters() if p.requires_grad)

    def epoch(self, epoch: int) -> dict[str, Any]:
        """Train one epoch (counted from 0), validate, and return the record of it."""
        self.start_epoch(epoch)
        return self.end_epoch(epoch, self._train(epoch))

    def start_epoch(self, epoch: int) -> None:
        """Settle the order, the augmentation and the learning rate of an epoch."""
        self._began = time.perf_counter()
        config = self.config
        # Everything random depends on seed and epoch alone: a resumed run repeats it.
        # Dropout and noise of a process are its own; order and augmentation are those of all.
        torch.manual_seed((process_index() << 40) + config.seed * 100_003 + epoch)
        for number, order in enumerate(self.orders):
            order.manual_seed((number << 40) + config.seed * 100_003 + epoch)
        # Not the data set's: accelerate's loader tells it the loader's own count of passes.
        for loader in self.loaders:
            loader.set_epoch(epoch)
        lr = learning_rate(config, epoch)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):  # which a recorded step reads
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr
        self.model.train()

    def end_epoch(self, epoch: int, means: dict[str, float]) -> dict[str, Any]:
        """Validate, and return the record of an epoch, with the means of what its steps logged."""
        scores = self._validate()
        with agreed():
            self._check_finite(epoch, (*means.values(), scores["val_loss"] or 0.0))
        return {
            "epoch": epoch + 1,
            "lr": learning_rate(self.config, epoch),
            **means,
            **scores,
            "seconds": round(time.perf_counter() - self._began, 3),
        }

    def _check_finite(self, epoch: int, losses: tuple[float, ...]) -> None:
        if not all(map(math.isfinite, losses)):
            raise RunError(
                f"{self.config.folder}: the loss is no longer finite in epoch {epoch + 1}; lower"
                " --lr"
            )

    def _validate(self) -> Scores:
        """Metrics on the validation split; all None where there is none."""
        if self.validation is None:
            return dict.fromkeys(self.task.metrics)
        evaluated = self.evaluated
        with evaluating(evaluated):
            return self.task.validate(
                evaluated.model,
                self.validation,
                self.accelerator.device,
                evaluated.objectives,
            )

    def _train(self, epoch: int) -> dict[str, float]:
        """One pass over the train split: the mean over its shapes of all that a step logs."""
        weights = loss_weights(self.config, epoch)
        names: list[str] = []
        sums = torch.zeros((), device=self.accelerator.device)
        with ExitStack() as stack:
            for done, batches in enumerate(self.batches(stack), 1):
                logged = self.make_step(batches[0], weights, *batches[1:])
                names = list(logged)
                means = torch.stack([*logged.values(), torch.ones_like(logged[names[0]])])
                sums = sums + means * len(batches[0].points)
                self.on_step(epoch, done / self.steps)
        *totals, count = self.accelerator.reduce(sums, "sum").tolist()
        return {name: total / count for name, total in zip(names, totals, strict=True)}

    def batches(self, stack: ExitStack) -> Iterator[tuple[Batch, ...]]:
        """Return the batches of an epoch's steps: of the task's shapes and, if apart, the others.

        Closing `stack` stops the loaders.
        """
        each = [stack.enter_context(closing(self._batches(one))) for one in self.loaders]
        return zip(*each, strict=False)

    def _step(
        self,
        batch: Batch,
        weights: tuple[float | Tensor, float | Tensor],
        unlabelled: Batch | None = None,
    ) -> Logged:
        """One optimiser step.

        Returns:
            what is logged of it, scalars: the task's loss and metrics, the loss of each objective.
        """
        with self.accelerator.autocast():
            outputs = self.model(batch, unlabelled)
        loss, logged = self.losses(outputs, batch, weights)
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        self._update()
        return logged

    def _update(self) -> None:
        """Change the weights by their gradients, and take them into the average."""
        if self.config.clip_gradients is not None:
            self.accelerator.clip_grad_norm_(self.training.parameters(), self.config.clip_gradients)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.training)

    def losses(
        self,
        outputs: tuple[Tensor, Tensor, Tensor],
        batch: Batch,
        weights: tuple[float | Tensor, float | Tensor],
    ) -> tuple[Tensor, Logged]:
        """Return the loss of a step from what `StudentTraining` gives, and what is logged of it."""
        (logits, losses, penalty), (task_weight, factor) = outputs, weights
        objectives = self.training.objectives
        if self.weights is not None:
            batch = batch._replace(weights=self.weights[batch.labels])
        task = self.task.loss(logits.float(), batch, self.config.label_smoothing)
        loss = task_weight * task + self.config.regulariser_weight * penalty.float()
        for own, weight in zip(losses, objectives.weights.values(), strict=True):
            loss = loss + (weight * factor) * own
        logged = {f"{key}_loss": own for key, own in zip(objectives, losses.detach(), strict=True)}
        if not self.task.labelled:
            return loss, logged
        metrics = self.task.training_metrics(logits.detach().float(), batch)
        return loss, {"task_loss": task.detach(), **logged, **metrics}

    def model_tensors(self) -> dict[str, Tensor]:
        """Return the model that is validated and kept, as a checkpoint holds it."""
        return with_prefix("model", self.evaluated.model.state_dict())

    def tensors(self) -> dict[str, Tensor]:
        """Return all that training needs to go on."""
        tensors = self.model_tensors()
        tensors |= with_prefix("optimizer", optimizer_tensors(self.optimizer))
        tensors |= with_prefix("objectives", self.training.objectives.state_dict())
        if self.average is not None:
            tensors |= with_prefix("live", self.module.state_dict())
            tensors |= with_prefix("average", self.evaluated.objectives.state_dict())
            tensors["steps"] = self.average.steps
        return tensors

    def load(self, tensors: dict[str, Tensor], what: str) -> None:
        """Go on from a whole checkpoint."""
        load_module(self.evaluated.model, under_prefix("model", tensors), what)
        load_module(self.training.objectives, under_prefix("objectives", tensors), what)
        load_optimizer(self.optimizer, under_prefix("optimizer", tensors))
        if self.average is not None:
            load_module(self.module, under_prefix("live", tensors), what)
            load_module(self.evaluated.objectives, under_prefix("average", tensors), what)
            self.average.steps.copy_(tensors["steps"])


def learning_rate(config: TrainConfig, epoch: int) -> float:
    """Learning rate of an epoch (from 0): linear warm-up, then a cosine down to `final_lr`."""
    if epoch < config.warmup_epochs:
        return config.lr * (epoch + 1) / (config.warmup_epochs + 1)
    span = max(config.epochs - config.warmup_epochs, 1)
    share = 0.5 * (1 + math.cos(math.pi * (epoch - config.warmup_epochs) / span))
    return config.final_lr + (config.lr - config.final_lr) * share


def loss_weights(config: TrainConfig, epoch: int) -> tuple[float, float]:
    """Weight of the task in an epoch (from 0), and the factor of the objectives' own weights.

    A baseline has the task's weight throughout.
    """
    progress = epoch / config.epochs
    if config.teacher is None:
        return config.task_weight, 0.0
    if config.distill_course == "constant":
        return config.task_weight, 1.0
    if config.distill_course == "decay":
        return config.task_weight, 0.5 * (1 + math.cos(math.pi * progress))
    distils = progress < config.distill_share
    return (0.0, 1.0) if distils else (config.task_weight, 0.0)


def _accelerator(config: TrainConfig) -> Accelerator:
    # accelerate keeps its settings per process; another run in this process may differ.
    # The processes of a launch have met with theirs; they keep it, and so their device.
    AcceleratorState._reset_state(reset_partial_state=process_count() == 1)
    device = pick_device(config.device)  # refuses one that is not there
    kind = device.type
    alone = process_count() == 1  # the processes of a launch have a device each
    if kind == "cuda" and device.index is not None and alone:  # accelerate takes the current one
        torch.cuda.set_device(device)
    on_cpu = kind == "cpu"
    if on_cpu and config.precision == "fp16":  # accelerate would pass over it in silence
        raise ConfigError("--precision fp16: needs a GPU; use bf16 or no")
    return Accelerator(
        cpu=on_cpu,
        kwargs_handlers=[DistributedDataParallelKwargs()],
        mixed_precision=config.precision,
        log_with=[*config.log_to] or None,
        project_dir=config.folder,
        dataloader_config=DataLoaderConfiguration(split_batches=True, non_blocking=kind == "cuda"),
    )


def _set_dropout(model: nn.Module, probability: float | None) -> None:
    """Set the probability of the dropout layers outside a model's student; None: leave them.

    Raises:
        ConfigError: when there are none.
    """
    if probability is None:
        return
    layers = [
        part
        for name, part in model.named_modules()
        if isinstance(part, nn.Dropout) and not name.startswith("student.")
    ]
    if not layers:
        raise ConfigError(f"--dropout {probability}: the head has no dropout layer; leave it out")
    for layer in layers:
        layer.p = probability


def _optimizer(
    config: TrainConfig, module: nn.Module, recorded_on: torch.device | None = None
) -> torch.optim.Optimizer:
    """Make the optimiser; a recorded step reads its learning rate from the device."""
    options: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay}
    if recorded_on is not None:
        module.to(recorded_on)  # fused optimisers look where the parameters are
        options |= {"lr": torch.tensor(config.lr, device=recorded_on), "fused": True}
    if config.optimizer == "sgd":
        return torch.optim.SGD(module.parameters(), momentum=0.9, **options)
    capturable = recorded_on is not None
    return torch.optim.AdamW(module.parameters(), capturable=capturable, **options)
