"""One try to get a file over HTTP: it goes on where an earlier one broke off."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from pointmcd import __version__
from pointmcd.errors import DownloadError

#: What goes wrong on the way and may go right the next time.
BROKEN = (OSError, HTTPException)

_CHUNK = 1 << 20
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")

#: Told how many bytes are there, and how many there shall be (None: nobody says).
Report = Callable[[int, int | None], None]


@dataclass(frozen=True)
class _State:
    """What NAME.part is a part of: where it came from, its version there, and its length."""

    url: str
    validator: str | None
    total: int | None


class Part:
    """A file that is not whole yet, NAME.part, and NAME.part.json beside it.

    Args:
        target: What the file is called when it is whole.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._state_path = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def discard(self) -> None:
        """Remove both files."""
        self.path.unlink(missing_ok=True)
        self._state_path.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        """Give the file its name."""
        self.path.replace(target)
        self.discard()

    def state(self, url: str) -> _State | None:
        """What is there of `url`; None for nothing, or a part of something else."""
        with suppress(OSError, ValueError, TypeError):
            state = _State(**json.loads(self._state_path.read_text(encoding="utf-8")))
            return state if state.url == url and self.size else None
        return None

    def begin(self, state: _State) -> None:
        """Start from nothing."""
        self.discard()
        self._state_path.write_text(json.dumps(asdict(state)), encoding="utf-8")

    def append(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            DownloadError: when the operating system refuses.
        """
        try:
            with self.path.open("ab") as file:
                file.write(data)
        except OSError as error:
            raise DownloadError(f"{self.path}: cannot be written: {error.strerror}") from error


def transfer(url: str, part: Part, timeout: float, report: Report) -> str | None:
    """Get what is missing of `url`, or all of it where the server cannot go on or has another file.

    Returns:
        None when the file is there in the length that the server promised; else why it is not.

    Raises:
        DownloadError: when it cannot be written.
        OSError, HTTPException: when the connection fails.
    """
    state = part.state(url)
    headers = {"Accept-Encoding": "identity", "User-Agent": f"pointmcd/{__version__}"}
    if state is not None:
        if part.size == state.total:  # whole, but killed before it got its name
            return None
        headers["Range"] = f"bytes={part.size}-"
        if state.validator is not None:  # another version is then sent from its start
            headers["If-Range"] = state.validator
    try:
        with urlopen(Request(url, headers=headers), timeout=timeout) as response:
            return _receive(response, url, part, state, report)
    except HTTPError as error:
        if error.code == 416 and state is not None:
            part.discard()
            return "the server promised more bytes than it has"
        raise


def _receive(
    response: HTTPResponse, url: str, part: Part, state: _State | None, report: Report
) -> str | None:
    if response.status == 206:
        total = _goes_on(response, part, state)
        if total is None:
            part.discard()
            return "the server went on in another place or file"
    else:
        total = _length(response)
        part.begin(_State(url, _validator(response), total))
    while chunk := response.read1(_CHUNK):  # what has come is kept, should the rest not
        part.append(chunk)
        report(part.size, total)
    if total is None or part.size == total:
        return None
    if part.size > total:
        part.discard()
        return "the server sent more bytes than it promised"
    return f"the connection ended after {part.size} of {total} bytes"


def _goes_on(response: HTTPResponse, part: Part, state: _State | None) -> int | None:
    """The whole file's length, where an answer begins right after what is there of that file."""
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None or state is None or int(match[1]) != part.size:
        return None
    total = int(match[2])
    return total if state.total in (None, total) else None


def _length(response: HTTPResponse) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _validator(response: HTTPResponse) -> str | None:
    """What names this version of the file; a weak ETag may not be used for parts."""
    tag = response.headers.get("ETag")
    if tag is not None and not tag.startswith("W/"):
        return str(tag)
    return response.headers.get("Last-Modified")
