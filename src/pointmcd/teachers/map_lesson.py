"""What lessons on an encoder's feature maps share: drawn views, and an encoder that may be frozen.

Maps of all views would fill the disk, unlike pooled features: each step looks at its views anew.
"""

import torch
from torch import Tensor

from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.teachers.bottleneck import MapInputs, MapTeacher
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lesson import Indices, Lesson


class MapLesson(Lesson):
    """A lesson of a MapTeacher."""

    teacher: MapTeacher

    def __init__(
        self, store: Store, config: TeachConfig, device: torch.device, encoder: ImageEncoder
    ) -> None:
        super().__init__(store, config, device, encoder)
        if not config.finetune:
            encoder.fold()
            encoder.to(device).eval().requires_grad_(False)

    def _draw_views(self) -> Indices:
        """Which views of a shape one step takes, in the order drawn."""
        drawn = torch.randperm(self.store.num_views)[: self.config.views_per_step]
        return drawn.numpy()

    def _inputs(self, views: Tensor) -> MapInputs:
        """What the teacher takes: views, or a frozen encoder's maps of them."""
        views = views.to(self.device)
        if self.config.finetune:
            return views
        with torch.no_grad():
            return self.encoder.pyramid(views)

    def outputs(self, indices: Indices) -> dict[str, Tensor]:
        """Descriptors [n, V, 512], of the views alone: no label reaches them."""
        views = (torch.from_numpy(self.store.views(int(i))) for i in indices)
        rows = [self.teacher.describe(self._inputs(of_shape)) for of_shape in views]
        return {"descriptors": torch.stack(rows).half()}
