"""Every error that a user can cause is one of these, and prints as one clear line."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


class PointMCDError(Exception):
    """Base class: the command line prints its text as one line and exits with status 1.

    Attributes:
        printed_elsewhere: whether that is left to the main one of several processes.
    """

    printed_elsewhere = False


class ShapeError(PointMCDError):
    """A mesh or point cloud file that cannot be used; the text names the file and the fault."""


class StoreError(PointMCDError):
    """A prepared store that is absent, incomplete, of another version, or does not match."""


class ConfigError(PointMCDError):
    """An option or configuration field with an unusable value."""


class RunError(PointMCDError):
    """A run folder or checkpoint that is absent, incomplete, or does not match."""


class DownloadError(PointMCDError):
    """A file that could not be fetched, or that must not be; the text says what to do instead."""
