"""A server on this machine that behaves as badly as it is told to."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest


class Handler(BaseHTTPRequestHandler):
    """Serves `server.body`, with the faults that `server.faults` names, and keeps the requests."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        server, faults = self.server, self.server.faults
        asked = self.headers.get("Range")
        server.asked.append((self.path, asked, self.headers.get("If-Range")))
        self.close_connection = True
        if server.status:
            self.send_error(server.status.pop(0))
            return
        body, start = server.body, 0
        valid = self.headers.get("If-Range") in (None, server.tag)
        if asked and "no ranges" not in faults and valid:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_error(416)
                return
        self.answer(body, start, asked, faults)

    def answer(self, body, start, asked, faults):
        self.send_response(206 if start else 200)
        if start:
            at = start + 1 if "shifted" in faults else start
            self.send_header("Content-Range", f"bytes {at}-{len(body) - 1}/{len(body)}")
        if self.server.tag:
            self.send_header("ETag", self.server.tag)
        length = len(body) - start
        if "too long" in faults:
            length += 1000
        if "too short" in faults:
            length -= 1000
        if "no length" not in faults:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        end = len(body)
        if self.server.drops:
            end = min(start + self.server.drops.pop(0), end)
        self.wfile.write(body[start:end])
        if "stalls" in faults:
            self.server.stalled.set()
            self.server.let_go.wait(20)


class BadServer(ThreadingHTTPServer):
    """Serves one body to whoever asks.

    Attributes:
        body: what it serves.
        tag: its ETag, or None.
        faults: "no ranges", "no length", "too long", "too short", "shifted", "stalls".
        drops: after how many bytes each of the next answers breaks off.
        status: errors to answer with, first.
        asked: path, Range and If-Range of each request.
    """

    def __init__(self, body: bytes, tag: str | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.tag, self.faults = body, tag, set()
        self.drops, self.status, self.asked = [], [], []
        self.stalled, self.let_go = threading.Event(), threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/set.bin"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch) -> None:
    """pooch tries again at once."""
    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def start_server() -> Iterator[Callable[[bytes, str | None], BadServer]]:
    """A starter of servers, which are stopped after the test."""
    running = []

    def start(body: bytes, tag: str | None = '"one"') -> BadServer:
        server = BadServer(body, tag)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()
