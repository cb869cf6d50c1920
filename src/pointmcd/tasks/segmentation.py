"""Part segmentation: the head on a student's embeddings, and all that inference needs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pointmcd.data.dataset import NO_LOGIT, Batch
from pointmcd.data.store import Store
from pointmcd.distill.objective import Objectives
from pointmcd.errors import StoreError
from pointmcd.metrics.metrics import Metrics
from pointmcd.metrics.part_iou import (
    UNLABELLED,
    mean_ious,
    miou_of_counts,
    part_counts,
    part_miou,
    shape_ious,
)
from pointmcd.metrics.segmentation import SegmentationMetrics, segmentation_metrics
from pointmcd.metrics.statistics import Interval, bootstrap_pooled_difference
from pointmcd.ops.cross_entropy import smoothed_cross_entropy
from pointmcd.students.base import PointFeatures
from pointmcd.students.part_heads import PartHead
from pointmcd.students.registry import create_student
from pointmcd.tasks.part_prediction import PartPrediction, predict_parts
from pointmcd.tasks.results import Arrays, RunResult, Section, Variant
from pointmcd.tasks.task import InputFile, Labels, Scores, Task, Wording, register_task
from pointmcd.typing import Bools, Indices


class Segmenter(nn.Module):
    """A student with its segmentation head: points and class in, part logits out.

    The head is the student's own, or the method's single one where it has none, or where
    `published` is false.

    Args:
        student: any student.
        num_classes: K.
        part_ranges: int64 [K, 2], first global part id of each class and the one after its last.
        published: whether to take the student's own head.
    """

    allowed: Tensor

    def __init__(
        self,
        student: nn.Module,
        num_classes: int,
        part_ranges: npt.NDArray[np.int64],
        published: bool = True,
    ) -> None:
        super().__init__()
        self.part_ranges = part_ranges
        ranges = torch.as_tensor(part_ranges)
        parts = torch.arange(int(ranges[-1, 1]))
        allowed = (parts >= ranges[:, :1]) & (parts < ranges[:, 1:])
        self.register_buffer("allowed", allowed, persistent=False)
        self.student: Any = student
        own: Any = getattr(student, "part_head", None) if published else None
        make = partial(PartHead, student) if own is None else own
        self.head: nn.Module = make(num_classes, len(parts))

    def forward(self, points: Tensor, labels: Tensor) -> Tensor:
        """Points [B, N, 3 + F] in the unit sphere, class ids [B] -> logits [B, N, P]."""
        logits, _ = self.with_features(points, labels)
        return logits

    def with_features(self, points: Tensor, labels: Tensor) -> tuple[Tensor, PointFeatures]:
        """Logits [B, N, P] and the features that they came from."""
        features = self.student(points)
        onehot = nn.functional.one_hot(labels, len(self.allowed)).to(features.embeddings)
        return self.head(points, features, onehot), features

    def limited(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits [B, N, P] with -inf at parts of other classes than labels [B] say."""
        return logits.masked_fill(~self.allowed[labels][:, None], -torch.inf)


@dataclass(frozen=True)
class SegmentationOptions:
    """Options of `segmentation`.

    Attributes:
        head: the published part segmentation network of the student, or the method's single head
            for every student.
    """

    head: Literal["published", "single"] = "published"


@register_task("segmentation")
class SegmentationTask(Task):
    """One part for each point, of those that the shape's class has."""

    Options = SegmentationOptions
    lesson = "segmentation"
    best = "val_part_miou"
    best_name = "part mIoU"
    metrics = (
        *("val_loss", "val_instance_miou", "val_class_miou", "val_part_miou"),
        "val_point_accuracy",
    )
    input_names = ("points", "labels")
    prediction = PartPrediction
    written = ("-parts.ply", "-parts.png", "-parts.seg")
    wording = Wording(
        score="instance mIoU",
        class_score="class mIoU",
        others=("part mIoU",),
        short="mIoU",
        plural="Mean IoU",
        share="instance mIoU",
        test="Wilcoxon on shapes",
        test_note=(
            "Wilcoxon: shapes whose mIoU, averaged over seeds, is higher with this variant / with"
            " the baseline; signed-rank test, two-sided p, shapes without a difference left out."
            " Not corrected for several variants."
        ),
    )
    weighs_shapes = True
    arrays = ("truth", "predictions")
    teacher_answer = "point_logits"
    few_labels_objective = ("point_logits:1",)
    #: On mfcad16 a teacher that was 6 points behind harmed, and one that was ahead helped
    #: (docs/part-segmentation.md); with all labels as for classification.
    leads = (0.0, 8.0)
    #: The method's own; its scale of 0.8 to 1.2 is 1 / 1.2 to 1.2 here.
    recipes = MappingProxyType(
        {
            "paper": {
                "weight_decay": 1e-4,
                "task_weight": 1.0,
                "scale": 1.2,
                "shift": 0.1,
                "points": 2048,
                "regulariser_weight": 0.0,
                "epochs": 250,
                "batch_size": 32,
                "head": "single",
            }
        }
    )

    @property
    def dense(self) -> bool:
        """Every point is labelled."""
        return True

    def check_store(self, store: Store) -> None:
        """Part labels, and two parts at least."""
        if store.num_parts < 2:  # a store without part labels is refused here too
            raise StoreError(f"{store.path}: one part in all; segmentation needs at least two")
        if not any(store.is_labelled(int(i)) for i in store.indices("train")):
            raise StoreError(f"{store.path}: no train shape has a point with a label of its part")
        val = store.indices("val")
        if len(val) and not any(store.is_labelled(int(i)) for i in val):
            raise StoreError(
                f"{store.path}: no validation shape has a point with a label of its part; label one"
                " of them, or prepare it with another validation split"
            )

    def build_model(self, student: str, labels: Labels, extra_channels: int = 0) -> nn.Module:
        """A Segmenter."""
        published = self.options.head == "published"
        encoder = create_student(
            student, dense=True, published=published, extra_channels=extra_channels
        )
        return Segmenter(encoder, len(labels.classes), labels.part_ranges, published)

    def loss(self, logits: Tensor, batch: Batch, label_smoothing: float) -> Tensor:
        """Smoothed cross entropy of the parts; a shape's weight is that of all its points.

        Points without a label have no part in it.
        """
        rows, truth = _pairs(logits, batch)
        weights = _known_share(truth)
        if batch.weights is not None:
            weights = weights * batch.weights.repeat_interleave(logits.shape[1])
        return smoothed_cross_entropy(rows, truth.clamp(min=0), label_smoothing, weights)

    def training_metrics(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Share of the labelled points that are right."""
        rows, truth = _pairs(logits, batch)
        right = (rows.argmax(dim=1) == truth).float()
        return {"train_accuracy": (right * _known_share(truth)).mean()}

    def validate(
        self,
        model: nn.Module,
        batches: Iterable[Batch],
        device: torch.device,
        objectives: Objectives | None = None,
    ) -> Scores:
        """Loss, instance, class and part mIoU, and the share of points that are right."""
        assert isinstance(model, Segmenter)
        losses, points = [], 0
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        for batch in batches:
            assert batch.parts is not None
            labels = batch.labels.to(device)
            logits = model(batch.points.to(device), labels).float()
            truth = batch.parts.to(device).flatten()
            known = truth != UNLABELLED
            rows, truth = logits.flatten(0, 1)[known], truth[known]
            if len(truth):
                losses.append(len(truth) * float(smoothed_cross_entropy(rows, truth, 0)))
            points += len(truth)
            found.append((batch.parts, model.limited(logits, labels).argmax(2).cpu(), batch.labels))
        parts, predicted, ids = (torch.cat(column).numpy() for column in zip(*found, strict=True))
        ranges = model.part_ranges
        ious = mean_ious(
            shape_ious(parts, predicted, ids, ranges), ids, [*map(str, range(len(ranges)))]
        )
        return {
            "val_loss": sum(losses) / points,
            "val_instance_miou": ious.instance_miou,
            "val_class_miou": ious.class_miou,
            "val_part_miou": part_miou(parts, predicted),
            "val_point_accuracy": float((parts == predicted)[parts != UNLABELLED].mean()),
        }

    def predict(self, output: Tensor, file: InputFile, labels: Labels) -> PartPrediction:
        """Choose the likeliest part of the class for each point; write a PLY and an image."""
        return predict_parts(output, file, labels)

    def described_labels(self, labels: Labels) -> dict[str, Any]:
        """The classes, and of each the names of its parts and the logit of the first."""
        assert labels.parts is not None
        parts = {
            label: {"first": int(start), "names": labels.parts[label]}
            for label, (start, _) in zip(labels.classes, labels.part_ranges, strict=True)
        }
        return {"classes": labels.classes, "parts": parts}

    def predictions(
        self, model: nn.Module, batches: Iterable[Batch], device: torch.device
    ) -> Arrays:
        """True and likeliest part [n, N] of every point, among the parts of the shape's class.

        The model is told the class, as the ShapeNetPart protocol has it.
        """
        assert isinstance(model, Segmenter)
        truth: list[Tensor] = []
        found: list[Tensor] = []
        with torch.inference_mode():
            for batch in batches:
                assert batch.parts is not None
                labels = batch.labels.to(device)
                logits = model.limited(model(batch.points.to(device), labels), labels)
                truth.append(batch.parts)
                found.append(logits.argmax(dim=2).cpu())
        both = {"truth": truth, "predictions": found}
        return {name: torch.cat(rows).numpy().astype(np.int16) for name, rows in both.items()}

    def truth(self, store: Store, indices: Indices) -> Arrays:
        """True parts [n, N] of all points in the store."""
        return {"truth": store.part_labels(indices, store.num_points)}

    def teacher_predictions(
        self, answer: Tensor, labels: Indices, known: Labels, ours: Arrays
    ) -> Arrays:
        """The same, of logits [n, N, most parts]; a point that no view sees is of the main part."""
        truth = ours["truth"]
        found = _everywhere(answer[:, : truth.shape[1]]).argmax(dim=2).numpy()
        predictions = (found + known.part_ranges[labels, :1]).astype(np.int16)
        return {"truth": truth, "predictions": predictions}

    def teacher_output(self, answer: Tensor, file: InputFile, known: Labels) -> Tensor:
        """Logits [N, most parts of a class] -> [N, P], -inf at parts of other classes."""
        assert file.label is not None
        start, stop = known.part_ranges[known.classes.index(file.label)].tolist()
        logits = torch.full((len(answer), int(known.part_ranges[-1, 1])), -torch.inf)
        logits[:, start:stop] = _everywhere(answer)[:, : stop - start]
        return logits

    def measure(self, labels: Indices, arrays: Arrays, known: Labels) -> SegmentationMetrics:
        """Mean IoUs and point accuracy."""
        return segmentation_metrics(
            arrays["truth"], arrays["predictions"], labels, known.part_ranges, known.classes
        )

    def other_differences(self, ours: Variant, theirs: Variant) -> dict[str, Interval]:
        """The difference in part mIoU."""
        first, second = (np.stack([*map(_counts_of, side.results)]) for side in (ours, theirs))
        found = bootstrap_pooled_difference(first, second, ours.seeds, theirs.seeds, miou_of_counts)
        return {"part mIoU": found}

    def caution(self, metrics: Metrics) -> str | None:
        """Say where one part for all points scores higher."""
        assert isinstance(metrics, SegmentationMetrics)
        if metrics.instance_miou >= metrics.constant_miou:
            return None
        return (
            f"{metrics.instance_miou:.1%} instance mIoU is less than the"
            f" {metrics.constant_miou:.1%} of predicting the most frequent part of its class for"
            " every point, since parts absent from truth and prediction count 1; go by part mIoU"
        )

    def scored(self, arrays: Arrays) -> Bools:
        """Shapes with a labelled point."""
        return np.asarray((arrays["truth"] != UNLABELLED).any(axis=1))

    def difference(self, first: RunResult, second: RunResult) -> str | None:
        """Other part names, or other true parts."""
        if second.info["parts"] != first.info["parts"]:
            return "trained on different parts"
        one, two = first.arrays["truth"], second.arrays["truth"]
        # The runs may take different numbers of points: the first ones are then the same.
        count = min(one.shape[1], two.shape[1])
        differ = (one[:, :count] != two[:, :count]).any(axis=1)
        return (
            f"{first.names[int(np.argmax(differ))]} has other true parts" if differ.any() else None
        )

    def sections(
        self, shown: Sequence[Variant], every: Sequence[Variant], store: Store | str
    ) -> list[Section]:
        """Images of truth and prediction."""
        from pointmcd.tasks._part_sections import part_sections

        return part_sections(shown, store)


def _counts_of(result: RunResult) -> Indices:
    """Points of each test shape and part: found, true, predicted, int64 [n, P, 3]."""
    parts = sum(map(len, result.info["parts"].values()))
    return part_counts(result.arrays["truth"], result.arrays["predictions"], parts)


def _everywhere(answer: Tensor) -> Tensor:
    """A teacher's logits [..., N, parts], with the shape's main part where no view sees a point."""
    unseen = (answer <= NO_LOGIT).all(dim=-1, keepdim=True)
    mass = answer.softmax(dim=-1).masked_fill(unseen, 0.0).sum(dim=-2, keepdim=True)
    return torch.where(unseen, mass, answer)


def _pairs(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits [B * N, P] and true part ids [B * N] of all points."""
    assert batch.parts is not None
    return logits.flatten(0, 1), batch.parts.flatten()


def _known_share(truth: Tensor) -> Tensor:
    """Weights [n] of mean 1: 0 for points without a label, all others alike."""
    known = (truth != UNLABELLED).float()
    return known / known.mean().clamp(min=1 / len(known))
