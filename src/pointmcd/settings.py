"""Common ground of all settings: text serves for paths, and checks name the option."""

from numbers import Integral
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pointmcd.errors import ConfigError


def option(field: str) -> str:
    """Return the option of the command line that sets a field."""
    return f"--{field.replace('_', '-')}"


def convert_paths(config: Any) -> None:
    """Turn text in a dataclass's fields for paths into `Path`: what its `__post_init__` calls.

    Other fields stay as they are, also those that take a path or a text.
    """
    for name, hint in get_type_hints(type(config)).items():
        value = getattr(config, name)
        if isinstance(value, str) and hint in (Path, Path | None):
            object.__setattr__(config, name, Path(value))


#: Seeds are multiplied by a number for each epoch, and must stay 64 bits long.
MOST_SEED = 2**32 - 1


def check_choices(config: Any) -> None:
    """Refuse values that are none of a field's literals, and a `seed` out of range.

    Raises:
        ConfigError: naming the option, its value and what it may be.
    """
    seed = getattr(config, "seed", 0)
    if not (isinstance(seed, Integral) and 0 <= int(seed) <= MOST_SEED):
        raise ConfigError(f"--seed {seed}: must be from 0 to {MOST_SEED}")
    for name, hint in get_type_hints(type(config)).items():
        kinds, value = (hint, *get_args(hint)), getattr(config, name)
        for allowed in (get_args(kind) for kind in kinds if get_origin(kind) is Literal):
            if value not in allowed and not (value is None and NoneType in kinds):
                raise ConfigError(f"{option(name)} {value}: use one of {', '.join(allowed)}")


def check_known_labels(config: Any) -> None:
    """Refuse a `label_fraction` out of range, and one beside a label file.

    Raises:
        ConfigError: naming the option and what it may be.
    """
    if not 0 < config.label_fraction <= 1:
        value = config.label_fraction
        raise ConfigError(f"--label-fraction {value}: must be above 0 and at most 1")
    if config.labels is not None and config.label_fraction < 1:
        raise ConfigError("--labels: says which labels are used; leave out --label-fraction")
