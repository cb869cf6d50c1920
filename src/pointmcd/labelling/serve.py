"""The page on this machine alone, with labels that are saved after every change."""

import json
import secrets
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any, Generic, Protocol, TypeVar

from pointmcd.errors import PointMCDError

Row = TypeVar("Row")
#: Bytes of one request, and of a class.
_MOST_BYTES, _LONGEST_CLASS = 16 << 20, 1000
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Page(Protocol[Row]):
    """A page for labelling `items` items, with the reader and writer of its file."""

    @property
    def labels(self) -> Mapping[int, Row]:
        """The rows that it begins with, by item."""

    @property
    def items(self) -> int:
        """Number of items that can be labelled."""

    def html(self, labels: Mapping[int, Row], file: Path) -> str:
        """Return the page with other labels, which are saved in a file."""

    def read(self, file: Path) -> dict[int, Row]:
        """Return the rows of a file by item."""

    def row(self, item: int, label: str, before: Row | None) -> Row:
        """Return the row of a new label; `before` is the last one of that item, if any."""

    def write(self, file: Path, rows: Sequence[Row]) -> None:
        """Write a file."""

    def describe(self, rows: Mapping[int, Row]) -> str:
        """Return how many things these rows label, as text."""


class LabelFile(Generic[Row]):
    """A label file that follows changes, and changes of others to the file.

    Attributes:
        path: the file.
        labels: rows by item.
    """

    def __init__(self, path: Path, page: Page[Row]) -> None:
        self.path, self._page = path, page
        self.labels = dict(page.labels)
        self._last = dict(page.labels)
        self._lock, self._seen = Lock(), _identity(path)

    def change(self, changes: Mapping[int, str | None]) -> int:
        """Apply changes (None: no label), save the file, return how many labels there are.

        Raises:
            PointMCDError: when the file cannot be written, or has become unreadable.
        """
        with self._lock:
            labels = dict(self._current())
            for item, label in changes.items():
                labels.pop(item, None)
                if label is not None:
                    labels[item] = self._page.row(item, label, self._last.get(item))
            self._page.write(self.path, [labels[item] for item in sorted(labels)])
            self._last |= labels
            self.labels, self._seen = labels, _identity(self.path)
            return len(labels)

    def current(self) -> dict[int, Row]:
        """Return the labels as they are now, in the file if another program has changed it."""
        with self._lock:
            self.labels = self._current()
            return dict(self.labels)

    def _current(self) -> dict[int, Row]:
        found = _identity(self.path)
        if found in (None, self._seen):
            return self.labels
        rows = self._page.read(self.path)
        self._last |= rows
        self._seen = found
        return rows


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


class LabelServer(ThreadingHTTPServer):
    """A server on 127.0.0.1 for whoever knows its URL.

    Args:
        page: what it shows.
        file: where the labels are saved.
    """

    daemon_threads = True

    def __init__(self, page: Page[Any], file: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.page, self.file = page, LabelFile(file, page)
        self.token = secrets.token_urlsafe(16)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing where a browser has gone away; else as usual."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"{self.origin}/{self.token}/"


class _Handler(BaseHTTPRequestHandler):
    server: LabelServer
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        if not self._allowed(""):
            return
        try:
            labels = self.server.file.current()
        except PointMCDError as error:
            self._answer(HTTPStatus.CONFLICT, str(error))
            return
        page = self.server.page.html(labels, self.server.file.path)
        self._answer(HTTPStatus.OK, page, "text/html")

    def do_POST(self) -> None:
        if not self._allowed("labels"):
            return
        changes = self._changes()
        if changes is None:
            return
        try:
            count = self.server.file.change(changes)
        except PointMCDError as error:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            return
        self._answer(HTTPStatus.OK, json.dumps({"labels": count}), "application/json")

    def _allowed(self, name: str) -> bool:
        """Refuse other sites (Host and Origin are the browser's own words) and other paths."""
        own = self.server.origin
        host, origin = self.headers.get("Host"), self.headers.get("Origin")
        if host != own.partition("//")[2] or origin not in (None, own):
            self._refuse(HTTPStatus.FORBIDDEN)
            return False
        wanted = f"/{self.server.token}/{name}"
        if not secrets.compare_digest(self.path.encode(), wanted.encode()):
            self._refuse(HTTPStatus.NOT_FOUND)
            return False
        return True

    def _changes(self) -> dict[int, str | None] | None:
        """Return the changes of a request; None where it was refused."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
            return None
        if int(length) > _MOST_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return None
        if self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
            return None
        try:
            return _parsed(json.loads(self.rfile.read(int(length))), self.server.page.items)
        except (ValueError, TypeError, KeyError, RecursionError):
            self._refuse(HTTPStatus.BAD_REQUEST)
            return None

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True  # what else was sent stays unread
        self._answer(status, status.phrase)

    def _answer(self, status: HTTPStatus, text: str, kind: str = "text/plain") -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


def _parsed(request: Any, items: int) -> dict[int, str | None]:
    """Return the changes by item.

    Raises:
        ValueError, TypeError, KeyError: when the request is none of the page's.
    """
    found: dict[int, str | None] = {}
    for index, label in request["changes"]:
        if type(index) is not int or not 0 <= index < items:
            raise ValueError("no such item")
        found[index] = None if label is None else str.strip(label)
        if label is not None and not 0 < len(str(found[index]).encode()) <= _LONGEST_CLASS:
            raise ValueError("no such class")
    return found
