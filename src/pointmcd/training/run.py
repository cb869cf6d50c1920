"""The run folder: what was trained, on what, with which settings, and how it went."""

import json
import platform
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, replace
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import yaml
from rich.table import Table

import pointmcd
from pointmcd.data.label_file import copy_labels
from pointmcd.data.labels import LABELS, is_part_file
from pointmcd.data.part_labels import read_parts
from pointmcd.data.store import Store
from pointmcd.device import device_name, pick_device
from pointmcd.errors import PointMCDError, RunError, StoreError
from pointmcd.files import is_temporary, read_json, remove, replacing, take_lock, write_json
from pointmcd.plugs import code_digests
from pointmcd.progress import note
from pointmcd.shapes.features import chosen_names
from pointmcd.specs import Spec
from pointmcd.tables import Tabular, result_table
from pointmcd.tasks.task import Labels, Task, get_task
from pointmcd.training.config import TrainConfig, config_from_dict

#: The log of a run: a line for each epoch.
METRICS = "metrics.jsonl"
#: Held in a run folder while it is trained in.
LOCK = ".lock"
#: Raised whenever run folders change in a way that older code would misread.
RUN_FORMAT = 4

#: That of libyaml, which is faster, where PyYAML has it.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Epochs that a notebook shows.
_SHOWN = 5
#: Runs of which `note_changed_code` has said so.
_noted: set[str] = set()
_KEYS = (
    "arm",
    "classes",
    "finished",
    "num_classes",
    "parts",
    "seed",
    "settings",
    "shapes",
    "store",
    "store_fingerprint",
    "student",
    "task",
    "teacher",
)


class Run(Tabular):
    """A run folder.

    In a notebook it is shown with its last epochs; `to_frame` has a row for each epoch.

    Attributes:
        path: the folder.
        meta: the content of run.json.

    Raises:
        RunError: when the folder holds no run, or one of another format.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        file = self.path / "run.json"
        if not file.is_file():
            raise RunError(f"{path}: is not a run folder{_instead(self.path)}")
        self.meta: dict[str, Any] = _read_meta(file)

    def __repr__(self) -> str:
        about = (self.meta["student"], self.meta["task"], self.meta["arm"])
        seed, state = self.meta["seed"], "finished" if self.finished else "not finished"
        return f"<Run {self.path}: {', '.join(about)}, seed {seed}, {state}>"

    def _table(self) -> Table:
        records = self.metrics()[-_SHOWN:]
        names = list(dict.fromkeys(name for record in records for name in record))
        rows = ([_cell(record.get(name)) for name in names] for record in records)
        return result_table(names or ["epoch"], rows, repr(self))

    def _records(self) -> list[dict[str, Any]]:
        return self.metrics()

    @property
    def own_fingerprint(self) -> str:
        """The fingerprint of its store without a label file."""
        return str(self.meta.get("own_fingerprint", self.meta["store_fingerprint"]))

    @property
    def settings(self) -> dict[str, Any]:
        """The content of config.yaml.

        Raises:
            RunError: when it is absent or damaged.
        """
        try:
            return _read_settings(self.path / "config.yaml")
        except RunError as error:
            raise RunError(f"{error}; train again") from error

    @property
    def config(self) -> TrainConfig:
        """The resolved settings of the run.

        Raises:
            RunError: when config.yaml cannot be read.
            ConfigError: when a field of it is unknown, missing or of another type.
        """
        return replace(config_from_dict(self.settings), labels=self.label_file)

    @property
    def label_file(self) -> Path | None:
        """Its own copy of the label file that it was trained with, if any."""
        file = self.path / LABELS
        return file if file.exists() else None

    def label_file_of(self, store: Store) -> Path | None:
        """Return that copy if the run learnt from this very store; None for other shapes."""
        return self.label_file if self.own_fingerprint == store.own_fingerprint else None

    def open_store(self, path: str | Path | None = None) -> Store:
        """Open the store that it was trained on, with its label file, or a copy at another path.

        Its shapes are turned so that the axis is up that was in training.

        Raises:
            StoreError: when it is no longer there.
        """
        store = Store(path or Path(self.meta["store"]), self.label_file)
        return store.with_up(self.meta.get("up"))

    @property
    def up(self) -> str | None:
        """The axis that points up in the shapes that it learnt from.

        None when the run is from before that was kept, and its store is gone.
        """
        if "up" not in self.meta:
            with suppress(StoreError):
                return Store(self.meta["store"]).up
        return self.meta.get("up")

    @property
    def task(self) -> Task:
        """Its task.

        Raises:
            ConfigError: when this installation has no such task.
        """
        return get_task(self.meta["task"])

    @property
    def labels(self) -> Labels:
        """The classes and parts that it was trained on."""
        return Labels(self.meta["classes"], self.meta.get("parts"))

    @property
    def features(self) -> tuple[str, ...]:
        """The features of points that its student takes behind the coordinates."""
        return chosen_names(self.meta["settings"].get("features", ()))

    @property
    def finished(self) -> bool:
        """Whether every epoch has run."""
        return bool(self.meta["finished"])

    def refuse_unfinished(self) -> None:
        """Refuse a run that is still to be trained.

        Raises:
            RunError: saying what to do.
        """
        if not self.finished:
            raise RunError(f"{self.path}: not finished; run the same pointmcd train command again")

    def refuse_pretrained(self) -> None:
        """Refuse a run that was pretrained where a class or a part is asked for.

        Raises:
            RunError: saying what it can be used for.
        """
        if not self.task.labelled:
            raise RunError(
                f"{self.path}: was pretrained without labels and predicts no classes; evaluate it"
                " with pointmcd probe, or fine-tune it with pointmcd train --init"
            )

    @property
    def fit_on(self) -> str:
        """The splits that it was fitted to: "train" or "train+val"."""
        return str(self.meta["settings"].get("fit_on", "train"))

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """Its checkpoints: "last" and, where there was something to validate on, "best"."""
        return ("last", "best") if self.fit_on == "train" else ("last",)

    def kept(self, which: str) -> str:
        """Return the checkpoint that a name means: the last where there is no best."""
        return "last" if which == "best" and "best" not in self.checkpoints else which

    def require(self, which: str) -> None:
        """Refuse a run without such a checkpoint where one is compared with others.

        Raises:
            RunError: saying why there is none.
        """
        if self.kept(which) != which:
            raise RunError(f"{self.path}: fits {self.fit_on} and has no best checkpoint; use last")

    def checkpoint(self, which: str) -> Path:
        """The file of the checkpoint that a name means."""
        return self.path / f"{self.kept(which)}.safetensors"

    def metrics(self) -> list[dict[str, Any]]:
        """One record per epoch; a last line that was cut short is dropped.

        Raises:
            RunError: when another line of metrics.jsonl is damaged.
        """
        file = self.path / METRICS
        text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
        lines = text.splitlines()
        records: list[dict[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            try:
                records.append(json.loads(line))
            except ValueError as error:
                if number < len(lines):
                    raise RunError(f"{file}: line {number} is not JSON; train again") from error
        return records

    def append(self, *records: dict[str, Any]) -> None:
        """Add records of epochs; an older one of the first of them or above is dropped first."""
        kept = [m for m in self.metrics() if m["epoch"] < records[0]["epoch"]]
        with replacing(self.path / METRICS) as temporary:
            lines = [json.dumps(m) for m in [*kept, *records]]
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def finish(self) -> None:
        """Mark the run as finished."""
        self.meta["finished"] = True
        write_json(self.path / "run.json", self.meta)


def changed_code(settings: Mapping[str, Any], now: Mapping[str, str]) -> str | None:
    """Return the first place whose code is another than a run recorded in its settings, if any.

    A place that either does not know is taken as the same: it is absent, or the run is older.
    """
    then: dict[str, str] = settings.get("code", {})
    return next((place for place in now if now[place] != then.get(place, now[place])), None)


def note_changed_code(run: str | Path, meta: Mapping[str, Any]) -> None:
    """Say, once for a run, that the code of its student or task has changed since it was trained.

    Args:
        run: where it is.
        meta: its run.json, or what an export keeps of it.
    """
    names = [meta["student"], Spec.parse(meta["task"], "--task").name]
    changed = changed_code(meta["settings"], code_digests(names))
    if changed is not None and str(run) not in _noted:
        _noted.add(str(run))
        note(f"{run}: the code of {changed} has changed since it was trained")


def _instead(path: Path) -> str:
    """What a path is that is no run, and what to do."""
    if (path / "teacher.json").is_file():
        return " but a teacher's; give a run"
    store = path.parent.parent if holds_teachers(path.parent) else None
    work = (path.with_name(f".{path.name}{end}") for end in (".lock", ".work.safetensors"))
    if store and any(place.exists() for place in (path, *work)):
        return "; this teacher is not finished: run the same pointmcd teach again"
    if not path.exists():
        near = get_close_matches(path.name, _runs_in(path.parent), n=1, cutoff=0.4)
        if near:
            return f" (it does not exist); did you mean {path.parent / near[0]}?"
        unlabelled = ", and --task features where nothing is labelled"
        how = f"teach {store}{unlabelled}" if store else "train"
        return f" (it does not exist); make one with pointmcd {how}"
    if path.suffix == ".onnx":
        return " but an ONNX file, for ONNX Runtime; give the run that it was exported from"
    what = " but a store" if (path / "store.json").is_file() else ""
    return f"{what} (no run.json); make one with pointmcd train"


def _runs_in(folder: Path) -> list[str]:
    """Names of the runs in a folder; of the teachers in a store's."""
    file = "teacher.json" if holds_teachers(folder) else "run.json"
    return sorted(found.parent.name for found in folder.glob(f"*/{file}"))


def holds_teachers(folder: Path) -> bool:
    """Return whether a folder is that of a store's teachers."""
    return folder.name == "teachers" and (folder.parent / "store.json").is_file()


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}"


def lock_folder(folder: Path) -> AbstractContextManager[None]:
    """Take the lock of a run folder, which is made if it is absent; leaving the context frees it.

    Raises:
        RunError: when another process has it.
    """

    def refuse() -> NoReturn:
        raise RunError(
            f"{folder}: another process trains in it; wait for its end, or choose another --out"
        )

    return take_lock(folder / LOCK, refuse)


def is_begun(path: Path) -> bool:
    """Return whether a file may be left by a run that was killed at its start."""
    return path.name in ("config.yaml", LABELS, LOCK) or is_temporary(path)


def clear_run(folder: Path) -> None:
    """Remove a run, but not its lock, nor the label file, from which the next may learn.

    run.json is last, so that what a kill leaves can still be replaced.
    """
    for path in folder.iterdir():
        if path.name not in ("run.json", LOCK, LABELS):
            remove(path)
    remove(folder / "run.json")


def _read_meta(file: Path) -> dict[str, Any]:
    try:
        meta = read_json(file)
    except PointMCDError as error:
        raise RunError(str(error)) from error
    found = meta.get("format") if isinstance(meta, dict) else None
    if found != RUN_FORMAT:
        raise RunError(f"{file}: run format {found}, this version reads {RUN_FORMAT}; train again")
    missing = [key for key in _KEYS if key not in meta]
    if missing:
        raise RunError(f"{file}: lacks {', '.join(missing)}; train again")
    return dict(meta)


def read_config(file: str | Path) -> TrainConfig:
    """Read the settings of a run from its config.yaml, for another run like it.

    Its folder is left out, and its label file is the copy that the run keeps, if it does.

    Raises:
        RunError: when the file cannot be read.
        ConfigError: when a field of it is unknown, missing or of another type.
    """
    file = Path(file)
    kept = file.parent / LABELS
    config = replace(config_from_dict(_read_settings(file)), out=None, overwrite=False)
    return replace(config, labels=kept) if config.labels and kept.exists() else config


def _read_settings(file: Path) -> dict[str, Any]:
    try:
        settings = yaml.load(file.read_text(encoding="utf-8"), _LOADER)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RunError(f"{file}: cannot be read as YAML") from error
    if not isinstance(settings, dict):
        raise RunError(f"{file}: holds no settings")
    return settings


def create_run(
    config: TrainConfig,
    store: Store,
    teacher: dict[str, Any] | None,
    parameters: int,
    start: dict[str, Any] | None = None,
    train_shapes: int | None = None,
    steps: int | None = None,
) -> Run:
    """Write config.yaml and run.json of a new run.

    Args:
        config: its settings.
        store: what it is trained on.
        teacher: the teacher.json of its teacher.
        parameters: of the model.
        start: what is known of the run that it starts from.
        train_shapes: how many train shapes are used; all where None.
        steps: of all epochs; None: not known.
    """
    folder = config.folder
    shapes = {split: len(store.indices(split)) for split in ("train", "val", "test")}
    if train_shapes is not None:
        shapes["train"] = train_shapes
    labels = shapes["train"]
    if config.labels is None:
        remove(folder / LABELS)
    else:
        copy_labels(config.labels, folder / LABELS)
        labels = len(read_parts(config.labels)) if is_part_file(config.labels) else labels
    with replacing(folder / "config.yaml") as temporary:
        text = yaml.safe_dump(_plain_values(config), sort_keys=False)
        temporary.write_text(text, encoding="utf-8")
    versions = {"python": platform.python_version()} | {n: version(n) for n in ("torch", "numpy")}
    meta = {
        "format": RUN_FORMAT,
        "pointmcd": pointmcd.__version__,
        "task": config.task,
        "student": config.student,
        "arm": config.arm,
        "num_classes": len(store.classes),
        "classes": store.classes,
        "parts": store.parts,
        "store": str(config.store.resolve()),
        "store_fingerprint": store.fingerprint,
        "own_fingerprint": store.own_fingerprint,
        "up": store.up,
        "teacher": teacher,
        "versions": versions,
        "device": device_name(pick_device(config.device)),
        "init": start,
        "seed": config.seed,
        "shapes": shapes,
        "labels": labels,
        "steps": steps,
        "parameters": parameters,
        "settings": config.decisive(),
        "finished": False,
    }
    write_json(folder / "run.json", meta)
    return Run(folder)


def _plain_values(config: TrainConfig) -> dict[str, Any]:
    """Return the settings as YAML has them: paths as text, tuples as lists."""
    values = asdict(config) | {"out": config.folder}
    values["objective"] = config.objectives or config.objective
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
