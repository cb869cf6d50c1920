"""Fetch a file with pooch, from the first mirror that has it whole; continue an interrupted one."""

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pointmcd import __version__
from pointmcd.errors import DownloadError, first_line
from pointmcd.progress import progress_bar

_CHUNK = 1 << 14
#: Refusals by a server that another try may change; 416 answers a request beyond the end.
_PASSING = (408, 416, 425, 429)


@dataclass(frozen=True)
class Fetched:
    """A file that was fetched, or was there.

    Attributes:
        path: the file.
        sha256: of its content.
        published: whether that is the published one; False: none is known, and of a zip every
            member was compared with its own checksum.
    """

    path: Path
    sha256: str
    published: bool


def fetch(
    urls: Sequence[str],
    target: Path,
    sha256: str | None = None,
    *,
    tries: int = 6,
    timeout: float = 30.0,
) -> Fetched:
    """Fetch a file, which is there whole and checked or not at all.

    What an interrupted call leaves in NAME.part is continued where the server can. One process at a
    time may fetch a file.

    Args:
        urls: where the file is, in the order to try.
        target: the file to make; if it is there it is only checked.
        sha256: of its content; None where nobody has published it.
        tries: how often a mirror is tried; each continues where the one before broke off.
        timeout: seconds of silence after which a connection counts as broken.

    Raises:
        DownloadError: when no mirror has it, saying what each of them did, or the file that is
            there has another checksum, or it cannot be written.
    """
    import pooch
    from requests import RequestException

    pooch.get_logger().setLevel("ERROR")
    name, faults = target.name, []
    if target.exists() and (fault := _fault(target, name, sha256)):
        raise DownloadError(f"{target}: {fault}; remove it to fetch it again")
    for url in urls:
        source = pooch.create(target.parent, "", registry={name: sha256}, urls={name: url})
        source.retry_if_failed = tries - 1
        try:
            source.fetch(name, downloader=_Resuming(target, sha256, timeout))
            return Fetched(target, pooch.file_hash(str(target)), published=sha256 is not None)
        except (DownloadError, ValueError, RequestException) as error:
            faults.append(f"{url}: {_reason(error)}")
        except OSError as error:
            reason = error.strerror or error
            raise DownloadError(f"{target}: cannot be written: {reason}") from error
    raise DownloadError(f"{target}: could not be fetched: {'; '.join(faults)}")


class _Resuming:
    """Downloader for pooch that continues NAME.part; pooch's own starts from nothing.

    Whether the parts are of one version is seen when they are checked as a whole.
    """

    def __init__(self, target: Path, sha256: str | None, timeout: float) -> None:
        self.name, self.sha256, self.timeout = target.name, sha256, timeout
        self.part = target.with_name(f"{target.name}.part")

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        """Download to a path; any error but DownloadError makes pooch try again.

        Raises:
            DownloadError: when there is no use in trying again.
            RequestException: when the connection fails.
            ValueError: when parts of two versions came together.
        """
        resumed = self._append(url)
        if fault := _fault(self.part, self.name, self.sha256):
            self.part.unlink()
            raise ValueError(fault) if resumed else DownloadError(fault)
        self.part.replace(output_file)

    def _append(self, url: str) -> bool:
        """Append what is missing, or write all; return whether there was something before."""
        import requests

        start = self.part.stat().st_size if self.part.exists() else 0
        if start and self.sha256 is None and not _is_zip(self.name):
            start = 0  # nothing would tell a mixture of versions
        headers = {"Accept-Encoding": "identity", "User-Agent": f"pointmcd/{__version__}"}
        if start:
            headers["Range"] = f"bytes={start}-"
        with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
            code = response.status_code
            if code == 416 and start:  # NAME.part is whole, or of another file
                return True
            if 400 <= code < 500 and code not in _PASSING:
                raise DownloadError(f"the server says {code} {response.reason}")
            response.raise_for_status()
            self._receive(response, start if code == 206 else 0)
        return start > 0 and code == 206

    def _receive(self, response: Any, start: int) -> None:
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        with progress_bar() as progress, self.part.open("ab" if start else "wb") as file:
            bar = progress.add_task(self.name, total=total and total >> 20, note="MiB")
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                file.flush()  # what has come is kept, should the rest not
                progress.update(bar, completed=file.tell() >> 20)


def _reason(error: BaseException) -> str:
    """Return the first line of the innermost error in one of requests."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server says {response.status_code} {response.reason}"
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    cause = getattr(error, "reason", None)
    error = cause if isinstance(cause, BaseException) else error
    return first_line(ValueError(error.args[0] if error.args else type(error).__name__))


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def _fault(path: Path, name: str, sha256: str | None) -> str | None:
    """Return how a file differs from the published checksum, or a zip from those inside it."""
    import pooch

    if sha256 is not None:
        found = pooch.file_hash(str(path))
        return None if found == sha256.lower() else f"its sha256 is {found}, not {sha256}"
    if not _is_zip(name):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        return f"is no intact zip: {error}"
    return damaged and f"is no intact zip: {damaged} is damaged"
