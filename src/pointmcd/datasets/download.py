"""Fetch a data set by name where that is allowed, or say how to get it by hand.

A file comes with pooch from the first mirror that has it whole; an interrupted one is continued.
"""

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pointmcd import __version__
from pointmcd.datasets.base import Archive, DataSet
from pointmcd.datasets.registry import get_data_set
from pointmcd.errors import ConfigError, DownloadError, first_line
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
        published: whether that is the published one; False: none is known.
    """

    path: Path
    sha256: str
    published: bool


def download(name: str, folder: str | Path = ".", layout: str | None = None) -> Fetched:
    """Fetch a data set's archive; run again it continues, or checks what is there.

    Args:
        name: one of `list_data_sets`, or `package.module:Name` of your own.
        folder: where to put it.
        layout: which of its layouts; None: the first that may be fetched.

    Raises:
        ConfigError: for an unknown name or layout.
        DownloadError: when it must be had by hand, which the text tells, or as `fetch`.
    """
    archive = _archive(get_data_set(name), layout)
    return fetch(archive.urls, Path(folder) / archive.name, archive.sha256)


def licence_notice(data_set: type[DataSet]) -> str:
    """Return the lines that a person should read before they use it."""
    title = f"{data_set.title}; {data_set.home}" if data_set.home else data_set.title
    return f"{title}\nlicence: {data_set.licence}"


def _archive(data_set: type[DataSet], layout: str | None) -> Archive:
    archives = {one.name: one.archive for one in data_set.layouts}
    if layout is not None and layout not in archives:
        names = ", ".join(archives)
        raise ConfigError(f"--layout {layout}: unknown for {data_set.name}; use {names}")
    chosen = archives.values() if layout is None else [archives[layout]]
    if archive := next(filter(None, chosen), None):
        return archive
    by_hand = "; ".join(filter(None, (data_set.obtain, data_set.home)))
    raise DownloadError(
        f"{data_set.name}: is not fetched for you (licence: {data_set.licence}). By hand: {by_hand}"
    )


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
        sha256: of its content; None where nobody has published it: a zip's own checksums serve.
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
    """Downloader for pooch that continues NAME.part; pooch's own starts from nothing."""

    def __init__(self, target: Path, sha256: str | None, timeout: float) -> None:
        self.name, self.sha256, self.timeout = target.name, sha256, timeout
        self.part = target.with_name(f"{target.name}.part")

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        """Download to a path; a ValueError or RequestException makes pooch try again."""
        resumed = self._append(url)
        if fault := _fault(self.part, self.name, self.sha256):
            self.part.unlink()
            raise ValueError(fault) if resumed else DownloadError(fault)
        self.part.replace(output_file)

    def _append(self, url: str) -> bool:
        """Append what is missing, or write all; return whether there was something before."""
        import requests

        start = self.part.stat().st_size if self.part.exists() else 0
        if start and self.sha256 is None and not self.name.lower().endswith(".zip"):
            start = 0  # nothing would tell a mixture of versions
        headers = {"Accept-Encoding": "identity", "User-Agent": f"pointmcd/{__version__}"}
        if start:
            headers["Range"] = f"bytes={start}-"
        with requests.get(url, headers=headers, stream=True, timeout=self.timeout) as response:
            code = response.status_code
            if code == 416 and start:  # NAME.part is whole, or of another file
                return True
            if code >= 400:
                passing = code >= 500 or code in _PASSING
                text = f"the server says {code} {response.reason}"
                raise ValueError(text) if passing else DownloadError(text)
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
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    cause = getattr(error, "reason", None)
    error = cause if isinstance(cause, BaseException) else error
    return first_line(ValueError(error.args[0] if error.args else type(error).__name__))


def _fault(path: Path, name: str, sha256: str | None) -> str | None:
    """Return how a file differs from the published checksum, or a zip from those inside it."""
    import pooch

    if sha256 is not None:
        found = pooch.file_hash(str(path))
        return None if found == sha256.lower() else f"its sha256 is {found}, not {sha256}"
    if not name.lower().endswith(".zip"):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError):
        return "is not an intact zip"
    return damaged and f"is not an intact zip: {damaged} is damaged"
