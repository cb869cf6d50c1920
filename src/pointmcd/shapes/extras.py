"""Packages that only some file types need: an absent one is told with the line that installs it."""

from importlib import import_module
from typing import Any

from pointmcd.errors import ConfigError


def import_extra(module: str, extra: str, what: str) -> Any:
    """Import a package of an extra.

    Raises:
        ConfigError: when it is absent; `what` is what asks for it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{what}: needs {error.name}; pip install 'pointmcd[{extra}]'") from error
