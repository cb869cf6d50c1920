"""Fine-tuning: a new model that starts from the student of a finished run."""

from typing import Any

from torch import Tensor, nn

from pointmcd.checkpoint import load_checkpoint, under_prefix, weights_digest
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError
from pointmcd.tasks.task import get_task
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run, note_changed_code


def start_from(model: Any, run: Run) -> None:
    """Give a model's student the last weights of a run's student.

    A student with more layers than the run's, for labelling points, keeps those as they are.

    Args:
        model: anything with a `student`.
        run: of any task.

    Raises:
        RunError: when the run is not finished, or is of another student; the text says where.
    """
    note_changed_code(run.path, run.meta)
    tensors, student = student_tensors(run), model.student
    wanted: dict[str, Tensor] = student.state_dict()
    for name, tensor in sorted(tensors.items()):
        if name not in wanted or wanted[name].shape != tensor.shape:
            raise RunError(_other_student(run, student, name))
    student.load_state_dict(tensors, strict=False)


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
    if config.fit_on == "train" and store.own_fingerprint in start["validation_of"]:
        raise ConfigError(
            f"--init {start['run']}: learnt the labels of this store's validation split; give"
            " --fit-on train+val too"
        )
    few = "--labels" if config.labels else "--label-fraction" if config.label_fraction < 1 else ""
    if few and store.own_fingerprint in known:
        raise ConfigError(
            f"--init {start['run']}: learnt from labels of this store; with {few} it would know"
            " those that are left out"
        )


def student_tensors(run: Run) -> dict[str, Tensor]:
    """The weights of a finished run's student, last epoch, by their names in it.

    Raises:
        RunError: when the run is not finished, or its checkpoint is absent or damaged.
    """
    run.refuse_unfinished()
    tensors, _ = load_checkpoint(run.checkpoint("last"))
    return under_prefix("model.student", tensors)


def describe_start(run: Run) -> dict[str, Any]:
    """Return the description, for run.json, of the run that a student started from."""
    meta = run.meta
    kept = ("task", "student", "arm", "seed", "settings", "store_fingerprint")
    return {
        "run": str(run.path.resolve()),
        "fingerprint": weights_digest(student_tensors(run)),
        "teacher": (meta["teacher"] or {}).get("name"),
        "labels_of": _labels_of(meta),
        "validation_of": _labels_of(meta, validation=True),
        "up": run.up,
        **{key: meta[key] for key in kept},
    }


def _labels_of(meta: dict[str, Any], validation: bool = False) -> list[str]:
    """The stores whose labels reached a run, by itself or by what it started from.

    With `validation`, those whose validation split's did.
    """
    key = "validation_of" if validation else "labels_of"
    known = set((meta.get("init") or {}).get(key, ()))
    fitted = not validation or meta["settings"].get("fit_on") == "train+val"
    if get_task(meta["task"]).labelled and fitted:
        known.add(meta["store_fingerprint"])
        known.add(meta.get("own_fingerprint", meta["store_fingerprint"]))  # with a label file
    return sorted(known)


def _other_student(run: Run, student: nn.Module, name: str) -> str:
    kind = type(student).__name__
    hint = ""
    if not run.task.labelled:
        hint = f"; pretrain it with --task {run.task.name},dense=true if it is to label parts"
    return (
        f"--init {run.path}: its {run.meta['student']} does not fit into this {kind}, which has no"
        f" {name} of that shape{hint}"
    )
