"""Fine-tuning: a new model that starts from the student of a finished run or exported weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pointmcd.checkpoint import load_checkpoint, under_prefix, weights_digest
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError
from pointmcd.tasks.task import Task, get_task
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run, note_changed_code
from pointmcd.training.weights import (
    WEIGHTS,
    features_of,
    is_weights,
    list_pretrained,
    read_weights,
    up_of,
)


@dataclass(frozen=True)
class Start:
    """What a student starts from: a finished run, or exported weights.

    Attributes:
        place: as `--init` names it.
        tensors: the student's weights, by their names in it; of a run those of the last epoch.
        about: what is known of it: task, student, settings, and whose labels reached it.
        features: that the student takes behind the coordinates.
    """

    place: Path
    tensors: dict[str, Tensor]
    about: dict[str, Any]
    features: tuple[str, ...]

    @property
    def task(self) -> Task:
        """The task that it learnt."""
        return get_task(self.about["task"])


def open_start(place: Path) -> Start:
    """Read what `--init` names.

    Raises:
        ConfigError: when there is nothing of that name, or the weights are a teacher's.
        RunError: when a run is not finished, or its checkpoint is absent or damaged.
        PointMCDError: when weights are damaged or no export of pointmcd.
    """
    if is_weights(place):
        return _of_weights(place)
    if place.name == WEIGHTS:
        raise ConfigError(f"--init {place}: give its folder, {place.parent}")
    if not place.exists():
        raise ConfigError(
            f"--init {place}: is no run folder, no folder of exported weights and none of the"
            f" weights that come with pointmcd: {', '.join(list_pretrained())}"
        )
    return _of_run(Run(place))


def _of_run(run: Run) -> Start:
    run.refuse_unfinished()
    note_changed_code(run.path, run.meta)
    tensors, _ = load_checkpoint(run.checkpoint("last"))
    kept = ("task", "student", "arm", "seed", "settings", "store_fingerprint")
    about = {
        "run": str(run.path.resolve()),
        "teacher": (run.meta["teacher"] or {}).get("name"),
        "labels_of": stores_of_labels(run.meta),
        "validation_of": stores_of_labels(run.meta, validation=True),
        "up": run.up,
        **{key: run.meta[key] for key in kept},
    }
    return Start(run.path, under_prefix("model.student", tensors), about, run.features)


def _of_weights(place: Path) -> Start:
    file, tensors, told = read_weights(place)
    made = told["run"]
    note_changed_code(file, told | made)
    known = {"task": told["task"], **made}
    about = {
        "run": str(place.resolve() if place.exists() else place),
        "teacher": made["settings"].get("teacher"),
        "labels_of": stores_of_labels(known),  # exports of before it was kept
        "validation_of": stores_of_labels(known, validation=True),
        "up": up_of(told, place),
        "student": told["student"],
        **known,
    }
    return Start(place, under_prefix("student", tensors), about, features_of(told))


def start_from(model: Any, start: Start) -> None:
    """Give a model's student the weights of a start.

    A student with more layers than the start's, for labelling points, keeps those as they are.

    Args:
        model: anything with a `student`.
        start: of any task.

    Raises:
        RunError: when it is of another student; the text says where.
    """
    student = model.student
    wanted: dict[str, Tensor] = student.state_dict()
    for name, tensor in sorted(start.tensors.items()):
        if name not in wanted or wanted[name].shape != tensor.shape:
            raise RunError(_other_student(start, student, name))
    student.load_state_dict(start.tensors, strict=False)


def check_start(start: dict[str, Any], config: TrainConfig, store: Store) -> None:
    """Refuse a start that knows labels which a training must not know.

    Args:
        start: from `describe_start`.
        config: of the new run.
        store: what it trains on.

    Raises:
        ConfigError: when pretraining would start from labels, a share of a store's labels from
            all of them, or what is validated from labels of the validation split.
    """
    known: list[str] = start["labels_of"]
    if known and not config.described_task.labelled:
        raise ConfigError(
            f"--init {start['run']}: learnt from labels; --task {config.task} starts from a run"
            " without labels, or from nothing"
        )
    validated = not store.own_fingerprints.isdisjoint(start["validation_of"])
    if config.fit_on == "train" and validated:
        raise ConfigError(
            f"--init {start['run']}: learnt the labels of this store's validation split; give"
            " --fit-on train+val too"
        )
    few = "--labels" if config.labels else "--label-fraction" if config.label_fraction < 1 else ""
    if few and not store.own_fingerprints.isdisjoint(known):
        raise ConfigError(
            f"--init {start['run']}: learnt from labels of this store; with {few} it would know"
            " those that are left out"
        )


def describe_start(start: Start) -> dict[str, Any]:
    """Return the description, for run.json, of what a student started from."""
    return start.about | {"fingerprint": weights_digest(start.tensors)}


def stores_of_labels(meta: dict[str, Any], validation: bool = False) -> list[str]:
    """Return the stores whose labels reached a run, by itself or by what it started from.

    With `validation`, those whose validation split's did.
    """
    key = "validation_of" if validation else "labels_of"
    known = set((meta.get("init") or {}).get(key, ()))
    fitted = not validation or meta["settings"].get("fit_on") == "train+val"
    if get_task(meta["task"]).labelled and fitted:
        known.add(meta["store_fingerprint"])
        known.add(meta.get("own_fingerprint", meta["store_fingerprint"]))  # with a label file
    return sorted(known)


def _other_student(start: Start, student: nn.Module, name: str) -> str:
    kind = type(student).__name__
    hint = ""
    if not start.task.labelled:
        hint = f"; pretrain it with --task {start.task.name},dense=true if it is to label parts"
    return (
        f"--init {start.place}: its {start.about['student']} does not fit into this {kind}, which"
        f" has no {name} of that shape{hint}"
    )
