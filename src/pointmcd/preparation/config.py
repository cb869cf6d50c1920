"""Settings of `pointmcd prepare`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional
from tyro.constructors import PrimitiveConstructorSpec

from pointmcd.errors import ConfigError
from pointmcd.options import Advanced, UpAxis, metavar
from pointmcd.settings import check_choices, convert_paths, option
from pointmcd.shapes.features import chosen_names
from pointmcd.views.rig import Rig

Backend = Literal["processes", "dask", "ray"]
#: A rig on the command line, which cannot spell a `Rig` out.
_NAME_OR_FILE = PrimitiveConstructorSpec(
    nargs=1,
    metavar="NAME|FILE",
    instance_from_str=lambda words: words[0],
    is_instance=lambda rig: isinstance(rig, str | Path | Rig),
    str_from_instance=lambda rig: [str(rig)],
)


@dataclass(frozen=True)
class PrepareConfig:
    """Settings of `prepare`; the same settings give the same bytes, whoever does the work."""

    source: Positional[Annotated[str | Path, metavar("SOURCE")]]
    """Folder or zip of meshes or clouds (CLASS/{train,test}/NAME, CLASS/NAME or flat), NAME:PATH of
    a data set that `pointmcd download` lists, or furniture10, the set that comes along; options
    follow, as in PATH,OPTION=VALUE."""
    store: Positional[Annotated[Path, metavar("STORE")]]
    """Folder to make; run again to go on after an interruption."""
    points: int = 2048
    """Points per shape, in farthest-point order."""
    rig: Annotated[str | Path | Rig, _NAME_OR_FILE] = "ring12"
    """Cameras: ring12, ring16 or a .json file."""
    up: UpAxis = None
    """Axis that points up in the shapes; by default what rig or data set says, or y."""
    labels: Annotated[Path | None, metavar("FILE")] = None
    """Label file (path,class and maybe split) that takes the place of classes read from folders;
    shapes that it does not name have no label."""
    columns: Annotated[str | None, metavar("X,Y,Z")] = None
    """Columns of x, y and z in text tables and arrays: numbers from 1 or names, as in 2,3,4; by
    default their names in the file or their places tell."""
    features: Annotated[tuple[str, ...], metavar("NAME [NAME ...]")] = ()
    """Features of the points to keep for `train --features`: normals (of meshes those of the faces,
    of clouds those in the file), colours (of files that have them), or both."""
    variants: int = 0
    """Deformed copies of each train shape, each with its own points, views and visibility; in each
    epoch, training draws the shape or one of them."""
    seed: int = 0
    """Seed of samples, splits and deformations."""
    workers: int | None = None
    """Processes on this machine; by default one for each core."""
    backend: Advanced[Backend] = "processes"
    """Workers: processes on this machine, or a dask or ray cluster that sees the same files."""
    scheduler: Advanced[Annotated[str | None, metavar("ADDRESS")]] = None
    """Address of the cluster, like tcp://HOST:8786; by default one is started on this machine."""
    shard_size: Advanced[int] = 32
    """Shapes per shard, the unit of work and of resuming; up to 1024."""
    val_fraction: float = 0.15
    """Fraction of the train split held out for validation, if the source has no such split."""
    test_fraction: float = 0.2
    """Fraction of the labelled shapes held out as test split, if the source has no splits."""
    twins: Literal["warn", "drop", "keep"] = "warn"
    """Near-duplicates of test shapes in train and val: named, left out too, or not looked for."""
    strict: bool = False
    """Stop at the first unusable shape, rather than list it and go on."""
    overwrite: bool = False
    """Replace a store that was made with other settings."""

    def __post_init__(self) -> None:
        convert_paths(self)
        object.__setattr__(self, "features", chosen_names(self.features))

    def check(self) -> None:
        """Refuse invalid values, and values that do not fit together.

        Raises:
            ConfigError: naming the option, its value and what it may be.
        """
        check_choices(self)
        for name, (low, high) in _RANGES.items():
            self._check(name, low <= getattr(self, name) <= high, f"must be within {low}..{high}")
        for name in ("val_fraction", "test_fraction"):
            self._check(name, 0 <= getattr(self, name) < 1, "must be 0 or more, and below 1")
        self._check("workers", self.workers is None or self.workers >= 1, "must be 1 or more")
        enough = self.twins != "drop" or self.points >= LEAST_POINTS
        self._check("twins", enough, f"needs --points {LEAST_POINTS} or more")
        if self.scheduler is not None:
            self._check("scheduler", self.backend != "processes", "needs --backend dask or ray")
            whose = f"the workers of --scheduler {self.scheduler} do the work; leave it out"
            self._check("workers", self.workers is None, whose)

    def _check(self, field: str, fine: bool, rule: str) -> None:
        if not fine:
            raise ConfigError(f"{option(field)} {getattr(self, field)}: {rule}")


#: With fewer points, copies and relatives look the same.
LEAST_POINTS = 256
_RANGES = {
    "points": (1, 1_000_000),
    "variants": (0, 1000),
    "shard_size": (1, 1024),
}
