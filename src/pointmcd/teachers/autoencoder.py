"""The unsupervised teacher: redraws views from the map that is pooled to their descriptors."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.progress import progress_bar
from pointmcd.teachers.autoencoder_network import AutoencoderTeacher
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lesson import Indices
from pointmcd.teachers.map_lesson import MapLesson


class AutoencoderLesson(MapLesson):
    """Redraws views (PointMCD, unsupervised teacher). No label is read, of training or of scores.

    The public release draws its shapes by class label; here every shape comes once an epoch.
    """

    teacher: AutoencoderTeacher

    def __init__(
        self, store: Store, config: TeachConfig, device: torch.device, encoder: ImageEncoder
    ) -> None:
        super().__init__(store, config, device, encoder)
        torch.manual_seed(config.seed)
        self.teacher = AutoencoderTeacher(encoder, config.finetune).to(device)

    def loss(self, indices: Indices) -> Tensor:
        """L1 between views drawn of each shape and the same redrawn, in grey of 0 to 1."""
        drawn = [self.store.views(int(i))[self._draw_views()] for i in indices]
        return self._distance(torch.cat([torch.from_numpy(views) for views in drawn]))

    @torch.inference_mode()
    def scores(self) -> dict[str, Any]:
        """The mean L1 over all validation views, in grey of 0 to 1."""
        val = self.store.indices("val")
        self.teacher.eval()
        total = 0.0
        with progress_bar() as progress:
            task = progress.add_task("teacher validated", total=len(val), note="")
            for index in val.tolist():
                total += float(self._distance(torch.from_numpy(self.store.views(index))))
                progress.advance(task)
        return {"val_l1": total / len(val) if len(val) else None, "val_shapes": len(val)}

    def _distance(self, views: Tensor) -> Tensor:
        """Views uint8 [n, S, S] -> the scalar L1 to what the teacher makes of them."""
        redrawn = self.teacher(self._inputs(views), views.shape[-1]).views
        return F.l1_loss(redrawn, views.to(self.device) / 255)
