"""The classification teacher: heads on an encoder's pooled features of all views."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.features import cache_features, gather_rows
from pointmcd.teachers.heads import MultiViewHeads, TeacherOutput, teacher_loss
from pointmcd.teachers.lesson import Indices, Lesson


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


class ClassificationLesson(Lesson):
    """Names the class, of whole shapes and of single views; a frozen encoder looks only once."""

    def __init__(
        self, store: Store, config: TeachConfig, device: torch.device, encoder: ImageEncoder
    ) -> None:
        super().__init__(store, config, device, encoder)
        store.labels(self.train)  # raises where one is missing
        torch.manual_seed(config.seed)
        self.teacher = MultiViewTeacher(encoder, len(store.classes), config.finetune).to(device)

    def look(self) -> None:
        """Cache the frozen encoder's features of every view."""
        if not self.config.finetune:
            cache = cache_features(self.store, self.config, self.encoder, self.device)
            self.cached = {"features": cache}

    def loss(self, indices: Indices) -> Tensor:
        """CE of shapes and of single views, smoothed."""
        labels = torch.from_numpy(self.store.labels(indices)).to(self.device)
        return teacher_loss(self._say(indices), labels, self.config.label_smoothing)

    @torch.inference_mode()
    def scores(self) -> dict[str, Any]:
        """Accuracy on the validation part, by whole shapes and by single views."""
        val = self.store.indices("val")
        if not len(val):
            return {"val_accuracy": None, "val_view_accuracy": None, "val_shapes": 0}
        self.teacher.eval()
        right = view_right = 0.0
        for rows in torch.arange(len(val)).split(self.config.schedule.batch_size):
            indices = val[rows.numpy()]
            output = self._say(indices)
            truth = torch.from_numpy(self.store.labels(indices)).to(self.device)
            right += float((output.logits.argmax(1) == truth).sum())
            views_right = output.view_logits.argmax(2) == truth[:, None]
            view_right += float(views_right.float().mean(1).sum())
        return {
            "val_accuracy": right / len(val),
            "val_view_accuracy": view_right / len(val),
            "val_shapes": len(val),
        }

    def outputs(self, indices: Indices) -> dict[str, Tensor]:
        """Descriptors [n, V, 512], shape [n, 512], logits [n, K] and view_logits [n, V, K]."""
        output = self._say(indices)
        return {
            "descriptors": output.descriptors.half(),
            "shape": output.shape_descriptor.half(),
            "logits": output.logits.float(),
            "view_logits": output.view_logits.float(),
        }

    def _say(self, indices: Indices) -> TeacherOutput:
        rows: npt.NDArray[Any]
        if self.config.finetune:
            rows = np.stack([self.store.views(int(i)) for i in indices])
        else:
            rows = gather_rows(self.store, self.cached["features"], indices)
        output: TeacherOutput = self.teacher(torch.from_numpy(rows).to(self.device))
        return output
