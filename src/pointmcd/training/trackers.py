"""Trackers of experiments, such as TensorBoard, Weights & Biases and trackio, by accelerate."""

from collections.abc import Mapping, Sequence
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from pointmcd.errors import ConfigError

#: The project under which trackers list runs; TensorBoard's events are in RUN/pointmcd.
PROJECT = "pointmcd"


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that are not known or not installed, before any training.

    Raises:
        ConfigError: naming the first of them.
    """
    known, there = sorted(map(str, LOGGER_TYPE_TO_CLASS)), {*map(str, get_available_trackers())}
    for name in names:
        if name not in known:
            raise ConfigError(f"--log-to {name}: unknown; use one of {', '.join(known)}")
        if name not in there:
            raise ConfigError(f"--log-to {name}: is not installed; pip install {name}")


def start(accelerator: Accelerator, run: str, settings: Mapping[str, Any]) -> None:
    """Tell the trackers of a run; nothing where there are none."""
    if accelerator.log_with:
        plain = {
            name: value if isinstance(value, bool | int | float | str) else str(value)
            for name, value in settings.items()
        }
        named = {name: {"name": run} for name in ("wandb", "trackio")}
        accelerator.init_trackers(PROJECT, plain, named)


def log(accelerator: Accelerator, record: Mapping[str, Any]) -> None:
    """Log the numbers of an epoch."""
    if accelerator.log_with:
        numbers = {name: v for name, v in record.items() if v is not None and name != "epoch"}
        accelerator.log(numbers, step=record["epoch"])


def finish(accelerator: Accelerator) -> None:
    """Let the trackers write what they hold; accelerate's own end would part the processes too."""
    for tracker in accelerator.trackers:
        tracker.finish()
