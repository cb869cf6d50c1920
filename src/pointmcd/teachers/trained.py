"""Base of lessons that train: options, loop, and resuming."""

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from pointmcd.checkpoint import (
    SaveTimer,
    load_checkpoint,
    load_module,
    load_optimizer,
    optimizer_tensors,
    save_checkpoint,
    under_prefix,
    with_prefix,
)
from pointmcd.errors import ConfigError
from pointmcd.progress import Estimate, note, progress_bar
from pointmcd.teachers.lesson import Lesson, LessonOptions
from pointmcd.teachers.settings import lesson_settings, teacher_name
from pointmcd.teachers.stored import work_file
from pointmcd.typing import Indices

#: Steps of a training whose epochs are not given, and the fewest epochs: after 80 steps, a teacher
#: of 17 blocks called nearly every pixel stock (docs/part-segmentation.md).
_STEPS, _LEAST_EPOCHS = 1000, 20
#: Steps below which a note says that the epochs that were given are few.
_FEW_STEPS = 200


@dataclass(frozen=True)
class TrainedOptions(LessonOptions):
    """Options of a lesson that trains with Adam.

    The learning rate goes from `lr` to `final_lr` by a cosine over epochs; `epochs=0` means as many
    as 1,000 steps need, at least 20. A step takes `batch_size` shapes, at least two: there are
    batch norms.
    """

    epochs: int = 0
    batch_size: int = 8
    lr: float = 1e-3
    final_lr: float = 5e-6
    weight_decay: float = 1e-5

    def __post_init__(self) -> None:
        self.require(epochs=0, batch_size=2, lr=0, final_lr=0, weight_decay=0)


class TrainedLesson(Lesson):
    """A lesson that minimises a loss with Adam; what is reached is kept in a work file.

    Its `options_type` derives from `TrainedOptions`.
    """

    options_type = TrainedOptions
    #: Default learning rate with `--finetune`: the method's. Layers on top of a frozen encoder do
    #: well with a larger one, chosen on the validation split.
    finetune_lr: ClassVar[float] = 1e-4

    #: What its progress is called.
    stage = "teacher"

    options: TrainedOptions

    @classmethod
    def default_options(cls, finetune: bool) -> LessonOptions:
        """Return the options where none is given; `finetune`: whether the encoder is trained."""
        options = cls.options_type()
        return replace(options, lr=cls.finetune_lr) if finetune else options

    @property
    def schedule(self) -> dict[str, int]:
        """Epochs, and steps in all."""
        return {"epochs": self._epochs, "steps": self._epochs * self._steps}

    @property
    def _steps(self) -> int:
        """Steps of an epoch."""
        return len(_batches(self, torch.arange(len(self.train))))

    @property
    def _epochs(self) -> int:
        return self.options.epochs or max(_LEAST_EPOCHS, math.ceil(_STEPS / self._steps))

    @property
    def _chosen_epochs(self) -> bool:
        """Whether the epochs are others than the lesson's own choice.

        Teachers of folds are given those of the run's teacher, whoever chose them.
        """
        given, usual = self.read_options(self.config), self.default_options(self.config.finetune)
        return bool(vars(given)["epochs"] != vars(usual)["epochs"])

    @property
    def begun(self) -> bool:
        """Whether a work file of the same settings is there to go on from."""
        return _kept(self) is not None

    @abstractmethod
    def loss(self, indices: Indices) -> Tensor:
        """Return the scalar loss on some train shapes or variants of them.

        Draw from torch's global generator alone.
        """

    def fit(self) -> None:
        """Train `teacher`, or go on from the work file of the same settings.

        Raises:
            ConfigError: when the loss is no longer finite.
        """
        options, epochs, steps = self.options, self._epochs, self._steps
        optimizer = torch.optim.Adam(
            self.teacher.parameters(), lr=options.lr, weight_decay=options.weight_decay
        )
        start = _resume(self, optimizer)
        if self._chosen_epochs and steps * epochs < _FEW_STEPS:
            _warn_of_few_steps(self, steps, epochs)
        estimate, timer = Estimate(steps * (epochs - start)), SaveTimer()
        with progress_bar() as progress:
            task = progress.add_task(self.stage, total=epochs, completed=start, note="")
            for epoch in range(start, epochs):
                share = 0.5 * (1 + float(np.cos(np.pi * epoch / epochs)))
                for group in optimizer.param_groups:
                    group["lr"] = options.final_lr + (options.lr - options.final_lr) * share

                def step(done: int, before: int = epoch - start) -> None:
                    progress.advance(task, 1 / steps)
                    estimate.reach(before * steps + done)

                loss = _train_epoch(self, optimizer, step, epoch)
                if not math.isfinite(loss):
                    raise ConfigError(
                        f"--lr {options.lr}: the teacher's loss is no longer finite in epoch"
                        f" {epoch + 1}; lower it"
                    )
                if timer.is_due(epoch + 1 == epochs):
                    _save(self, optimizer, epoch)
                    timer.written()
                progress.update(task, completed=epoch + 1, note=f"loss {loss:.3f}")


def _warn_of_few_steps(lesson: TrainedLesson, steps: int, epochs: int) -> None:
    """Say that a teacher may learn no more than the most frequent answer."""
    size = lesson.options.batch_size
    note(
        f"{steps * epochs} steps in all ({len(lesson.train)} shapes, batches of {size},"
        f" {epochs} epochs) are few for a teacher; pointmcd teach with"
        f" --epochs {math.ceil(_STEPS / steps)} makes {_STEPS:,}",
        kind="few steps of a teacher",
    )


def _save(lesson: TrainedLesson, optimizer: torch.optim.Optimizer, epoch: int) -> None:
    tensors = with_prefix("model", lesson.teacher.state_dict())
    tensors |= with_prefix("optimizer", optimizer_tensors(optimizer))
    state = {"epoch": epoch + 1, "settings": lesson_settings(lesson)}
    save_checkpoint(_work(lesson), tensors, state)


def _resume(lesson: TrainedLesson, optimizer: torch.optim.Optimizer) -> int:
    """The epoch to go on from; work of other settings is left behind."""
    kept = _kept(lesson)
    if kept is None:
        return 0
    tensors, epoch = kept
    load_module(lesson.teacher, under_prefix("model", tensors), str(_work(lesson)))
    load_optimizer(optimizer, under_prefix("optimizer", tensors))
    return epoch


def _kept(lesson: TrainedLesson) -> tuple[dict[str, Tensor], int] | None:
    """Tensors and epoch in the work file; None where there is none of the same settings."""
    path = _work(lesson)
    if not path.exists():
        return None
    tensors, state = load_checkpoint(path)
    return (tensors, int(state["epoch"])) if state["settings"] == lesson_settings(lesson) else None


def _work(lesson: Lesson) -> Path:
    return work_file(lesson.store, teacher_name(type(lesson), lesson.config))


def _train_epoch(
    lesson: TrainedLesson,
    optimizer: torch.optim.Optimizer,
    on_step: Callable[[int], None],
    epoch: int,
) -> float:
    """One pass over the train split; the mean loss of its steps."""
    lesson.teacher.train()
    # The order depends on seed and epoch alone, so that a resumed run repeats it; all other chance
    # (drawn views, dropped layers) comes from the global generator too.
    torch.manual_seed(lesson.config.seed * 100_003 + epoch)
    batches = _batches(lesson, torch.randperm(len(lesson.train)))
    losses = []
    for done, rows in enumerate(batches, 1):
        loss = lesson.loss(_drawn(lesson, lesson.train[rows.numpy()]))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())  # not as a number: no step waits for the device
        on_step(done)
    return float(torch.stack(losses).mean())


def _batches(lesson: TrainedLesson, order: Tensor) -> list[Tensor]:
    """Places of the train shapes of each step: two or more, for batch norm."""
    return [b for b in order.split(lesson.options.batch_size) if len(b) > 1]


def _drawn(lesson: Lesson, indices: Indices) -> Indices:
    """The shapes themselves or variants of them; drawn only where there are any."""
    store = lesson.store
    if len(store.shape_of) == len(store.shapes):
        return indices
    return store.draw_variants(indices, torch.rand(len(indices), dtype=torch.float64).numpy())
