"""The classification lesson: heads on an encoder's pooled features of all views."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.errors import ConfigError
from pointmcd.files import remove
from pointmcd.metrics.statistics import mean_interval
from pointmcd.teachers.augment import augment_views
from pointmcd.teachers.features import cache_features, gather_rows
from pointmcd.teachers.lesson import Endings, register_lesson
from pointmcd.teachers.lessons.views_network import (
    ImageClassifier,
    JoinedHeads,
    MultiViewTeacher,
    TeacherOutput,
    teacher_loss,
)
from pointmcd.teachers.propagation import certainty, pooled_views, propagate
from pointmcd.teachers.settings import teacher_name
from pointmcd.teachers.stored import work_file
from pointmcd.teachers.trained import TrainedLesson, TrainedOptions
from pointmcd.typing import Array, Doubles, Floats, Indices

#: Steps that suffice where most classes are guesses; many shapes would take `epochs` too long.
_GUESSED_STEPS = 1500
#: Shapes whose features are in memory at once where all are read.
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class ClassificationOptions(TrainedOptions):
    """Options of the classification lesson; `label_smoothing` is shared among the other classes.

    With `propagate`, train shapes without a known label join in with a class that alike shapes and
    a first teacher, of the labels alone, give them.
    """

    epochs: int = 128
    batch_size: int = 48
    final_lr: float = 1e-6
    label_smoothing: float = 0.2
    propagate: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(epochs=1)
        if not 0 <= self.label_smoothing < 1:
            value = self.label_smoothing
            raise ConfigError(f"--label-smoothing {value}: must be at least 0 and below 1")


@dataclass(frozen=True)
class FinetuneOptions(ClassificationOptions):
    """The same where the encoder is trained too.

    A step takes `views_per_step` views of each shape, drawn anew each time; with `augment` they are
    mirrored, shifted and scaled at random. Epochs stay few where shapes are: the heads have learnt
    their task before, and a step takes seconds without a GPU.
    """

    epochs: int = 20
    lr: float = TrainedLesson.finetune_lr
    views_per_step: int = 4
    augment: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(views_per_step=1)


@register_lesson("classification")
class ClassificationLesson(TrainedLesson):
    """Classify whole shapes and single views; a frozen encoder's features are cached once.

    Where train shapes have no known label, heads of the labels alone are trained first, and those
    shapes take part with a class of their neighbours (`propagation.py`), weighed by its certainty.
    """

    options_type = ClassificationOptions
    endings: ClassVar[Endings] = {"": {}}

    options: ClassificationOptions
    teacher: MultiViewTeacher

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if not self.store.classes:
            self.store.labels(self.train)  # raises: none has one
        torch.manual_seed(self.config.seed)
        classes, finetune = len(self.store.classes), self.config.finetune
        self.teacher = MultiViewTeacher(self.encoder, classes, finetune).to(self.device)
        self.labelled = self.train
        #: Class ids and weights by the index of a shape; of the labelled shapes 1.
        self.targets: dict[int, tuple[int, float]] = {}

    @classmethod
    def default_options(cls, finetune: bool) -> ClassificationOptions:
        """Return the options where none is given; `finetune`: whether the encoder is trained."""
        return FinetuneOptions() if finetune else ClassificationOptions()

    @classmethod
    def describe_scores(cls, scores: Mapping[str, Any]) -> str:
        """Return the accuracies as one line."""
        low, high = mean_interval(scores["val_accuracy"], scores["val_shapes"])
        return (
            f"validation accuracy {scores['val_accuracy']:.1%} (95% interval {low:.1%} to"
            f" {high:.1%}) on {scores['val_shapes']} shapes"
            f" ({scores['val_view_accuracy']:.1%} of single views)"
        )

    def prepare(self) -> None:
        """Cache the frozen encoder's features of every view."""
        if not self.config.finetune:
            cache = cache_features(self.store, self.config, self.encoder, self.device)
            self.cached = {"features": cache}

    def fit(self) -> None:
        """Train the heads, or the encoder under heads that know their task already."""
        if self.config.finetune:
            self.stage = "encoder (teacher)"
            if not self.begun:
                self._learn_heads()
        elif self.options.propagate and len(self.labelled) < len(self.store.indices("train")):
            self.stage = "all shapes (teacher)"
            self._guess_labels()
        super().fit()
        remove(self._work_of("labelled"))  # kept till now, for a fit that is interrupted
        if isinstance(self.teacher.heads, JoinedHeads):
            with torch.no_grad():
                self.teacher.heads.join()

    def _learn_heads(self) -> None:
        """Train the heads on the frozen encoder first: untrained ones would distort its features.

        (Kumar et al., "Fine-Tuning can Distort Pretrained Features and Underperform
        Out-of-Distribution", ICLR 2022)
        """
        schedule: dict[str, Any] = dict.fromkeys(("epochs", "batch_size", "lr", "final_lr"))
        first = self._first("heads", "heads (teacher)", finetune=False, options={}, **schedule)
        self.teacher.heads.load_state_dict(first.teacher.heads.state_dict())
        remove(self._work_of("heads"))

    def _name_of(self, ending: str) -> str:
        return f"{teacher_name(type(self), self.config)}-{ending}"

    def _work_of(self, ending: str) -> Path:
        return work_file(self.store, self._name_of(ending))

    def _first(self, ending: str, stage: str, **changes: Any) -> "ClassificationLesson":
        """Train a teacher with other settings, kept in a work file alone."""
        config = replace(self.config, **changes, name=self._name_of(ending))
        encoder = ImageEncoder(config.teacher, config.seed, config.weights)
        first = type(self)(self.store, config, self.device, encoder)
        first.stage = stage
        first.prepare()
        first.fit()
        return first

    def _guess_labels(self) -> None:
        """Give every train shape a class and a weight."""
        options = {**self.config.options, "propagate": "false"}
        first = self._first("labelled", "labels (teacher)", options=options)
        every = self.store.indices("train")
        labels = np.full(len(self.store.shapes), -1, dtype=np.int64)
        labels[self.labelled] = self.store.labels(self.labelled)
        found = propagate(self._rows(every), labels[every], first.probabilities(every))
        weights = np.where(labels[every] >= 0, 1.0, certainty(found))
        classes = found.argmax(axis=1)
        self.targets = dict(
            zip(every.tolist(), zip(classes.tolist(), weights.tolist(), strict=True), strict=True)
        )
        self.train = every
        steps = math.ceil(len(every) / self.options.batch_size)
        epochs = min(self.options.epochs, max(1, round(_GUESSED_STEPS / steps)))
        self.options = replace(self.options, epochs=epochs)

    def _rows(self, indices: Indices) -> Floats:
        """Pooled features [n, 2 F] of the views of shapes, a shard at a time."""
        folders = self.cached["features"]
        rows = (gather_rows(self.store, folders, some) for some in _some_at_once(indices))
        return np.concatenate([pooled_views(views) for views in rows])

    @torch.inference_mode()
    def probabilities(self, indices: Indices) -> Doubles:
        """Class probabilities [n, K] of the teacher as it is."""
        self.teacher.eval()
        outputs = (self._forward(some).logits for some in _some_at_once(indices))
        said = [logits.softmax(dim=1).cpu().numpy() for logits in outputs]
        return np.concatenate(said).astype(np.float64)

    def loss(self, indices: Indices) -> Tensor:
        """Return the cross-entropy of shapes and of single views, smoothed."""
        labels, weights = (one.to(self.device) for one in self._targets(indices))
        inputs = self._drawn(indices) if self.config.finetune else self._inputs(indices)
        each = (
            teacher_loss(output, labels, self.options.label_smoothing, weights)
            for output in self.teacher.each(inputs)
        )
        return torch.stack(list(each)).sum()

    def _targets(self, indices: Indices) -> tuple[Tensor, Tensor]:
        """Classes and weights [n] of train shapes or variants of them."""
        if not self.targets:
            labels = torch.from_numpy(self.store.labels(indices))
            return labels, torch.ones(len(labels))
        shapes = self.store.shape_of[indices].tolist()
        classes, weights = zip(*(self.targets[one] for one in shapes), strict=True)
        return torch.tensor(classes), torch.tensor(weights, dtype=torch.float32)

    def _drawn(self, indices: Indices) -> Tensor:
        """Some views of each shape, uint8 [n, v, S, S], drawn and changed at random."""
        options = self.options
        assert isinstance(options, FinetuneOptions)
        some = (torch.randperm(self.store.num_views)[: options.views_per_step] for _ in indices)
        pairs = zip(self.decoded_views(indices), some, strict=True)
        views = [pictures[few.numpy()] for pictures, few in pairs]
        drawn = torch.from_numpy(np.stack(views)).to(self.device)
        return augment_views(drawn.flatten(0, 1)).view_as(drawn) if options.augment else drawn

    @torch.inference_mode()
    def scores(self) -> dict[str, Any]:
        """Return the accuracy on the validation split, of whole shapes and of single views."""
        val = self.store.indices("val")
        if not len(val):
            return {"val_accuracy": None, "val_view_accuracy": None}
        self.teacher.eval()
        right = view_right = 0.0
        for rows in torch.arange(len(val)).split(self.options.batch_size):
            indices = val[rows.numpy()]
            output = self._forward(indices)
            truth = torch.from_numpy(self.store.labels(indices)).to(self.device)
            right += float((output.logits.argmax(1) == truth).sum())
            views_right = output.view_logits.argmax(2) == truth[:, None]
            view_right += float(views_right.float().mean(1).sum())
        return {"val_accuracy": right / len(val), "val_view_accuracy": view_right / len(val)}

    def outputs(self, indices: Indices) -> dict[str, Tensor]:
        """Return descriptors [n, V, 512], view_logits [n, V, K], shape [n, 512], logits [n, K]."""
        output = self._forward(indices)
        return {
            "descriptors": output.descriptors.half(),
            "shape": output.shape_descriptor.half(),
            "logits": output.logits.float(),
            "view_logits": output.view_logits.float(),
        }

    def describe(self, views: Tensor) -> Tensor:
        """Return the descriptors [V, 512] of views [V, S, S] of one shape."""
        inputs = views.to(self.device)
        if not self.config.finetune:
            inputs = self.encoder.to(self.device).eval()(inputs)
        output: TeacherOutput = self.teacher(inputs[None])
        return output.descriptors[0]

    def image_model(self) -> "ImageClassifier":
        """Return encoder and heads as one module: images [B, V, 3, H, W] -> logits [B, K]."""
        return ImageClassifier(self.encoder, self.teacher)

    def _forward(self, indices: Indices) -> TeacherOutput:
        output: TeacherOutput = self.teacher(self._inputs(indices))
        return output

    def _inputs(self, indices: Indices) -> Tensor:
        """All views of shapes, uint8 [n, V, S, S], or the frozen encoder's features [n, V, F]."""
        rows: Array
        if self.config.finetune:
            rows = np.stack([*self.decoded_views(indices)])
        else:
            rows = gather_rows(self.store, self.cached["features"], indices)
        return torch.from_numpy(rows).to(self.device)


def _some_at_once(indices: Indices) -> list[Indices]:
    return np.array_split(indices, max(1, len(indices) // _ROWS_AT_ONCE))
