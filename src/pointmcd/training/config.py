"""Settings of `pointmcd train`, all of them, and the named recipes that fill them."""

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from tyro.conf import Positional

from pointmcd.data.augment import RotationName
from pointmcd.errors import ConfigError

Task = Literal["classification", "segmentation", "pretrain"]
Course = Literal["constant", "decay", "first"]


#: Settings that cannot change what is learnt.
PLACE_FIELDS = {"store", "out", "init", "device", "workers", "overwrite"}
#: Settings that a baseline does not read.
DISTILLATION_FIELDS = {
    *("distill_weight", "distill_loss", "distill_start", "distill_course", "distill_share"),
    *("target", "standardise", "visibility", "pairing"),
}
#: Settings that pretraining does not read.
LABEL_FIELDS = {"task_weight", "label_smoothing", "label_fraction"}


@dataclass(frozen=True)
class TrainConfig:
    """How a student is trained. The defaults are the `short` recipe's."""

    store: Positional[Path]
    """The prepared store."""
    out: Path | None = None
    """Run folder; by default runs/STORE-STUDENT-ARM-sSEED."""
    task: Task = "classification"
    """classification (a class per shape), segmentation (a part per point), or pretrain (the
    teacher's descriptors alone, without any label)."""
    student: str = "pointnet"
    """Registered student, or package.module:factory for your own."""
    teacher: str | None = "lite0"
    """Name of a teacher in the store, for segmentation without or with its -segmentation; for
    pretrain one without labels, lite0 standing for lite0-features; None (--no-distill) trains the
    baseline."""
    init: Path | None = None
    """Fine-tuning: a run of the same student, pretrained or not, whose last weights are the
    start."""
    label_fraction: float = 1.0
    """Share of each class's train shapes that are used, at least one; drawn by the seed. Each is
    then seen so often that an epoch has about as many steps as with all."""
    pretrain_for: Literal["classification", "segmentation"] = "classification"
    """Pretraining: for which task, where the student has a form of its own for it (dgcnn)."""
    epochs: int = 40
    """Passes over the train part."""
    batch_size: int = 32
    """Shapes per step, over all processes."""
    points: int = 1024
    """Points per shape."""
    seed: int = 0
    """Seed of weights, order and augmentation."""
    optimizer: Literal["sgd", "adamw"] = "adamw"
    """sgd has momentum 0.9."""
    lr: float = 1e-3
    """Step size at the start of the cosine."""
    final_lr: float = 1e-5
    """Step size at its end."""
    warmup_epochs: int = 0
    """Epochs of linear rise before the cosine."""
    weight_decay: float = 0.05
    """L2 for sgd, decoupled for adamw."""
    task_weight: float = 1.0
    """Weight of the task loss."""
    distill_weight: float = 3.0
    """Weight of the distillation loss."""
    distill_loss: Literal["l1", "smooth_l1", "cosine"] = "cosine"
    """Distance of geometric and visual descriptors."""
    distill_start: Literal["plain", "targets"] = "targets"
    """targets: the projection begins with the mean and deviation of the targets' channels; plain:
    with 0 and 1."""
    distill_course: Course = "constant"
    """constant; decay (cosine to zero); first (distillation alone, then the task alone)."""
    distill_share: float = 0.3
    """With course first: the share of the epochs that distil."""
    target: Literal["descriptors", "features"] = "descriptors"
    """The teacher's trained descriptors, or its frozen encoder's own features."""
    standardise: bool = False
    """Zero mean and unit variance per channel of the target, from the train part."""
    regulariser_weight: float = 0.001
    """Weight of the student's own penalty (PointNet's feature transform)."""
    label_smoothing: float = 0.2
    """Probability shared among the other classes."""
    scale: float = 1.25
    """Augmentation: per-axis scale in [1/scale, scale]."""
    shift: float = 0.1
    """Augmentation: per-axis shift, in radii of the unit sphere."""
    rotation: RotationName = "none"
    """Augmentation: turns about the up axis, or any; what a view sees of the points stays."""
    resample: bool = False
    """Augmentation: draw the points anew each epoch from all in the store."""
    visibility: Literal["exact", "all"] = "exact"
    """all: the control in which every view sees every point."""
    pairing: Literal["true", "wrong"] = "true"
    """wrong: the control in which a view gets another view's descriptor."""
    precision: Literal["no", "bf16", "fp16"] = "no"
    """Mixed precision."""
    device: str = "auto"
    """cpu, or auto: what accelerate finds."""
    workers: int = 0
    """Loader processes; 0 loads in the training process."""
    overwrite: bool = False
    """Replace a run of other settings in that folder."""

    @property
    def arm(self) -> str:
        """What this run is in a comparison."""
        if self.init is None:
            return self._distillation
        return "finetuned" if self.teacher is None else f"finetuned-{self._distillation}"

    @property
    def _distillation(self) -> str:
        if self.teacher is None:
            return "baseline"
        if self.visibility == "all":
            return "distilled-all-visible"
        if self.pairing == "wrong":
            return "distilled-wrong-view"
        return "distilled-random-teacher" if self.teacher.startswith("random") else "distilled"

    @property
    def folder(self) -> Path:
        """The run folder."""
        student = self.student.replace(":", "-")
        task = "" if self.task == "classification" else f"-{self.task}"
        share = "" if self.label_fraction == 1 else f"-{self.label_fraction:g}"
        name = f"{self.store.resolve().name}{task}-{student}-{self.arm}-s{self.seed}{share}"
        return self.out if self.out is not None else Path("runs") / name

    def decisive(self) -> dict[str, Any]:
        """Everything that decides the result, JSON: what must agree to resume."""
        left_out = set(PLACE_FIELDS)
        if self.teacher is None:
            left_out |= DISTILLATION_FIELDS
        if self.task == "pretrain":
            left_out |= LABEL_FIELDS
        else:
            left_out.add("pretrain_for")
        if self.label_fraction == 1:  # described as before there was a choice
            left_out.add("label_fraction")
        return {k: v for k, v in asdict(self).items() if k not in left_out}

    def check(self) -> None:
        """Refuse values that cannot be meant.

        Raises:
            ConfigError: naming the field, its value and what it may be.
        """
        self._check_choices()
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if not value >= least:  # not a number is refused too
                raise ConfigError(f"--{name.replace('_', '-')} {value}: at least {least}")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"--label-smoothing {self.label_smoothing}: 0 to below 1")
        if not 0 < self.distill_share < 1:
            raise ConfigError(f"--distill-share {self.distill_share}: between 0 and 1")
        if not 0 < self.label_fraction <= 1:
            raise ConfigError(f"--label-fraction {self.label_fraction}: above 0, up to 1")
        if self.task == "pretrain":
            self._check_pretraining()

    def _check_pretraining(self) -> None:
        if self.teacher is None:
            raise ConfigError("--no-distill: --task pretrain is distillation and nothing else")
        if not self.distill_weight > 0:
            raise ConfigError("--distill-weight 0: --task pretrain would learn nothing")
        if self.distill_course == "first":
            raise ConfigError("--distill-course first: --task pretrain has no task to follow")
        if self.label_fraction != 1:
            raise ConfigError("--label-fraction: --task pretrain uses no labels; leave it out")

    def _check_choices(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            value = getattr(self, name, None)
            if get_origin(hint) is Literal and value not in get_args(hint):
                choices = ", ".join(get_args(hint))
                raise ConfigError(f"--{name.replace('_', '-')} {value}: use one of {choices}")


_LEAST = {
    "epochs": 1,
    "batch_size": 2,  # batch norm needs two shapes
    "points": 1,
    "seed": 0,
    "lr": 0,
    "final_lr": 0,
    "warmup_epochs": 0,
    "weight_decay": 0,
    "task_weight": 0,
    "distill_weight": 0,
    "regulariser_weight": 0,
    "scale": 1,
    "shift": 0,
    "workers": 0,
}


#: The method's own setting (see docs/how-it-works.md).
PAPER: dict[str, Any] = {
    "optimizer": "sgd",
    "lr": 0.1,
    "final_lr": 0.001,
    "weight_decay": 5e-4,
    "task_weight": 0.1,
    "distill_weight": 1.0,
    "distill_loss": "l1",
    "distill_start": "plain",
    "distill_course": "constant",
    "target": "descriptors",
    "standardise": False,
    "scale": 1.5,
    "shift": 0.2,
    "epochs": 350,
    "batch_size": 24,
}
#: What part segmentation has otherwise there; its scale of 0.8 to 1.2 is 1 / 1.2 to 1.2 here.
PAPER_SEGMENTATION: dict[str, Any] = {
    "weight_decay": 1e-4,
    "task_weight": 1.0,
    "scale": 1.2,
    "shift": 0.1,
    "points": 2048,
    "regulariser_weight": 0.0,
    "epochs": 250,
    "batch_size": 32,
}
#: What PointNet has otherwise, by task.
PAPER_POINTNET: dict[str, dict[str, Any]] = {
    "classification": {"epochs": 500, "batch_size": 64},
    "segmentation": {"epochs": 200, "task_weight": 0.1, "label_smoothing": 0.05},
}

RECIPES = ("short", "paper")


def apply_recipe(config: TrainConfig, recipe: str) -> TrainConfig:
    """`config` with the fields that the recipe names set to its values.

    Raises:
        ConfigError: when there is no such recipe.
    """
    if recipe == "short":
        return config
    if recipe != "paper":
        raise ConfigError(f"--recipe {recipe}: use one of {', '.join(RECIPES)}")
    of_task = PAPER_SEGMENTATION if config.task == "segmentation" else {}
    # Pretraining's schedule is not known: classification's (ours).
    task = "classification" if config.task == "pretrain" else config.task
    of_student = PAPER_POINTNET[task] if config.student == "pointnet" else {}
    return replace(config, **(PAPER | of_task | of_student))


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
        fits = (int, float) if wanted is float else wanted
        if wanted in (int, float, str, bool) and not isinstance(values.get(name, wanted()), fits):
            raise ConfigError(f"config field {name}: {values[name]!r} is not {wanted.__name__}")
    paths = {k: Path(values[k]) for k in ("store", "out", "init") if values.get(k) is not None}
    return TrainConfig(**(values | paths))
