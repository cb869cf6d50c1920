"""The segmentation lesson: label every pixel of a view with a part or background."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pointmcd.ahead import map_ahead
from pointmcd.data.dataset import NO_LOGIT, POINT_LOGITS
from pointmcd.data.store import UNKNOWN_PIXEL
from pointmcd.errors import StoreError
from pointmcd.metrics.part_iou import pixel_iou
from pointmcd.progress import note
from pointmcd.teachers.features import decoding_threads
from pointmcd.teachers.lesson import register_lesson
from pointmcd.teachers.lessons.parts_network import ImageSegmenter, PartsDecoder
from pointmcd.teachers.maps import MapLesson, MapOptions
from pointmcd.typing import Bools, Bytes, Doubles, Indices, Integers
from pointmcd.views.nearest import shown_points
from pointmcd.views.places import project_points, stored_places
from pointmcd.views.rig import Rig

if TYPE_CHECKING:
    from pointmcd.preparation.prepare_shape import PreparedShape

#: Shapes that tell how many points no view sees, and the share from which a note says so.
_LOOKED_AT, _MANY_UNSEEN = 50, 0.1
#: Pixels drawn of each view for one step: a fraction of the work of all of them.
PIXELS = 2048


@dataclass(frozen=True)
class SegmentationOptions(MapOptions):
    """Options of the segmentation lesson."""

    batch_size: int = 4
    lr: float = 1e-2


@register_lesson("segmentation")
class SegmentationLesson(MapLesson):
    """Label the pixels of views, given the class (PointMCD, part-segmentation teacher)."""

    options_type = SegmentationOptions
    reads_parts = True

    def make_decoder(self) -> PartsDecoder:
        """Return a decoder that labels pixels."""
        self.part_ranges = self.store.part_ranges  # raises where there are none
        self.store.labels(self.train)
        channels = self.encoder.pyramid_channels
        self.decoder = PartsDecoder(channels, len(self.store.classes), self.store.num_parts)
        return self.decoder

    def fit(self) -> None:
        """Train on the train shapes of which a part is known.

        Raises:
            StoreError: when there is none.
        """
        if not any(self.store.is_labelled(int(index)) for index in self.train):
            raise StoreError(
                f"{self.store.path}: no train shape has a point with a label of its part; put"
                " NAME.seg beside some shapes and prepare them again, or label them (pointmcd label"
                " --parts) and give the file as --labels"
            )
        self._tell_unseen()
        super().fit()

    def _tell_unseen(self) -> None:
        """Say what share of the points no view sees, where it is large."""
        some = self.train[:: -(-len(self.train) // _LOOKED_AT)]
        unseen = 1 - self.store.visibility(some, self.store.num_points).any(axis=2).mean()
        if unseen > _MANY_UNSEEN:
            ring = self.store.rig["name"] == "ring12"
            other = "; prepare --rig ring16 looks from below, too" if ring else ""
            note(
                f"no view sees {unseen:.0%} of the points: of these the teacher says nothing{other}"
            )

    @classmethod
    def describe_scores(cls, scores: Mapping[str, Any]) -> str:
        """Return the pixel mIoU and accuracy as one line."""
        return (
            f"validation pixel mIoU {scores['val_pixel_miou']:.1%} on {scores['val_shapes']} shapes"
            f" ({scores['val_pixel_accuracy']:.1%} of their pixels right)"
        )

    def loss(self, indices: Indices) -> Tensor:
        """Return the cross-entropy over background and all parts, at pixels drawn of views."""
        pairs = [(index, self._draw_views()) for index in indices.tolist()]
        drawn = [*map_ahead(self._shown, pairs, decoding_threads(self.device))]
        views, truth = (torch.cat(tensors) for tensors in zip(*drawn, strict=True))
        labels = torch.from_numpy(self.store.labels(indices)).repeat_interleave(len(drawn[0][0]))
        pixels = self.teacher(self._inputs(views), labels.to(self.device))
        places, truth = _draw_pixels(truth)
        logits = self.decoder.logits_at(pixels, places.to(self.device))
        known = truth != UNKNOWN_PIXEL
        loss = F.cross_entropy(
            logits, 1 + truth.to(self.device), ignore_index=1 + UNKNOWN_PIXEL, reduction="sum"
        )
        return loss / known.sum().clamp(min=1).to(self.device)

    def _shown(self, drawn: tuple[int, Indices]) -> tuple[Tensor, Tensor]:
        """Some views of a shape, uint8 [v, S, S], and their global part ids, int64 [v, S, S]."""
        index, some = drawn
        views, truth = self.store.views(index)[some], self._pixel_labels(index, some)
        return torch.from_numpy(views), torch.from_numpy(truth.astype(np.int64))

    def _pixel_labels(self, index: int, some: Indices) -> Integers:
        """Global part ids [v, S, S] of views; of a part file, that of the nearest visible point."""
        if self.store.known_parts is None:
            return self.store.pixel_labels(index)[some]
        parts = self.store.part_labels(np.array([index]), self.store.num_points)[0]
        known = np.where(parts < 0, UNKNOWN_PIXEL, parts)
        return np.append(known, -1)[shown_points(self.store, index, some)]

    @torch.inference_mode()
    def scores(self) -> dict[str, Any]:
        """Return the mean over validation shapes of `pixel_iou` on all views, and pixel accuracy.

        Shapes of which no part is known are left out. Predictions are limited to background and the
        parts of the shape's class. The accuracy is over all pixels that show a part.
        """
        overlaps, right, shown = [], 0, 0
        for index in self._validated():
            if not self.store.is_labelled(index):
                continue
            truth, said = self.store.pixel_labels(index), self.predict(index)
            said = np.where(truth == UNKNOWN_PIXEL, -1, said)
            overlaps.append(pixel_iou(truth, said, *self._range(index)))
            right += int(((truth == said) & (truth >= 0)).sum())
            shown += int((truth >= 0).sum())
        return {
            "val_pixel_miou": float(np.mean(overlaps)) if overlaps else None,
            "val_pixel_accuracy": right / shown if shown else None,
            "val_shapes": len(overlaps),
            "parts": self.store.parts,
        }

    def predict(self, index: int) -> Indices:
        """Return global part ids [V, S, S] of one shape's views, -1 for background."""
        views = torch.from_numpy(self.store.views(index))
        labels = torch.from_numpy(self.store.labels(np.full(len(views), index))).to(self.device)
        pixels = self.teacher(self._inputs(views), labels)
        said = self.decoder.predict(pixels, views.shape[-1], *self._range(index))
        return np.asarray(said.cpu())

    def outputs(self, indices: Indices) -> dict[str, Tensor]:
        """Return descriptors [n, V, 512], and the logits of the class's parts at the points.

        These, `point_logits` [n, N, most parts of a class], are means over the views that see a
        point; `NO_LOGIT` where none does, and beyond the parts of the class.
        """
        logits = [self._point_logits(int(index)) for index in indices]
        return super().outputs(indices) | {POINT_LOGITS: torch.stack(logits).half()}

    def _point_logits(self, index: int) -> Tensor:
        row, count = np.array([index]), self.store.num_points
        places = stored_places(self.store, index, count)
        visibility = self.store.visibility(row, count)[0]
        label = int(self.store.labels(row)[0])
        return self._logits_at(self.store.views(index), places, visibility, label)

    def answer(self, shape: "PreparedShape", rig: Rig, label: int) -> Tensor:
        """Return the `point_logits` [N, most parts of a class] of a shape of that class."""
        places = project_points(shape.points, rig, shape.framing)
        return self._logits_at(shape.views, places, shape.visibility, label)

    def image_model(self) -> ImageSegmenter:
        """Return encoder and decoder as one module.

        It takes images [B, V, 3, H, W] and class ids [B], and returns logits of all parts and, at
        the end, of the background, [B, V, P + 1, H, W].
        """
        return ImageSegmenter(self.encoder, self.decoder)

    def _logits_at(self, images: Bytes, places: Doubles, visibility: Bools, label: int) -> Tensor:
        """Logits [N, most parts] of points in views [V, S, S], at places [V, N, 2] in pixels."""
        start, stop = map(int, self.part_ranges[label])
        views, size = torch.from_numpy(images), images.shape[-1]
        at = torch.from_numpy((2 * places / size - 1).astype(np.float32)).to(self.device)
        labels = torch.full((len(views),), label, device=self.device)
        view_logits = self.decoder.logits_at(self.teacher(self._inputs(views), labels), at)
        seen = torch.from_numpy(visibility.T).to(self.device)
        sums = (view_logits[:, 1 + start : 1 + stop] * seen[:, None]).sum(dim=0).T
        means = sums / seen.sum(dim=0)[:, None].clamp(min=1)
        most = int(np.ptp(self.part_ranges, axis=1).max())
        logits = torch.full((len(visibility), most), NO_LOGIT)
        logits[:, : stop - start] = torch.where(seen.any(dim=0)[:, None], means, NO_LOGIT).cpu()
        return logits

    def _range(self, index: int) -> tuple[int, int]:
        """The parts of a shape's class: first global id, and the one after the last."""
        start, stop = self.part_ranges[self.store.labels(np.array([index]))[0]]
        return int(start), int(stop)


def _draw_pixels(truth: Tensor) -> tuple[Tensor, Tensor]:
    """Labels [n, S, S] -> places [n, PIXELS, 2] of some pixels, and their labels [n, PIXELS].

    Half are drawn from the whole view, half from those that show a part: four fifths of a view is
    white, and drawn evenly the loss is mostly about what is easy.
    """
    size = truth.shape[-1]
    pixels = torch.randint(size * size, (len(truth), PIXELS))
    for chosen, labels in zip(pixels, truth.flatten(1), strict=True):
        shown = (labels >= 0).nonzero()[:, 0]
        if len(shown):
            chosen[: PIXELS // 2] = shown[torch.randint(len(shown), (PIXELS // 2,))]
    places = torch.stack([pixels % size, pixels // size], dim=-1)
    return (2 * places + 1) / size - 1, truth.flatten(1).gather(1, pixels)
