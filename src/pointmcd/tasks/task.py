"""The base of tasks, each with its model, loss, metrics, predictions and export."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pointmcd.data.dataset import Batch
from pointmcd.data.store import Store, part_ranges
from pointmcd.distill.objective import Objectives
from pointmcd.errors import ConfigError
from pointmcd.metrics.metrics import Metrics
from pointmcd.metrics.statistics import Interval, PairedTest, signed_rank
from pointmcd.plugs import Plugs
from pointmcd.shapes.clouds import WholeCloud
from pointmcd.shapes.sampling import Surface
from pointmcd.specs import NoOptions, Spec, parse_options
from pointmcd.tasks.results import Arrays, RunResult, Section, Variant
from pointmcd.typing import Bools, Doubles, Floats, Indices

if TYPE_CHECKING:  # training needs no matplotlib
    from matplotlib.figure import Figure

Scores = dict[str, float | None]


@dataclass(frozen=True)
class Labels:
    """Names of the classes and parts of a store.

    Attributes:
        classes: the K class names.
        parts: names of each class's parts; None where the store has no part labels.
    """

    classes: list[str]
    parts: dict[str, list[str]] | None = None

    @classmethod
    def of(cls, store: Store) -> "Labels":
        """Return those of a store."""
        return cls(store.classes, store.parts)

    @property
    def known(self) -> list[str]:
        """The classes of which there is something to predict: with parts, those that have any."""
        return [name for name in self.classes if self.parts is None or self.parts[name]]

    def class_id(self, label: str | None) -> int:
        """Return the id of a class; -1 for None."""
        return -1 if label is None else self.classes.index(label)

    @property
    def part_ranges(self) -> npt.NDArray[np.int64]:
        """First global part id of each class and the one after its last, int64 [K, 2]."""
        assert self.parts is not None
        return part_ranges(self.parts, self.classes)


@dataclass(frozen=True)
class InputFile:
    """A file to predict on.

    Attributes:
        path: the file.
        points: its points as the model takes them, float32 [N, 3 + F], but in the file's axes.
        label: its class, for a model that takes `labels`; None for any other.
        targets: where to write each of the task's `written`; empty where nothing is to be written.
        unlikeness: distance to the nearest shape whose label the model knew, 1 where unlike
            begins; None: not known.
        up: the axis that points up in the file.
        whole: the surface that the points were sampled from, for a mesh; all points, for a cloud;
            None where that is not known.
    """

    path: Path
    points: Floats
    label: str | None = None
    targets: tuple[Path, ...] = ()
    unlikeness: float | None = None
    up: str = "y"
    whole: Surface | WholeCloud | None = None


@dataclass(frozen=True, repr=False)
class Prediction:
    """Prediction of a run for one file; a task's own class adds fields with defaults.

    Attributes:
        path: the file.
        fault: why there is no prediction, one line; None if there is one.
        read: what the file was read as, such as "2,048 points".
        up: the axis that was taken to point up in it.
    """

    path: Path
    fault: str | None = None
    read: str = field(default="", kw_only=True)
    up: str = field(default="y", kw_only=True)

    def __repr__(self) -> str:
        cells = (f"{name} {text}" for name, text in self.cells().items() if text)
        return f"<{self.path.name}: {self.fault or ', '.join(cells)}>"

    def cells(self) -> dict[str, str]:
        """Columns of the printed table after that of the file, and their values."""
        return {}

    def row(self) -> dict[str, str]:
        """The same for a program to read, as in a CSV file."""
        return self.cells()

    def record(self) -> dict[str, Any]:
        """The same as JSON values."""
        return dict(self.row())


@dataclass(frozen=True)
class Wording:
    """Names of a task's metrics in tables and texts.

    Attributes:
        score: the main metric.
        class_score: the same as a mean over classes, each counting the same.
        others: further metrics in a comparison.
        short: the metric of one class or shape.
        plural: several of them, to begin a sentence with.
        share: what a percentage is of, where it stands alone: "of the shapes correct".
        test: the paired test beside a difference.
        test_note: how to read the test's counts and p.
    """

    score: str
    class_score: str
    short: str
    plural: str
    share: str
    test: str
    test_note: str
    others: tuple[str, ...] = ()


class Scoring:
    """Comparison of runs shape by shape."""

    def joint_scores(self, results: Sequence[RunResult]) -> Doubles:
        """One score per shape for all seeds together, float64 [n]: their mean."""
        return np.asarray(np.mean([result.scores for result in results], axis=0))

    def paired_test(self, ours: Doubles, theirs: Doubles) -> PairedTest:
        """Test whether two models score alike on the same shapes, float64 [n] each."""
        return signed_rank(ours, theirs)

    def other_differences(self, ours: Variant, theirs: Variant) -> dict[str, Interval]:
        """Return the differences in metrics of `Wording.others` that have an interval, by name."""
        return {}

    def caution(self, metrics: Metrics) -> str | None:
        """Return what must be known to read the main metric of these, or None."""
        return None


class Task(Scoring, ABC):
    """A task; a subclass is registered by `@register_task("name")`, in one file.

    Its model takes `inputs(batch)` and has `with_features(*inputs) -> (logits, PointFeatures)`
    beside `forward`, and its student under `student`.

    Attributes:
        Options: a dataclass of what can be set in `--task NAME,option=value`.
        labelled: whether it learns from labels; only such a task can be evaluated.
        dense: whether the student takes its form for tasks that label every point.
        lesson: which lesson's teacher is meant by the bare name of an encoder.
        best: the validation metric by which the best epoch is chosen, higher is better.
        best_name: its name among the metrics that `measure` returns.
        metrics: all validation metrics.
        input_names: the fields of a batch that the model takes, and its inputs in an exported file;
            with `labels` among them, a file to predict on needs a class.
        output_name: what `forward` returns, in an exported file.
        prediction: what `predict` returns.
        written: endings of the files that `predict` writes, like `-parts.ply`.
        recipes: what a named recipe sets otherwise for this task, by the fields of TrainConfig or
            of its own options.
        wording: of its test metrics; a task without labels has none.
        weighs_shapes: whether `loss` heeds the `weights` of a batch, as --class-weights needs.
        arrays: names of what `predictions` gives, beside the true labels in the file of a run.
        few_labels_objective: what distillation minimises by default where few labels are known.
        teacher_answer: the output by which a teacher does the task itself; None: no teacher does.
        leads: points of `best` by which a teacher must be ahead of a quick baseline for
            distillation to pay, with few labels and with all of them; None: not known.
        name: what it is registered by, without options.
    """

    Options: ClassVar[type[Any]] = NoOptions
    labelled: ClassVar[bool] = True
    lesson: ClassVar[str]
    best: ClassVar[str]
    best_name: ClassVar[str] = ""
    metrics: ClassVar[tuple[str, ...]]
    input_names: ClassVar[tuple[str, ...]] = ("points",)
    output_name: ClassVar[str] = "logits"
    prediction: ClassVar[type[Prediction]] = Prediction
    written: ClassVar[tuple[str, ...]] = ()
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    wording: ClassVar[Wording]
    weighs_shapes: ClassVar[bool] = False
    arrays: ClassVar[tuple[str, ...]] = ()
    teacher_answer: ClassVar[str | None] = None
    leads: ClassVar[tuple[float, float] | None] = None
    few_labels_objective: ClassVar[tuple[str, ...]] = ()

    def __init__(self, name: str, options: Any) -> None:
        self.name, self.options = name, options

    @property
    def dense(self) -> bool:
        """Whether every point is labelled."""
        return False

    @abstractmethod
    def check_store(self, store: Store) -> None:
        """Refuse a store that lacks what the task learns from.

        Raises:
            StoreError: saying what is missing.
        """

    @abstractmethod
    def build_model(self, student: str, labels: Labels, extra_channels: int = 0) -> nn.Module:
        """Return a student with the task's head, initialised from torch's global generator.

        Args:
            student: what `create_student` takes.
            labels: what it is trained on.
            extra_channels: F, of points [B, N, 3 + F], for `create_student`.

        Raises:
            ConfigError: when there is no such student, or it does not take extra channels.
        """

    @property
    def takes_class(self) -> bool:
        """Whether the model is given the class of each shape."""
        return "labels" in self.input_names

    def inputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the arguments for the model."""
        return tuple(getattr(batch, name) for name in self.input_names)

    @abstractmethod
    def loss(self, logits: Tensor, batch: Batch, label_smoothing: float) -> Tensor:
        """Return the task's loss, a scalar."""

    def training_metrics(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Scalars to log while training, means over the batch, by name; nothing by default."""
        return {}

    @abstractmethod
    def validate(
        self,
        model: nn.Module,
        batches: Iterable[Batch],
        device: torch.device,
        objectives: Objectives | None = None,
    ) -> Scores:
        """Return the validation metrics of a model in evaluation mode.

        Args:
            model: from `build_model`.
            batches: of the validation split; with the teacher's outputs where nothing is labelled.
            device: where the model is.
            objectives: of the run, for a task that has nothing else to be judged by.
        """

    # Prediction and export

    def predict(self, output: Tensor, file: InputFile, labels: Labels) -> Prediction:
        """Interpret the model's output, and write the files of the task to `file.targets`.

        A task without labels predicts nothing and has no such method.

        Args:
            output: of the model for this file alone, without the dimension of the batch, float32.
            file: what it was computed from.
            labels: what the run was trained on.
        """
        raise NotImplementedError

    def described_labels(self, labels: Labels) -> dict[str, Any]:
        """Return the description of an exported model's output: JSON values by name."""
        return {"classes": labels.classes}

    def predictions(
        self, model: nn.Module, batches: Iterable[Batch], device: torch.device
    ) -> Arrays:
        """Predict on all shapes; return arrays [n, ...] by the names in `arrays`.

        Args:
            model: from `build_model`.
            batches: in order; with part labels if the task is dense.
            device: where the model is.
        """
        raise NotImplementedError(f"task {self.name} predicts no labels")

    def measure(self, labels: Indices, arrays: Arrays, known: Labels) -> Metrics:
        """Return the test metrics of predictions.

        Args:
            labels: int64 [n], true classes.
            arrays: from `predictions`.
            known: the classes and parts.

        Raises:
            PointMCDError: when there is nothing to measure, or something is out of range.
        """
        raise NotImplementedError(f"task {self.name} has no test metrics")

    def teacher_predictions(
        self, answer: Tensor, labels: Indices, known: Labels, ours: Arrays
    ) -> Arrays:
        """Return arrays as `predictions` does, of a teacher's output `teacher_answer` [n, ...].

        Args:
            answer: the output.
            labels: class ids [n] of the shapes.
            known: classes and parts.
            ours: what `predictions` returned for a student on the same shapes, or `truth`.
        """
        raise NotImplementedError

    def teacher_output(self, answer: Tensor, file: InputFile, known: Labels) -> Tensor:
        """Return a teacher's answer for one file as `predict` takes it: by default as it is."""
        return answer

    def truth(self, store: Store, indices: Indices) -> Arrays:
        """Return the arrays of `predictions` that do not depend on a model."""
        return {}

    def scored(self, arrays: Arrays) -> Bools | None:
        """Return the mask of shapes that have a score, bool [n]; None: all."""
        return None

    def difference(self, first: RunResult, second: RunResult) -> str | None:
        """Return why two runs on the same shapes cannot be compared; None if they can."""
        return None

    def pictures(self, metrics: Metrics, known: Labels, title: str) -> "dict[str, Figure]":
        """Return figures for `evaluate` to write, by the start of their file names."""
        return {}

    def sections(
        self, shown: Sequence[Variant], every: Sequence[Variant], store: Store | str
    ) -> list[Section]:
        """Return the sections of a report that only this task has.

        Args:
            shown: the variant that the report is about, after its baseline where there is one.
            every: all variants, the baseline first.
            store: what they were tested on, or a sentence that says why it is not there.
        """
        return []


TASKS: Plugs[type[Task]] = Plugs("task", "pointmcd.tasks")
register_task = TASKS.register


def get_task(text: str) -> Task:
    """Return the task of a spec, like `classification` or `pretrain,dense=true`.

    Raises:
        ConfigError: when there is no such task or option.
    """
    spec = Spec.parse(text, "--task")
    kind = TASKS.get(spec.name)
    return kind(spec.name, parse_options(kind.Options, spec.options, f"--task {spec.name}"))


def task_of_lesson(lesson: str) -> Task | None:
    """Return the task that a lesson's teachers do themselves; None where they do none."""
    for name in TASKS.names():
        kind = TASKS.get(name)
        if kind.teacher_answer is not None and kind.lesson == lesson:
            return get_task(name)
    return None


def task_of_teacher(folder: str | Path, lesson: str) -> Task:
    """Return the task that the teacher in a folder does itself.

    Raises:
        ConfigError: when it does none.
    """
    task = task_of_lesson(lesson)
    if task is None:
        raise ConfigError(
            f"{folder}: a teacher of --task {lesson} names neither classes nor parts; use one of"
            " --task classification or segmentation"
        )
    return task
