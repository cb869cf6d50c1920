"""Import packages of extras; if one is absent, the error says how to install it."""

from importlib import import_module
from typing import Any

from pointmcd.errors import ConfigError, first_line


def import_extra(module: str, extra: str, what: str) -> Any:
    """Import a module of an extra.

    Raises:
        ConfigError: led by `what`, which asks for it, when it is absent or cannot be imported.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{what}: needs {error.name}; pip install 'pointmcd[{extra}]'") from error
    except Exception as error:  # one that was built for another torch may raise anything
        raise ConfigError(f"{what}: {module} cannot be imported: {first_line(error)}") from error
