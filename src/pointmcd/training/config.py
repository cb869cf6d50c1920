"""Settings of `pointmcd train`, all of them."""

import math
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from tyro.conf import Positional, UseAppendAction

from pointmcd.data.augment import RotationName
from pointmcd.data.label_file import labels_digest
from pointmcd.errors import ConfigError
from pointmcd.options import DEVICE, RUN, STORE, Advanced, Flag, metavar
from pointmcd.plugs import code_digests
from pointmcd.settings import check_choices, check_known_labels, convert_paths, option
from pointmcd.shapes.features import chosen_names
from pointmcd.specs import Spec

if TYPE_CHECKING:  # they import torch, which would slow every --help
    from pointmcd.distill.objective import Term
    from pointmcd.tasks.task import Task

Course = Literal["constant", "decay", "first"]


def beside(folder: Path, ending: str) -> Path:
    """Return the folder FOLDER-ENDING, also of one that is named by dots."""
    folder = folder.resolve() if folder.name in ("", "..") else folder
    return folder.with_name(f"{folder.name}-{ending}")


#: Points per shape where no number is chosen.
POINTS = 1024
#: Steps of a training below which results cannot be compared.
FEW_STEPS = 200
#: Settings that cannot change what is learnt.
PLACE_FIELDS = {
    *("store", "out", "init", "labels", "device", "workers", "overwrite", "keep_checkpoints"),
    "log_to",
}
#: Settings that a baseline does not read.
DISTILLATION_FIELDS = {
    "objective",
    "distill_course",
    "distill_share",
    "visibility",
    "pairing",
}
#: Settings that a task without labels does not read.
_LABEL_FIELDS = {"task_weight", "label_smoothing", "label_fraction", "sampling", "class_weights"}
#: Settings that came later, with what runs did before: not said of a run where that is their value.
LATER_FIELDS: dict[str, Any] = {
    "label_fraction": 1.0,
    "dropout": None,
    "clip_gradients": None,
    "ema_decay": None,
    "sampling": "plain",
    "class_weights": "none",
    "variants": True,
    "fit_on": "train",
    "augment": None,
    "one_view": 0.0,
}


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run. The defaults are the `short` recipe's."""

    store: Positional[Annotated[Path, STORE]]
    """The prepared store."""
    out: Annotated[Path | None, RUN] = None
    """Folder of the run; by default runs/STORE-STUDENT-VARIANT-sSEED."""
    task: Annotated[str, metavar("TASK")] = "classification"
    """classification (a class per shape), segmentation (a part per point), pretrain
    (distillation alone, without labels), or package.module:Name or FILE.py:Name for your own."""
    student: Annotated[str, metavar("STUDENT")] = "pointnet"
    """Student: pointnet, pointnet-vanilla, pointnet2, pointnet2-msg, pointnet2-nearest,
    pointnet2-propagated, dgcnn, curvenet, or package.module:factory or FILE.py:factory for your
    own."""
    teacher: Annotated[str | None, metavar("TEACHER")] = "lite0"
    """Name of a teacher in the store; lite0 also stands for lite0-segmentation in segmentation and
    for lite0-features in pretrain. --no-distill trains the baseline."""
    init: Annotated[Path | None, metavar("RUN or WEIGHTS")] = None
    """Fine-tune: start from the last weights of a run of the same student, pretrained or not, or
    from exported weights: a name of those that come along (`list_pretrained`), a folder of
    `export --to safetensors`, or hf-hub:OWNER/NAME."""
    label_fraction: float = 1.0
    """Fraction of each class's train shapes whose labels are used, at least one shape; drawn by the
    seed. They are repeated until an epoch has about as many steps as with all. Objectives
    learn from all train shapes."""
    unlabelled: Annotated[tuple[Path, ...], metavar("STORE [STORE ...]")] = ()
    """More prepared stores, of the same rig and renderer, whose shapes outside their test splits
    the objectives learn from too; their labels, if any, are not read. --task segmentation needs
    their classes, with the names of STORE's."""
    labels: Annotated[Path | None, metavar("FILE")] = None
    """Label file (path,class; for segmentation the parts.csv of `label --parts`) whose labels are
    used instead of the store's, outside the test split; all other shapes are learnt from without
    labels. `teach` with the same file first."""
    fit_on: Literal["train", "train+val"] = "train"
    """Shapes to fit: train, or train+val once all settings are chosen: then nothing is validated,
    there is no best checkpoint, and the last is what is used."""
    epochs: int = 0
    """Passes over the train split; 0: as many as make 1,000 steps, at least 40."""
    batch_size: int = 0
    """Shapes per step, over all processes; 0: 32, of fewer than 320 train shapes 16 or 8."""
    points: int = POINTS
    """Points per shape; of a store that holds fewer than the default, all."""
    features: Annotated[tuple[str, ...], metavar("NAME [NAME ...]")] = ()
    """Features that the student takes beside the coordinates: normals, colours, or both, which the
    store must hold (prepare --features)."""
    seed: int = 0
    """Seed of weights, order and augmentation."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """Optimizer; sgd has momentum 0.9."""
    lr: float = 1e-3
    """Learning rate at the start of the cosine."""
    final_lr: Advanced[float] = 1e-5
    """Learning rate at the end of the cosine."""
    warmup_epochs: Advanced[int] = 0
    """Epochs of linear warm-up before the cosine."""
    weight_decay: Advanced[float] = 0.05
    """Weight decay: L2 for sgd, decoupled for adamw."""
    task_weight: Advanced[float] = 1.0
    """Weight of the task loss."""
    objective: UseAppendAction[Annotated[tuple[str, ...], metavar("NAME:WEIGHT")]] = ()
    """What distillation minimises, as NAME:WEIGHT or NAME:WEIGHT,OPTION=VALUE; give the option once
    for each objective. By default the recipe's: vafp:3 (the cosine distance of geometric and visual
    descriptors), with few labels or --distill auto logits:9 (class probabilities) or point_logits:1
    (those of the points' parts), if the teacher has any, in the paper recipe
    vafp:1,distance=l1,start=plain."""
    distill_course: Advanced[Course] = "constant"
    """Weights of the objectives over the epochs: constant; decay (cosine to zero); first
    (distillation alone, then the task alone)."""
    distill_share: Advanced[float] = 0.3
    """With --distill-course first: the fraction of the epochs that distil."""
    regulariser_weight: Advanced[float] = 0.001
    """Weight of the student's own penalty (PointNet's feature transform)."""
    dropout: Advanced[float | None] = None
    """Probability of the dropout layers of the task's head; by default the head's own."""
    clip_gradients: Advanced[float | None] = None
    """Largest norm of the gradient of all weights together; a larger one is scaled down to it."""
    ema_decay: Advanced[float | None] = None
    """Keep an exponential moving average of the weights with this decay, such as 0.999. The average
    is validated, saved and used from then on; a short training averages over fewer steps."""
    sampling: Advanced[Literal["plain", "balanced"]] = "plain"
    """Order of the labelled shapes: plain (each once an epoch) or balanced (drawn with replacement,
    each class alike)."""
    class_weights: Advanced[Literal["none", "balanced"]] = "none"
    """Weight of each shape in the task loss: none, or balanced (inverse to the number of labelled
    train shapes of its class)."""
    label_smoothing: float = 0.2
    """Probability shared among the other classes."""
    scale: float = 1.25
    """Augmentation: per-axis scale in [1/scale, scale]."""
    shift: float = 0.1
    """Augmentation: per-axis shift, in radii of the unit sphere."""
    rotation: RotationName = "none"
    """Augmentation: rotation about the up axis, or any rotation; visibility stays as it was."""
    variants: Flag = True
    """Leave out the variants of shapes: in each epoch a shape or one of its variants is taken,
    where the store has any."""
    resample: bool = False
    """Augmentation: draw the points anew each epoch from all in the store."""
    one_view: float = 0.0
    """Augmentation: probability that a shape is what one of its views sees of it, these points
    alone, centred and scaled anew: for use on scans from one side."""
    augment: Annotated[str | None, metavar("FILE.py:NAME")] = None
    """Augmentation of your own after these, FILE.py:NAME or package.module:NAME: a function of
    points [N, 3 + F] and a numpy Generator that returns the points, in the same order."""
    visibility: Advanced[Literal["exact", "all"]] = "exact"
    """Visibility of points; all: the control in which every view sees every point."""
    pairing: Advanced[Literal["true", "wrong", "shuffled"]] = "true"
    """Pairing with the teacher's outputs; controls: wrong (each view gets another view's) and
    shuffled (each shape gets another shape's)."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision."""
    device: Annotated[str, DEVICE] = "auto"
    """cpu, cuda, mps, or auto."""
    workers: Advanced[int] = 0
    """Loader processes; 0 loads in the training process."""
    log_to: Advanced[tuple[str, ...]] = ()
    """Trackers that get the numbers of every epoch, by accelerate: tensorboard, wandb, trackio, or
    another that it knows. They are also in the run's metrics.jsonl."""
    keep_checkpoints: Advanced[bool] = False
    """Keep the state of optimizer and objectives in the last checkpoint of a finished run, which is
    three times as large with it."""
    overwrite: bool = False
    """Replace a run of other settings in that folder."""

    def __post_init__(self) -> None:
        convert_paths(self)
        object.__setattr__(self, "unlabelled", tuple(map(Path, self.unlabelled)))
        object.__setattr__(self, "features", chosen_names(self.features))

    @property
    def arm(self) -> str:
        """Name of the variant in a comparison."""
        if self.init is None:
            return self._distillation
        return "finetuned" if self.teacher is None else f"finetuned-{self._distillation}"

    @property
    def _distillation(self) -> str:
        if self.teacher is None:
            return "baseline"
        if self.visibility == "all":
            return "distilled-all-visible"
        if self.pairing != "true":
            return {"wrong": "distilled-wrong-view"}.get(self.pairing, "distilled-shuffled-teacher")
        return "distilled-random-teacher" if self.teacher.startswith("random") else "distilled"

    @property
    def folder(self) -> Path:
        """The run folder."""
        student = re.split(r"[/\\]", self.student)[-1].replace(":", "-")  # of a file: without place
        task = (
            "" if self.task == TrainConfig.task else f"-{re.sub('[^A-Za-z0-9]+', '-', self.task)}"
        )
        task += "".join(f"-{name}" for name in self.features)
        share = "" if self.label_fraction == 1 else f"-{self.label_fraction:g}"
        share += "" if self.fit_on == "train" else f"-{self.fit_on}"
        share += "" if self.labels is None else f"-labels-{labels_digest(self.labels)}"
        name = f"{self.store.resolve().name}{task}-{student}-{self.arm}-s{self.seed}{share}"
        return self.out if self.out is not None else Path("runs") / name

    def decisive(self) -> dict[str, Any]:
        """Everything that decides the result, JSON: what must agree to resume."""
        left_out = set(PLACE_FIELDS)
        if self.teacher is None:
            left_out |= DISTILLATION_FIELDS
        if not self.described_task.labelled:
            left_out |= _LABEL_FIELDS
        left_out |= {name for name, v in LATER_FIELDS.items() if getattr(self, name) == v}
        whole = asdict(self) | {"objective": [term.text for term in self.terms]}
        known: dict[str, Any] = (
            {} if self.labels is None else {"labels": labels_digest(self.labels)}
        )
        if self.unlabelled:
            from pointmcd.data.store import Store

            whole["unlabelled"] = [Store(path).fingerprint for path in self.unlabelled]
        else:
            left_out.add("unlabelled")
        if self.features:
            whole["features"] = list(self.features)
        else:
            left_out.add("features")
        if code := code_digests(self._plug_names):
            known["code"] = code
        return {k: v for k, v in whole.items() if k not in left_out} | known

    @property
    def _plug_names(self) -> list[str]:
        """The names of student, task and objectives, without options."""
        task = Spec.parse(self.task, "--task").name
        own = [] if self.augment is None else [self.augment]
        return [self.student, task, *(term.name for term in self.terms), *own]

    def for_points(self, held: int) -> "TrainConfig":
        """Return the settings with all points of a store that holds fewer than the default."""
        return replace(self, points=held) if self.points == POINTS > held else self

    def for_shapes(self, count: int) -> "TrainConfig":
        """Return the settings with epochs and batch size for that many train shapes.

        Steps, not epochs, are what a training is made of: small sets need more epochs, and smaller
        batches.
        """
        size = self.batch_size or next(
            size for size in (32, 16, 8) if count >= size * 10 or size == 8
        )
        steps = max(count // size, 1)
        epochs = self.epochs or max(_LEAST_EPOCHS, math.ceil(USUAL_STEPS / steps))
        return replace(self, epochs=epochs, batch_size=size)

    @property
    def described_task(self) -> "Task":
        """The task.

        Raises:
            ConfigError: when there is no such task.
        """
        from pointmcd.tasks.task import get_task

        return get_task(self.task)

    @property
    def terms(self) -> "tuple[Term, ...]":
        """The objectives with their weights; none for a baseline.

        Raises:
            ConfigError: when there is no such objective, or it has no such option.
        """
        from pointmcd.distill.objective import read_terms

        return read_terms(self.objectives)

    @property
    def teacher_outputs(self) -> tuple[str, ...]:
        """The teacher's outputs that the objectives read, each once."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.outputs))

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objectives as written, or the default one; none for a baseline."""
        return () if self.teacher is None else self.objective or _DEFAULT_OBJECTIVE

    def check(self) -> None:
        """Refuse invalid values.

        Raises:
            ConfigError: naming the field, its value and what it may be.
        """
        check_choices(self)
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not value >= least:  # not a number is refused too
                raise ConfigError(f"{option(name)} {value}: must be at least {least}")
        if self.batch_size == 1:
            raise ConfigError(
                "--batch-size 1: must be at least 2, or 0; batch norm needs two shapes"
            )
        for name in ("label_smoothing", "dropout"):
            if not 0 <= (value := getattr(self, name) or 0) < 1:
                raise ConfigError(f"{option(name)} {value}: must be at least 0 and below 1")
        if not 0 <= self.one_view <= 1:
            raise ConfigError(f"--one-view {self.one_view}: must be from 0 to 1")
        if not 0 < self.distill_share < 1:
            raise ConfigError(f"--distill-share {self.distill_share}: must be between 0 and 1")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ConfigError(f"--ema-decay {self.ema_decay}: must be between 0 and 1")
        if self.clip_gradients is not None and not 0 < self.clip_gradients < float("inf"):
            raise ConfigError(f"--clip-gradients {self.clip_gradients}: must be above 0")
        from pointmcd.students.registry import check_student_name

        check_known_labels(self)
        check_student_name(self.student)
        _ = self.terms  # refuses what it cannot read
        if not self.described_task.labelled:
            self._check_without_labels()
        elif self.class_weights != "none" and not self.described_task.weighs_shapes:
            raise ConfigError(f"--class-weights: --task {self.task} weighs no shapes; leave it out")

    def _check_without_labels(self) -> None:
        task = f"--task {self.task}"
        if self.teacher is None:
            raise ConfigError(f"--no-distill: {task} is distillation and nothing else")
        if not any(term.weight for term in self.terms):
            raise ConfigError(f"--objective: all weights are 0; {task} would learn nothing")
        if self.distill_course == "first":
            raise ConfigError(f"--distill-course first: {task} has no task to follow")
        for name in ("label_fraction", "sampling", "class_weights"):
            if getattr(self, name) != LATER_FIELDS[name]:
                raise ConfigError(f"{option(name)}: {task} uses no labels; leave it out")
        if self.labels is not None:
            raise ConfigError(f"--labels: {task} uses no labels; leave it out")


_LEAST = {
    "epochs": 0,
    "batch_size": 0,
    "points": 1,
    "lr": 0,
    "final_lr": 0,
    "warmup_epochs": 0,
    "weight_decay": 0,
    "task_weight": 0,
    "regulariser_weight": 0,
    "scale": 1,
    "shift": 0,
    "workers": 0,
}


#: Steps of a training whose epochs are not given, and the fewest epochs.
USUAL_STEPS, _LEAST_EPOCHS = 1000, 40
#: What distillation minimises where a run names no objective.
_DEFAULT_OBJECTIVE = ("vafp:3",)


def config_from_dict(values: dict[str, Any]) -> TrainConfig:
    """A config from what `asdict` made, paths as text.

    Raises:
        ConfigError: when a field is unknown, missing or of another type, so that a run of another
            version is not misread.
    """
    known = {f.name for f in fields(TrainConfig)}
    strange = sorted(values.keys() - known)
    if strange:
        raise ConfigError(f"config field {strange[0]}: unknown to this version of pointmcd")
    if values.get("store") is None:
        raise ConfigError("config field store: missing")
    for name, wanted in get_type_hints(TrainConfig).items():
        fits = wanted | int if wanted in (float, float | None) else wanted
        fits = fits | str if fits == Path | None else fits
        simple = (int, float, str, bool, float | None, str | None, Path | None)
        checked = name in values and wanted in simple
        if checked and not isinstance(values[name], fits):
            kind = getattr(wanted, "__name__", wanted)
            raise ConfigError(f"config field {name}: {values[name]!r} is not {kind}")
    several = ("objective", "unlabelled", "features", "log_to")
    for name in several:
        given = values.get(name) or []
        if not isinstance(given, list | tuple) or any(not isinstance(one, str) for one in given):
            raise ConfigError(f"config field {name}: {given!r} is not a list of strings")
    lists = {name: tuple(values.get(name) or ()) for name in several}
    return TrainConfig(**(values | lists))
