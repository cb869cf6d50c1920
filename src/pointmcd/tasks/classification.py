"""Shape classification: the head on a student's embeddings, and all that inference needs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from pointmcd.data.dataset import Batch
from pointmcd.data.store import Store
from pointmcd.distill.objective import Objectives
from pointmcd.errors import StoreError
from pointmcd.metrics.classification import ClassificationMetrics, classification_metrics
from pointmcd.metrics.metrics import Metrics
from pointmcd.metrics.statistics import PairedTest, mcnemar
from pointmcd.ops.cross_entropy import smoothed_cross_entropy
from pointmcd.students.base import PointFeatures
from pointmcd.students.heads import SINGLE, ClassificationHead
from pointmcd.students.registry import create_student
from pointmcd.tasks.results import Arrays, RunResult, Section, Variant, majority_class
from pointmcd.tasks.task import InputFile, Labels, Prediction, Scores, Task, Wording, register_task
from pointmcd.typing import Doubles, Indices

if TYPE_CHECKING:  # training needs no matplotlib
    from matplotlib.figure import Figure


class Classifier(nn.Module):
    """A student with its classification head: points in, logits out. All that inference needs.

    The head is the student's own, or the method's single layer of 512 where it has none, or where
    `published` is false.
    """

    def __init__(self, student: nn.Module, num_classes: int, published: bool = True) -> None:
        super().__init__()
        self.student: Any = student
        layout = getattr(student, "head", SINGLE) if published else SINGLE
        self.head = ClassificationHead(student.num_features, num_classes, layout)  # type: ignore[arg-type]

    def forward(self, points: Tensor) -> Tensor:
        """Points [B, N, 3 + F] in the unit sphere -> logits [B, K]."""
        logits, _ = self.with_features(points)
        return logits

    def with_features(self, points: Tensor) -> tuple[Tensor, PointFeatures]:
        """Logits [B, K] and the features that they came from."""
        features = self.student(points)
        return self.head(features), features


@dataclass(frozen=True, repr=False)
class ClassPrediction(Prediction):
    """The class of one file.

    Attributes:
        label: the most likely class; None beside a fault.
        confidence: its probability, 0 to 1.
        ranking: all classes with their probabilities, likeliest first.
        unlikeness: distance to the nearest shape whose label the run knew; above 1 it is unlike
            them all. None where that is not known, as of exported weights.
    """

    label: str | None = None
    confidence: float = 0.0
    ranking: tuple[tuple[str, float], ...] = ()
    unlikeness: float | None = None

    @property
    def unlike(self) -> bool | None:
        """Whether the shape is unlike all those whose labels the run knew."""
        return None if self.unlikeness is None else self.unlikeness > 1

    def cells(self) -> dict[str, str]:
        """The class, its probability, the two classes after it, and the mark of the unlike."""
        rest = ", ".join(f"{name} {share:.0%}" for name, share in self.ranking[1:3])
        cells = {"class": str(self.label), "confidence": f"{self.confidence:.0%}", "next": rest}
        return cells if self.unlike is None else cells | {"unlike": "yes" if self.unlike else ""}

    def row(self) -> dict[str, str]:
        """The class and its probability from 0 to 1, the second class with its own, unlikeness."""
        name, share = self.ranking[1] if len(self.ranking) > 1 else ("", 0.0)
        return {
            "class": str(self.label),
            "confidence": f"{self.confidence:.4f}",
            "second class": name,
            "second confidence": f"{share:.4f}",
            **({} if self.unlikeness is None else {"unlikeness": f"{self.unlikeness:.2f}"}),
        }

    def record(self) -> dict[str, Any]:
        """The class, its probability, and the probabilities of all classes, likeliest first."""
        return {
            "class": self.label,
            "confidence": self.confidence,
            "probabilities": dict(self.ranking),
            "unlikeness": self.unlikeness,
        }


@dataclass(frozen=True)
class ClassificationOptions:
    """Options of `classification`.

    Attributes:
        head: the published head of the student, or the method's single layer for every student.
    """

    head: Literal["published", "single"] = "published"


@register_task("classification")
class ClassificationTask(Task):
    """One class for each shape."""

    Options = ClassificationOptions
    recipes = MappingProxyType({"paper": {"head": "single"}})
    lesson = "classification"
    best = "val_accuracy"
    best_name = "overall accuracy"
    metrics = ("val_loss", "val_accuracy", "val_class_accuracy")
    prediction = ClassPrediction
    wording = Wording(
        score="overall accuracy",
        class_score="class accuracy",
        short="accuracy",
        plural="Accuracies",
        share="of the shapes correct",
        test="McNemar on the vote",
        test_note=(
            "McNemar: shapes that only this variant / only the baseline got right by majority vote"
            " over seeds (ties by mean probability), exact two-sided p. Not corrected for several"
            " variants."
        ),
    )
    weighs_shapes = True
    arrays = ("predictions", "probabilities")
    #: With few labels a teacher's answers for all other shapes help even where it is a little
    #: behind; with all labels they may help where it is well ahead, and harm where it is not
    #: (docs/when-distillation-pays.md). A quick baseline is a few points below a whole one.
    leads = (-5.0, 8.0)
    teacher_answer = "logits"
    few_labels_objective = ("logits:9",)

    def check_store(self, store: Store) -> None:
        """Two classes at least."""
        if len(store.classes) < 2:
            parts = " for its parts add --task segmentation;" if store.parts else ""
            raise StoreError(
                f"{store.path}: {len(store.classes)} classes; classification needs at least two:"
                f"{parts} label shapes (pointmcd label STORE) and give --labels labels.csv, or"
                " prepare folders CLASS/NAME or CLASS/{train,test}/NAME"
            )

    def build_model(self, student: str, labels: Labels, extra_channels: int = 0) -> nn.Module:
        """A Classifier."""
        published = self.options.head == "published"
        encoder = create_student(student, extra_channels=extra_channels)
        return Classifier(encoder, len(labels.classes), published)

    def loss(self, logits: Tensor, batch: Batch, label_smoothing: float) -> Tensor:
        """Smoothed cross entropy of the classes."""
        return smoothed_cross_entropy(logits, batch.labels, label_smoothing, batch.weights)

    def training_metrics(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Share of the shapes that are right."""
        right = logits.argmax(dim=1) == batch.labels
        return {"train_accuracy": right.float().mean()}

    def validate(
        self,
        model: nn.Module,
        batches: Iterable[Batch],
        device: torch.device,
        objectives: Objectives | None = None,
    ) -> Scores:
        """Loss, share of shapes that are right, and its mean over classes."""
        found = [(model(b.points.to(device)).float().cpu(), b.labels) for b in batches]
        logits = torch.cat([logits for logits, _ in found])
        labels = torch.cat([labels for _, labels in found])
        hits = (logits.argmax(dim=1) == labels).double()
        per_class = [float(hits[labels == c].mean()) for c in labels.unique()]
        return {
            "val_loss": float(smoothed_cross_entropy(logits, labels, 0.0)),
            "val_accuracy": float(hits.mean()),
            "val_class_accuracy": float(np.mean(per_class)),
        }

    def predict(self, output: Tensor, file: InputFile, labels: Labels) -> ClassPrediction:
        """Rank the classes."""
        probabilities = output.softmax(dim=0)
        order = probabilities.argsort(descending=True).tolist()
        ranking = tuple((labels.classes[i], float(probabilities[i])) for i in order)
        label, confidence = ranking[0]
        return ClassPrediction(
            file.path,
            label=label,
            confidence=confidence,
            ranking=ranking,
            unlikeness=file.unlikeness,
        )

    def predictions(
        self, model: nn.Module, batches: Iterable[Batch], device: torch.device
    ) -> Arrays:
        """Class probabilities [n, K] and the likeliest class [n]."""
        with torch.inference_mode():
            logits = [model(batch.points.to(device)).float() for batch in batches]
        return _answers(torch.cat(logits))

    def teacher_predictions(
        self, answer: Tensor, labels: Indices, known: Labels, ours: Arrays
    ) -> Arrays:
        """The same, of logits [n, K]."""
        return _answers(answer)

    def measure(self, labels: Indices, arrays: Arrays, known: Labels) -> ClassificationMetrics:
        """Accuracies and confusion."""
        return classification_metrics(labels, arrays["predictions"], known.classes)

    def joint_scores(self, results: Sequence[RunResult]) -> Doubles:
        """1 where the class that most seeds chose is the true one, else 0."""
        return np.equal(majority_class(results), results[0].labels).astype(np.float64)

    def paired_test(self, ours: Doubles, theirs: Doubles) -> PairedTest:
        """McNemar's, on right and wrong."""
        return mcnemar(ours == 1, theirs == 1)

    def pictures(self, metrics: Metrics, known: Labels, title: str) -> "dict[str, Figure]":
        """The confusion matrix."""
        from pointmcd.plots.confusion import confusion_figure

        assert isinstance(metrics, ClassificationMetrics)
        heading = f"{title}, {metrics.overall_accuracy:.1%} right"
        return {"confusion": confusion_figure(metrics.confusion, known.classes, heading)}

    def sections(
        self, shown: Sequence[Variant], every: Sequence[Variant], store: Store | str
    ) -> list[Section]:
        """Confusions, and shapes that the two shown variants disagree on."""
        from pointmcd.tasks._class_sections import class_sections

        return class_sections(shown, every, store)


def _answers(logits: Tensor) -> Arrays:
    """Likeliest class [n] and probabilities [n, K]."""
    probabilities = logits.softmax(dim=1).cpu().numpy()
    return {"predictions": probabilities.argmax(axis=1), "probabilities": probabilities}
