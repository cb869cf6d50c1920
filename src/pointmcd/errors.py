"""Errors that a user can cause; each prints as one clear line."""

from collections.abc import Iterator
from contextlib import contextmanager


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its type where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def own_text(error: Exception, otherwise: str) -> str:
    """Return the text of an error of this package; of any other, `otherwise`."""
    return str(error) if isinstance(error, PointMCDError | FormatError) else otherwise


#: Characters of an error's text that are shown: some files hold names as long as themselves.
_LONGEST = 1500


class PointMCDError(Exception):
    """Base class: the command line prints its text as one line and exits with status 1."""

    #: Whether that is left to the main one of several processes.
    printed_elsewhere = False

    def __str__(self) -> str:
        """Return the text in one short line, whatever names of files it repeats."""
        text = "\\n".join(super().__str__().splitlines())
        if len(text) <= _LONGEST:
            return text
        return f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"


class ShapeError(PointMCDError):
    """A mesh or point cloud file that cannot be used; the text names the file and the fault."""


class FormatError(ValueError):
    """A fault that a reader finds in a file; `formats.reading` adds the file's name."""


class StoreError(PointMCDError):
    """A store that is absent, incomplete, of another version, or does not match."""


class ConfigError(PointMCDError):
    """An option or configuration field with an unusable value."""


class RunError(PointMCDError):
    """A run folder or checkpoint that is absent, incomplete, or does not match."""


class OtherSettingsError(RunError, StoreError):
    """A folder that holds a run or a teacher made with other settings."""


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Begin the text of every ConfigError with `what`."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{what}: {error}") from error.__cause__


class DownloadError(PointMCDError):
    """A file that could not be fetched, or that must not be; the text says what to do instead."""
