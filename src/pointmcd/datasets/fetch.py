"""A file from the first mirror that has it whole, checked before it gets its name."""

import hashlib
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError

from pointmcd.datasets.transfer import BROKEN, Part, Report, transfer
from pointmcd.errors import DownloadError
from pointmcd.progress import progress_bar

#: Answers that another try may change.
_PASSING = (408, 425, 429)


@dataclass(frozen=True)
class Fetched:
    """A file that was fetched, or was there.

    Attributes:
        path: The file.
        sha256: Of its content.
        published: Whether that is the published one; False: none is known, and of a zip every
            member's own checksum was compared.
    """

    path: Path
    sha256: str
    published: bool


def fetch(
    urls: Sequence[str],
    target: Path,
    sha256: str | None = None,
    *,
    tries: int = 5,
    wait: float = 1.0,
    timeout: float = 30.0,
) -> Fetched:
    """Fetch a file; it is there whole and checked, or not at all.

    What an interrupted call leaves in NAME.part is gone on with, if the server can. One process at
    a time may fetch a file.

    Args:
        urls: Where the file is, in the order to try.
        target: The file to make; if it is there it is only checked.
        sha256: What its content must give; None where nobody has published it.
        tries: How often a mirror may fail without a byte of progress.
        wait: Seconds before the second try, doubled for each further one.
        timeout: Seconds of silence after which a connection counts as broken.

    Raises:
        DownloadError: when no mirror has it, saying what each of them did, or the file that is
            there has another checksum, or it cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            return _there(target, sha256)
        return _from_mirrors(urls, target, sha256, _Patience(tries, wait, timeout))
    except OSError as error:
        raise DownloadError(f"{target}: cannot be written: {error.strerror or error}") from error


@dataclass(frozen=True)
class _Patience:
    tries: int
    wait: float
    timeout: float


def _there(target: Path, sha256: str | None) -> Fetched:
    try:
        return _checked(target, target, sha256)
    except DownloadError as error:
        raise DownloadError(f"{error}; remove it to fetch it again") from error


def _from_mirrors(
    urls: Sequence[str], target: Path, sha256: str | None, patience: _Patience
) -> Fetched:
    part, faults = Part(target), []
    for url in urls:
        fault = _from_mirror(url, part, target.name, patience)
        if fault is None:
            try:
                checked = _checked(part.path, target, sha256)
            except DownloadError as error:
                part.discard()
                fault = str(error).removeprefix(f"{target}: ")
            else:
                part.finish(target)
                return checked
        faults.append(f"{url}: {fault}")
    raise DownloadError(f"{target}: could not be fetched: {'; '.join(faults)}")


def _from_mirror(url: str, part: Part, name: str, patience: _Patience) -> str | None:
    """Try one mirror until the file is there, or it fails too often: why."""
    with progress_bar() as progress:
        bar = progress.add_task(name, total=None, note="MiB")

        def report(done: int, total: int | None) -> None:
            progress.update(bar, completed=done >> 20, total=total and total >> 20)

        return _persist(lambda: _attempt(url, part, patience.timeout, report), part, patience)


def _persist(
    attempt: Callable[[], tuple[str | None, bool]], part: Part, patience: _Patience
) -> str | None:
    failures, furthest = 0, part.size
    while True:
        fault, final = attempt()
        # A server that cannot go on starts again and again: what was there before is no progress.
        failures = 1 if part.size > furthest else failures + 1
        furthest = max(furthest, part.size)
        if fault is None or final or failures >= patience.tries:
            return fault
        time.sleep(patience.wait * 2 ** (failures - 1))


def _attempt(url: str, part: Part, timeout: float, report: Report) -> tuple[str | None, bool]:
    """Return what went wrong, None for nothing, and whether there is no use in trying again."""
    try:
        return transfer(url, part, timeout, report), False
    except HTTPError as error:
        final = 400 <= error.code < 500 and error.code not in _PASSING
        return f"the server says {error.code} {error.reason}", final
    except BROKEN as error:
        reason = str(getattr(error, "reason", "") or error) or type(error).__name__
        return reason.splitlines()[0], False


def _checked(path: Path, target: Path, sha256: str | None) -> Fetched:
    """Hold a file against the published checksum, or else a zip against those inside it.

    Raises:
        DownloadError: when they differ.
    """
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    found = digest.hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise DownloadError(f"{target}: its sha256 is {found}, not {sha256}")
    if sha256 is None and target.suffix.lower() == ".zip":
        _check_zip(path, target)
    return Fetched(target, found, published=sha256 is not None)


def _check_zip(path: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise DownloadError(f"{target}: is no intact zip: {error}") from error
    if damaged is not None:
        raise DownloadError(f"{target}: is no intact zip: {damaged} is damaged")
