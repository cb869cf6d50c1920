"""What teaching a task consists of: a network, its loss, its scores, and what it exports."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pointmcd.checkpoint import load_module
from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.errors import StoreError
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.heads import DESCRIPTOR_SIZE

#: The entry of a teacher's settings with `ImageEncoder.weights`, where that is not empty.
ENCODER_WEIGHTS = "encoder_weights"
Indices = npt.NDArray[np.int64]


class Lesson(ABC):
    """One task's side of `pointmcd teach`; `fit` trains it, `export_teacher` writes it.

    Attributes:
        store, config, device: what is taught from, how, and where.
        encoder: the image encoder, with the config's weights.
        train: indices of the train part.
        teacher: what is trained and saved.
        cached: folders of outputs that stand in the store beside the teacher's own, by name.

    Raises:
        StoreError: when the store has fewer than two train shapes, or lacks the task's labels.
    """

    teacher: nn.Module

    def __init__(
        self, store: Store, config: TeachConfig, device: torch.device, encoder: ImageEncoder
    ) -> None:
        self.store, self.config, self.device, self.encoder = store, config, device, encoder
        self.cached: dict[str, Path] = {}
        self.train = store.indices("train")
        if len(self.train) < 2:
            found = len(self.train)
            raise StoreError(f"{store.path}: {found} train shapes; a teacher needs at least two")

    @property
    def work_file(self) -> Path:
        """Where unfinished work stands."""
        return work_file(self.store, self.config)

    @property
    def descriptor_size(self) -> int:
        """D of the descriptors."""
        return DESCRIPTOR_SIZE

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides the result, JSON: the config's, and which weights were found."""
        weights = {ENCODER_WEIGHTS: self.encoder.weights} if self.encoder.weights else {}
        return self.config.decisive() | weights

    def look(self) -> None:  # noqa: B027 (most tasks need nothing)
        """Make what `outputs` reads, beyond the store itself."""

    def prepare(self) -> None:
        """Make what training reads, beyond the store itself."""
        self.look()

    def load(self, tensors: dict[str, Tensor], what: str) -> None:
        """Take the weights of a finished teacher; error texts call it `what`."""
        load_module(self.teacher, tensors, what)

    def loss(self, indices: Indices) -> Tensor:
        """The scalar loss on some train shapes; chance comes from torch's global generator."""
        raise NotImplementedError(f"nothing is trained on {len(indices)} shapes")

    @abstractmethod
    def scores(self) -> dict[str, Any]:
        """Entries of teacher.json that say how good the teacher is on the validation part."""

    @abstractmethod
    def outputs(self, indices: Indices) -> dict[str, Tensor]:
        """What the frozen teacher says of shapes, by the name of its folder: [n, ...] each."""


def work_file(store: Store, config: TeachConfig) -> Path:
    """Where the unfinished work of a config stands."""
    return store.path / "teachers" / f".{config.resolved_name}.work.safetensors"
