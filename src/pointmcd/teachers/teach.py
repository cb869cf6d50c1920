"""Train a teacher on a store's train part and export what it says into the store."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pointmcd.checkpoint import (
    load_checkpoint,
    load_module,
    load_optimizer,
    optimizer_tensors,
    save_checkpoint,
    under_prefix,
    with_prefix,
)
from pointmcd.data.store import Store
from pointmcd.device import pick_device
from pointmcd.errors import ConfigError, StoreError
from pointmcd.files import read_json, remove, remove_stale
from pointmcd.progress import progress_bar
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.encoders import RANDOM_PREFIX, ImageEncoder
from pointmcd.teachers.export import export_teacher, teacher_folder
from pointmcd.teachers.features import encode_store, features_folder, gather_rows
from pointmcd.teachers.heads import MultiViewHeads, TeacherOutput, teacher_loss

Indices = npt.NDArray[np.int64]


class MultiViewTeacher(nn.Module):
    """Encoder and heads; the encoder stands still unless it is fine-tuned."""

    def __init__(self, encoder: ImageEncoder, num_classes: int, finetune: bool) -> None:
        super().__init__()
        self.encoder = encoder if finetune else None
        self.heads = MultiViewHeads(encoder.num_features, num_classes)

    def forward(self, inputs: Tensor) -> TeacherOutput:
        """Views uint8 [B, V, S, S] when fine-tuned, else cached features float [B, V, F]."""
        if self.encoder is not None:
            inputs = self.encoder(inputs.flatten(0, 1)).view(*inputs.shape[:2], -1)
        output: TeacherOutput = self.heads(inputs)
        return output


@dataclass
class Lesson:
    """What a teacher's training works with."""

    store: Store
    config: TeachConfig
    device: torch.device
    encoder: ImageEncoder

    @property
    def cache(self) -> Path:
        """Where the frozen encoder's features stand."""
        return features_folder(self.store, self.config.teacher)

    def inputs(self, indices: Indices) -> Tensor:
        """Views or cached features of shapes, on the device."""
        rows: npt.NDArray[Any]
        if self.config.finetune:
            rows = np.stack([self.store.views(int(i)) for i in indices])
        else:
            rows = gather_rows(self.store, self.cache, indices)
        return torch.from_numpy(rows).to(self.device)


def teach(config: TeachConfig) -> Path:
    """Train and export a teacher; finished work is kept, interrupted work goes on.

    Returns:
        the teacher's folder in the store; its teacher.json says the validation accuracy.

    Raises:
        StoreError: when the store has no labels, too few shapes, or a teacher of that name with
            other settings.
        ConfigError: when there is no such encoder, or a setting cannot be used.
    """
    config.check()
    store = Store(config.store)
    folder = teacher_folder(store, config.resolved_name)
    if _is_done(folder, store, config):
        remove(_work_file(store, config))  # a kill just after the export leaves it
        return folder
    for place in (folder.parent, features_folder(store, config.teacher)):
        remove_stale(place)
    device = pick_device(config.device)
    lesson = Lesson(store, config, device, ImageEncoder(config.teacher, config.seed))
    train = store.indices("train")
    labels = torch.from_numpy(store.labels(train)).to(device)
    if len(train) < 2:
        raise StoreError(f"{store.path}: {len(train)} train shapes; a teacher needs at least two")
    if not config.finetune:
        encode_store(store, lesson.encoder, lesson.cache, device, _weights(config))
    torch.manual_seed(config.seed)
    teacher = MultiViewTeacher(lesson.encoder, len(store.classes), config.finetune).to(device)
    _fit(lesson, teacher, train, labels)
    scores = validation_scores(lesson, teacher)
    export_teacher(store, config, teacher.eval(), lesson.inputs, scores)
    remove(_work_file(store, config))
    return folder


def _weights(config: TeachConfig) -> str:
    """Which weights a frozen encoder has; the seed decides only random ones."""
    seed = config.seed if config.teacher.startswith(RANDOM_PREFIX) else 0
    return f"{config.teacher} {seed}"


def _is_done(folder: Path, store: Store, config: TeachConfig) -> bool:
    if not (folder / "teacher.json").exists() or config.overwrite:
        return False
    made = read_json(folder / "teacher.json")
    if made["settings"] != config.decisive() or made["store_fingerprint"] != store.fingerprint:
        raise StoreError(
            f"{folder}: a teacher of that name was made with other settings; give --name another"
            " name, or --overwrite"
        )
    cache = features_folder(store, config.teacher)  # deleted to save space? students may want it
    return config.finetune or all((cache / f"{shard}.npy").exists() for shard in store.shards)


def _work_file(store: Store, config: TeachConfig) -> Path:
    return store.path / "teachers" / f".{config.resolved_name}.work.safetensors"


def _fit(lesson: Lesson, teacher: MultiViewTeacher, train: Indices, labels: Tensor) -> None:
    config = lesson.config
    optimizer = torch.optim.Adam(
        teacher.parameters(), lr=config.resolved_lr, weight_decay=config.weight_decay
    )
    start = _resume(lesson, teacher, optimizer)
    with progress_bar() as progress:
        task = progress.add_task("teacher", total=config.epochs, completed=start, note="")
        for epoch in range(start, config.epochs):
            _set_lr(optimizer, config, epoch)
            loss = _train_epoch(lesson, teacher, optimizer, train, labels, epoch)
            if not math.isfinite(loss):
                raise ConfigError(
                    f"--lr {config.resolved_lr}: the teacher's loss is no longer finite in epoch"
                    f" {epoch + 1}; lower it"
                )
            tensors = with_prefix("model", teacher.state_dict())
            tensors |= with_prefix("optimizer", optimizer_tensors(optimizer))
            state = {"epoch": epoch + 1, "settings": config.decisive()}
            save_checkpoint(_work_file(lesson.store, config), tensors, state)
            progress.update(task, advance=1, note=f"loss {loss:.3f}")


def _resume(lesson: Lesson, teacher: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """The epoch to go on from; work of other settings is left behind."""
    path = _work_file(lesson.store, lesson.config)
    if not path.exists():
        return 0
    tensors, state = load_checkpoint(path)
    if state["settings"] != lesson.config.decisive():
        return 0
    load_module(teacher, under_prefix("model", tensors), str(path))
    load_optimizer(optimizer, under_prefix("optimizer", tensors))
    return int(state["epoch"])


def _set_lr(optimizer: torch.optim.Optimizer, config: TeachConfig, epoch: int) -> None:
    share = 0.5 * (1 + np.cos(np.pi * epoch / config.epochs))
    for group in optimizer.param_groups:
        group["lr"] = config.final_lr + (config.resolved_lr - config.final_lr) * float(share)


def _train_epoch(
    lesson: Lesson,
    teacher: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Indices,
    labels: Tensor,
    epoch: int,
) -> float:
    config = lesson.config
    teacher.train()
    # The order depends on seed and epoch alone, so that a resumed run repeats it; dropped layers
    # of a fine-tuned encoder draw from the global generator.
    torch.manual_seed(config.seed * 100_003 + epoch)
    order = torch.randperm(len(train))
    total, steps = 0.0, 0
    for rows in order.split(config.batch_size):
        if len(rows) < 2:  # batch norm needs two
            continue
        output = teacher(lesson.inputs(train[rows.numpy()]))
        loss = teacher_loss(output, labels[rows.to(labels.device)], config.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total, steps = total + float(loss.detach()), steps + 1
    return total / max(steps, 1)


@torch.inference_mode()
def validation_scores(lesson: Lesson, teacher: nn.Module) -> dict[str, Any]:
    """Accuracy on the validation part, by whole shapes and by single views."""
    val = lesson.store.indices("val")
    if not len(val):
        return {"val_accuracy": None, "val_view_accuracy": None, "val_shapes": 0}
    labels = torch.from_numpy(lesson.store.labels(val))
    teacher.eval()
    right = view_right = 0.0
    for rows in torch.arange(len(val)).split(lesson.config.batch_size):
        output = teacher(lesson.inputs(val[rows.numpy()]))
        truth = labels[rows].to(output.logits.device)
        right += float((output.logits.argmax(1) == truth).sum())
        view_right += float((output.view_logits.argmax(2) == truth[:, None]).float().mean(1).sum())
    return {
        "val_accuracy": right / len(val),
        "val_view_accuracy": view_right / len(val),
        "val_shapes": len(val),
    }
