"""The run folder: what was trained, on what, with which settings, and how it went."""

import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

import pointmcd
from pointmcd.data.store import Store
from pointmcd.errors import RunError
from pointmcd.files import read_json, replacing, write_json
from pointmcd.training.config import TrainConfig, config_from_dict

RUN_FORMAT = 1


class Run:
    """A run folder.

    Attributes:
        path: the folder.
        meta: the content of run.json.

    Raises:
        RunError: when the folder holds no run, or one of another format.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not (self.path / "run.json").exists():
            raise RunError(f"{path}: no run there (no run.json); make one with: pointmcd train")
        self.meta: dict[str, Any] = read_json(self.path / "run.json")
        found = self.meta.get("format") if isinstance(self.meta, dict) else None
        if found != RUN_FORMAT:
            raise RunError(
                f"{path}: run format {found}, this version of pointmcd reads {RUN_FORMAT};"
                " train again"
            )

    @property
    def config(self) -> TrainConfig:
        """The resolved settings of the run.

        Raises:
            RunError: when config.yaml is absent or damaged.
        """
        path = self.path / "config.yaml"
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise RunError(f"{path}: absent or damaged; train again") from error
        if not isinstance(values, dict):
            raise RunError(f"{path}: absent or damaged; train again")
        return config_from_dict(values)

    @property
    def finished(self) -> bool:
        """Whether every epoch has run."""
        return bool(self.meta["finished"])

    def checkpoint(self, which: str) -> Path:
        """The file of the "last" or "best" checkpoint."""
        return self.path / f"{which}.safetensors"

    def metrics(self) -> list[dict[str, Any]]:
        """One record per epoch.

        Raises:
            RunError: when metrics.jsonl is damaged.
        """
        path = self.path / "metrics.jsonl"
        try:
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
            return [json.loads(line) for line in lines]
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: damaged: {error}; train again") from error

    def append(self, record: dict[str, Any]) -> None:
        """Add the record of one epoch; a later record of that epoch or above is dropped first."""
        kept = [m for m in self.metrics() if m["epoch"] < record["epoch"]]
        with replacing(self.path / "metrics.jsonl") as temporary:
            lines = [json.dumps(m) for m in [*kept, record]]
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def finish(self) -> None:
        """Mark the run as finished."""
        self.meta["finished"] = True
        write_json(self.path / "run.json", self.meta)


def create_run(
    config: TrainConfig, store: Store, teacher: dict[str, Any] | None, parameters: int
) -> Run:
    """Write config.yaml and run.json of a new run."""
    folder = config.folder
    values = asdict(config) | {"store": str(config.store), "out": str(folder)}
    with replacing(folder / "config.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    meta = {
        "format": RUN_FORMAT,
        "pointmcd": pointmcd.__version__,
        "task": "classification",
        "student": config.student,
        "arm": config.arm,
        "num_classes": len(store.classes),
        "classes": store.classes,
        "store": str(config.store.resolve()),
        "store_fingerprint": store.fingerprint,
        "teacher": teacher,
        "versions": versions | {"numpy": np.__version__},
        "seed": config.seed,
        "shapes": {split: len(store.indices(split)) for split in ("train", "val", "test")},
        "parameters": parameters,
        "settings": config.decisive(),
        "finished": False,
    }
    write_json(folder / "run.json", meta)
    return Run(folder)
