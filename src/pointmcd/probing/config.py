"""Settings of `pointmcd probe`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from pointmcd.options import DEVICE, RUN, RUNS, STORE, Flag
from pointmcd.settings import check_choices, convert_paths


@dataclass(frozen=True)
class ProbeConfig:
    """Settings of a probe: the frozen students to evaluate, and the shapes."""

    run: Positional[Annotated[Path, RUN]]
    """Folder of a run of any task."""
    store: Positional[Annotated[Path, STORE]]
    """A store with class labels, the run's own or another. A frozen encoder's features of it are
    cached there for the teacher's row."""
    others: Annotated[tuple[Path, ...], RUNS] = ()
    """More runs for the same table."""
    split: Literal["test", "val"] = "test"
    """Split to evaluate; test is fitted on train and val, val on train: choose settings on val."""
    pooling: Literal["max", "mean", "both"] = "max"
    """Pooling of the embeddings of points to one of the shape; both: one after the other."""
    checkpoint: Literal["last", "best"] = "last"
    """Checkpoint of the last epoch, or the best on the validation split."""
    references: Flag = True
    """Leave out the references: random weights, and the teacher's descriptors."""
    seed: int = 0
    """Seed of folds and few-shot trials."""
    device: Annotated[str, DEVICE] = "auto"
    """cpu, cuda, mps or auto."""

    def __post_init__(self) -> None:
        convert_paths(self)

    def check(self) -> None:
        """Refuse invalid values with a ConfigError that names the option."""
        check_choices(self)
