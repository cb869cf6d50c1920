"""Fine-tuning: a new model that starts from the student of a finished run."""

import hashlib
from typing import Any

from torch import Tensor, nn

from pointmcd.checkpoint import load_checkpoint, under_prefix
from pointmcd.errors import RunError
from pointmcd.training.run import Run


def start_from(model: Any, run: Run) -> None:
    """Give a model's student the last weights of a run's student.

    A student with more layers than the run's, for labelling points, keeps those as they are.

    Args:
        model: anything with a `student`.
        run: of any task.

    Raises:
        RunError: when the run is not finished, or is of another student; the text says where.
    """
    tensors, student = student_tensors(run), model.student
    wanted: dict[str, Tensor] = student.state_dict()
    for name, tensor in sorted(tensors.items()):
        if name not in wanted or wanted[name].shape != tensor.shape:
            raise RunError(_other_student(run, student, name))
    student.load_state_dict(tensors, strict=False)


def student_tensors(run: Run) -> dict[str, Tensor]:
    """The weights of a finished run's student, last epoch, by their names in it.

    Raises:
        RunError: when the run is not finished, or its checkpoint is absent or damaged.
    """
    if not run.finished:
        raise RunError(f"{run.path}: not finished; run the same pointmcd train command again")
    tensors, _ = load_checkpoint(run.checkpoint("last"))
    return under_prefix("model.student", tensors)


def describe_start(run: Run) -> dict[str, Any]:
    """What run.json keeps of the run that a student started from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(student_tensors(run).items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    meta = run.meta
    kept = ("task", "student", "arm", "seed", "settings", "store_fingerprint")
    teacher = (meta["teacher"] or {}).get("name")
    return {
        "run": str(run.path.resolve()),
        "fingerprint": digest.hexdigest()[:16],
        "teacher": teacher,
        **{key: meta[key] for key in kept},
    }


def _other_student(run: Run, student: nn.Module, name: str) -> str:
    kind = type(student).__name__
    hint = ""
    if run.meta["task"] == "pretrain":
        hint = "; pretrain it with --pretrain-for segmentation if it is to label parts"
    return (
        f"--init {run.path}: its {run.meta['student']} does not fit into this {kind}, which has no"
        f" {name} of that shape{hint}"
    )
