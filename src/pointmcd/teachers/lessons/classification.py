"""The classification lesson: heads on an encoder's pooled features of all views."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pointmcd.encoders.image_encoder import RANDOM_PREFIX, ImageEncoder
from pointmcd.errors import ConfigError
from pointmcd.files import remove
from pointmcd.ops.cross_entropy import smoothed_cross_entropy
from pointmcd.teachers.augment import augment_views
from pointmcd.teachers.features import cache_features, gather_rows
from pointmcd.teachers.lesson import DESCRIPTOR_SIZE, Endings, register_lesson
from pointmcd.teachers.propagation import certainty, pooled_views, propagate
from pointmcd.teachers.settings import teacher_name
from pointmcd.teachers.stored import work_file
from pointmcd.teachers.trained import TrainedLesson, TrainedOptions
from pointmcd.typing import Array, Doubles, Floats, Indices

#: Views whose maps are in memory at once where the encoder is trained; of 224 x 224 and lite0,
#: 1.2 GB on the CPU, and half of 5 GB on a GPU with mixed precision.
_CPU_VIEWS, _GPU_VIEWS = 16, 64
#: Steps that suffice where most classes are guesses; many shapes would take `epochs` too long.
_GUESSED_STEPS = 1500
#: Shapes whose features are in memory at once where all are read.
_ROWS_AT_ONCE = 1024


class TeacherOutput(NamedTuple):
    """Descriptors [B, V, 512], shape_descriptor [B, 512], logits [B, K], view_logits [B, V, K]."""

    descriptors: Tensor
    shape_descriptor: Tensor
    logits: Tensor
    view_logits: Tensor


class MultiViewHeads(nn.Module):
    """Features of V views -> descriptors and logits (PointMCD, classification teacher).

    Per view linear + BN + ReLU to 512; max over views, FC + BN + ReLU to 512 for the whole shape;
    one bias-free linear classifier shared by both.
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.view = _block(num_features)
        self.shape = _block(DESCRIPTOR_SIZE)
        self.classifier = nn.Linear(DESCRIPTOR_SIZE, num_classes, bias=False)

    def each(self, features: Tensor) -> list[TeacherOutput]:
        """Features [B, V, F] -> the output, in a list: of one encoder."""
        return [self(features)]

    def forward(self, features: Tensor) -> TeacherOutput:
        """Features [B, V, F] -> TeacherOutput."""
        descriptors = self.view(features.flatten(0, 1)).view(*features.shape[:2], -1)
        shape = self.shape(descriptors.max(dim=1).values)
        return TeacherOutput(
            descriptors, shape, self.classifier(shape), self.classifier(descriptors)
        )


class JoinedHeads(nn.Module):
    """Heads for each of several encoders, trained separately; their logits are averaged.

    Their descriptors stand side by side, [B, V, 512 times the encoders], and so do the weights of
    their classifiers in `classifier`, which gives the mean of their logits: what holds for the
    descriptors and the classifier of one encoder holds for these.

    Args:
        sizes: number of features of each encoder.
        num_classes: K.
    """

    def __init__(self, sizes: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.members = nn.ModuleList(MultiViewHeads(size, num_classes) for size in sizes)
        width = DESCRIPTOR_SIZE * len(self.sizes)
        self.classifier = nn.Linear(width, num_classes, bias=False).requires_grad_(False)

    def each(self, features: Tensor) -> list[TeacherOutput]:
        """Features [B, V, F] of all encoders -> what the heads of each say."""
        parts = features.split(self.sizes, dim=-1)
        return [heads(part) for heads, part in zip(self.members, parts, strict=True)]

    def join(self) -> None:
        """Take the weights of the classifiers, once they are trained."""
        weights = [heads.classifier.weight for heads in self.members]  # type: ignore[union-attr]
        self.classifier.weight.copy_(torch.cat(weights, dim=1) / len(weights))  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> TeacherOutput:
        """Features [B, V, F] of all encoders -> TeacherOutput."""
        descriptors, shapes, logits, view_logits = zip(*self.each(features), strict=True)
        return TeacherOutput(
            torch.cat(descriptors, dim=-1),
            torch.cat(shapes, dim=-1),
            torch.stack(logits).mean(dim=0),
            torch.stack(view_logits).mean(dim=0),
        )


def _block(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, DESCRIPTOR_SIZE, bias=False),
        nn.BatchNorm1d(DESCRIPTOR_SIZE),
        nn.ReLU(),
    )


def teacher_loss(
    output: TeacherOutput, labels: Tensor, smoothing: float, weights: Tensor | None = None
) -> Tensor:
    """Return CE(shape) + CE(views), both smoothed; labels int64 [B], weights [B] -> scalar."""
    views = output.view_logits.shape[1]
    on_views = smoothed_cross_entropy(
        output.view_logits.flatten(0, 1),
        labels.repeat_interleave(views),
        smoothing,
        None if weights is None else weights.repeat_interleave(views),
    )
    return smoothed_cross_entropy(output.logits, labels, smoothing, weights) + on_views


class MultiViewTeacher(nn.Module):
    """Encoder and heads; the encoder is frozen unless it is fine-tuned.

    A pretrained encoder keeps the statistics of its batch norms, so that the features
    of a view depend on no other, and few views at once give the same gradient as many.
    """

    def __init__(self, encoder: ImageEncoder, num_classes: int, finetune: bool) -> None:
        super().__init__()
        self.encoder = encoder if finetune else None
        self._keeps_statistics = not encoder.name.startswith(RANDOM_PREFIX)
        sizes = [member.num_features for member in encoder.members]
        self.heads: MultiViewHeads | JoinedHeads = (
            JoinedHeads(sizes, num_classes)
            if len(sizes) > 1
            else MultiViewHeads(encoder.num_features, num_classes)
        )

    def forward(self, inputs: Tensor) -> TeacherOutput:
        """Views uint8 [B, V, S, S] when fine-tuned, else cached features float [B, V, F]."""
        output: TeacherOutput = self.heads(self._features(inputs))
        return output

    def each(self, inputs: Tensor) -> list[TeacherOutput]:
        """The same inputs -> the output of each encoder's heads, which are trained separately."""
        return self.heads.each(self._features(inputs))

    def _features(self, inputs: Tensor) -> Tensor:
        if self.encoder is None:
            return inputs
        return self._encode(inputs.flatten(0, 1)).view(*inputs.shape[:2], -1)

    def train(self, mode: bool = True) -> "MultiViewTeacher":
        """Set the mode of training, but not of a pretrained encoder's batch norms."""
        super().train(mode)
        if self.encoder is not None and self._keeps_statistics:
            for module in self.encoder.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def _encode(self, views: Tensor) -> Tensor:
        """Views uint8 [n, S, S] -> features [n, F], in memory that does not grow with n.

        Some at a time are encoded without what their gradient needs, and once more for it.
        """
        assert self.encoder is not None
        some = views.split(_CPU_VIEWS if views.device.type == "cpu" else _GPU_VIEWS)
        if len(some) == 1 or not torch.is_grad_enabled():
            features: Tensor = self.encoder(views)
            return features
        return torch.cat([checkpoint(self.encoder, few, use_reentrant=False) for few in some])


class ImageClassifier(nn.Module):
    """Images in 0 to 1, float [B, V, 3, H, W] -> logits [B, K]."""

    def __init__(self, encoder: ImageEncoder, teacher: MultiViewTeacher) -> None:
        super().__init__()
        self.encoder, self.heads = encoder, teacher.heads

    def forward(self, images: Tensor) -> Tensor:
        """Encode the views, and classify the shapes."""
        features = self.encoder.encode(images.flatten(0, 1)).unflatten(0, images.shape[:2])
        output: TeacherOutput = self.heads(features)
        return output.logits


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
        if not 0 <= self.label_smoothing < 1:
            value = self.label_smoothing
            raise ConfigError(f"--label-smoothing {value}: must be at least 0 and below 1")


@dataclass(frozen=True)
class FinetuneOptions(ClassificationOptions):
    """The same where the encoder is trained too.

    A step takes `views_per_step` views of each shape, drawn anew each time; with `augment` they are
    mirrored, shifted and scaled at random.
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
        return (
            f"validation accuracy {scores['val_accuracy']:.1%} on {scores['val_shapes']} shapes"
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
            if not self.begun:
                self._learn_heads()
        elif self.options.propagate and len(self.labelled) < len(self.store.indices("train")):
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
        first = self._first("heads", finetune=False, options={}, **schedule)
        self.teacher.heads.load_state_dict(first.teacher.heads.state_dict())
        remove(self._work_of("heads"))

    def _name_of(self, ending: str) -> str:
        return f"{teacher_name(type(self), self.config)}-{ending}"

    def _work_of(self, ending: str) -> Path:
        return work_file(self.store, self._name_of(ending))

    def _first(self, ending: str, **changes: Any) -> "ClassificationLesson":
        """Train a teacher with other settings, kept in a work file alone."""
        config = replace(self.config, **changes, name=self._name_of(ending))
        encoder = ImageEncoder(config.teacher, config.seed, config.weights)
        first = type(self)(self.store, config, self.device, encoder)
        first.prepare()
        first.fit()
        return first

    def _guess_labels(self) -> None:
        """Give every train shape a class and a weight."""
        options = {**self.config.options, "propagate": "false"}
        first = self._first("labelled", options=options)
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
