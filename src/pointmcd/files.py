"""Write files and folders under a temporary name, then rename them: they are whole or absent."""

import json
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import psutil
from filelock import BaseFileLock, FileLock, Timeout

from pointmcd.errors import PointMCDError

#: The machine's name, as a part of a file name.
_HOST = re.sub(r"[^\w-]", "-", socket.gethostname())
#: The name that `replacing` gives until the content is whole, `.NAME.PID@HOST.tmp`: machines that
#: share a folder have processes of the same id. Version 0.1.0 left the host out.
_TEMPORARY = re.compile(r"\..+\.(\d+)(?:@([\w-]*))?\.tmp")
#: Seconds after which what another machine left unfinished is taken for dead.
_LONG_AGO = 86400.0


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, on failure it is removed.

    The caller creates a file or a folder there. An existing file is replaced atomically; an
    existing folder is removed just before the rename, for another folder alone.

    Raises:
        PointMCDError: when a file would replace a folder, or the operating system refuses (a full
            disk, missing rights).
    """
    path = Path(path)
    if not path.name:  # "." or a root
        raise PointMCDError(f"{path}: is a folder; name a file")
    temporary = path.with_name(f".{path.name}.{os.getpid()}@{_HOST}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A killed process may have had our number: in a container every run may have the same.
        remove(temporary)
        yield temporary
        if path.is_dir():
            if not temporary.is_dir():
                raise PointMCDError(f"{path}: is a folder; name a file")
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or "not all could be written"  # numpy's, of a full disk, has none
        reason = f"cannot be written: {reason}; free space or rights?"
        raise PointMCDError(f"{path}: {reason}") from error
    finally:
        with suppress(OSError):
            remove(temporary)


def page_file(out: str | Path, name: str) -> Path:
    """Return the file of a page: `out`, or that name in it where it is, or is to be, a folder.

    What is not there and has no suffix is: `Path` has lost the last slash of `--out maps/`.
    """
    out = Path(out)
    return out / name if out.is_dir() or not (out.suffix or out.exists()) else out


def write_page(html: str, out: str | Path, name: str) -> Path:
    """Write a page to `page_file(out, name)`, and return the file.

    Raises:
        PointMCDError: when it cannot be written.
    """
    file = page_file(out, name)
    with replacing(file) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return file


def is_temporary(path: Path) -> bool:
    """Return whether a file or folder is one that `replacing` has not finished."""
    return _TEMPORARY.fullmatch(path.name) is not None


def remove_stale(folder: Path) -> None:
    """Remove unfinished files of killed processes from `folder`; those of live ones stay.

    Whether a process of another machine lives cannot be told: what it left stays for a day.
    """
    for path in folder.glob(".*.tmp") if folder.is_dir() else ():
        match = _TEMPORARY.fullmatch(path.name)
        with suppress(OSError):  # another process may be removing the same
            if match and match[2] in (None, _HOST):
                stale = not psutil.pid_exists(int(match[1]))
            else:
                stale = match is not None and time.time() - path.stat().st_mtime > _LONG_AGO
            if stale:
                remove(path)


def remove(path: Path) -> None:
    """Remove a file or a whole folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def take_lock(file: Path, busy: Callable[[], object]) -> AbstractContextManager[None]:
    """Take a lock file, in a folder that is made if it is absent; leaving the context frees it.

    Args:
        file: the lock.
        busy: called when another process has it: it raises, or this process waits.
    """
    lock = FileLock(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            busy()
            lock.acquire()
    except (OSError, NotImplementedError):  # no folder, no rights, no locks: writing will tell
        return nullcontext()
    return _held(lock, file)


@contextmanager
def _held(lock: BaseFileLock, file: Path) -> Iterator[None]:
    try:
        yield
    finally:
        with suppress(OSError):  # while it is held: no other is mistaken; Windows does it after
            file.unlink()
        lock.release()
        with suppress(OSError):  # not empty, gone, or the current folder
            file.parent.rmdir()


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        PointMCDError: when the file is absent or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PointMCDError(f"{path}: does not exist") from error
    except OSError as error:
        raise PointMCDError(f"{path}: is not readable JSON: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise PointMCDError(f"{path}: is not readable JSON: {json_fault(error)}") from error


def json_fault(error: Exception) -> str:
    """Return where text stops being JSON, from what `json.loads` raised."""
    if isinstance(error, json.JSONDecodeError):
        return f"it is cut short or not valid at line {error.lineno}, column {error.colno}"
    nested = isinstance(error, RecursionError)
    return "it is nested too deeply" if nested else "it is not text in UTF-8"
