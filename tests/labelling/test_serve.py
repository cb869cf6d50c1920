"""The page on this machine: who may do what, and that labels are saved."""

import http.client
import json
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hard_names import HARD_NAMES

from pointmcd.data.labels import LabelRow, read_labels, write_labels
from pointmcd.data.store import Store
from pointmcd.labelling.page import LabelPage
from pointmcd.labelling.serve import LabelServer

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def server(plain_store, tmp_path):
    page = LabelPage(Store(plain_store), {}, list(range(18)), 3, ["AAAA"] * 18)
    with LabelServer(page, tmp_path / "labels.csv") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def call(url, body=None, headers=None, method=None):
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, content, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def save(server, *changes, **headers):
    return call(f"{server.url}labels", {"changes": changes}, JSON | headers)


def saved(server):
    return [row[:3] for row in read_labels(server.file.path, empty=True)]


def test_labels_are_saved_after_every_change(server):
    assert server.url.startswith("http://127.0.0.1:")
    assert not server.file.path.exists()
    assert save(server, [4, 'стул, "a"'], [0, " x "]) == (200, '{"labels": 2}')
    assert saved(server) == [(HARD_NAMES[0], "x", None), (HARD_NAMES[4], 'стул, "a"', None)]
    assert save(server, [0, None], [1, "y"]) == (200, '{"labels": 2}')
    assert saved(server) == [(HARD_NAMES[1], "y", None), (HARD_NAMES[4], 'стул, "a"', None)]
    assert save(server, [1, None], [4, None], [2, None]) == (200, '{"labels": 0}')
    assert saved(server) == []
    status, page = call(server.url)
    assert status == 200
    assert '"labels": []' in page


def test_a_page_that_is_loaded_again_has_the_labels(server):
    save(server, [3, "chair"])
    status, page = call(server.url)
    assert status == 200
    assert '"labels": [[3, "chair", null]]' in page
    assert "connect-src 'self'" in page


def test_many_changes_at_once_all_stay(server):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: save(server, [i % 18, f"class {i}"]), range(36)))
    assert {status for status, _ in answers} == {200}
    assert len(saved(server)) == 18


def test_changes_of_others_to_the_file_stay(server):
    save(server, [3, "chair"])
    rows = [LabelRow(HARD_NAMES[3], "sofa"), LabelRow(HARD_NAMES[5], "bed", "val")]
    write_labels(server.file.path, rows)
    save(server, [0, "lamp"])
    kept = [(HARD_NAMES[0], "lamp", None), (HARD_NAMES[3], "sofa", None)]
    assert saved(server) == [*kept, (HARD_NAMES[5], "bed", "val")]
    save(server, [5, "cot"])  # the split stays
    assert saved(server)[-1] == (HARD_NAMES[5], "cot", "val")
    server.file.path.write_text("nowhere,chair\n")
    status, text = save(server, [0, "bed"])
    assert status == 500
    assert "line 1: no shape nowhere" in text
    assert call(server.url)[0] == 409
    assert server.file.path.read_text() == "nowhere,chair\n"
    server.file.path.unlink()
    assert save(server, [0, "bed"])[0] == 200
    assert len(saved(server)) == 3


def test_a_file_that_cannot_be_written(server):
    server.file.path.mkdir()
    (server.file.path / "full").mkdir()
    server.file.path = server.file.path / "full" / ("x" * 300)
    status, text = save(server, [0, "bed"])
    assert status == 500
    assert "cannot be written" in text
    assert server.file.labels == {}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_other_sites_are_refused(server, headers, status):
    assert save(server, [0, "x"], **headers)[0] == status
    assert not server.file.path.exists()


def test_the_own_origin_is_let_in(server):
    assert save(server, [0, "x"], Origin=server.origin)[0] == 200


def test_without_the_token_there_is_nothing(server):
    for path in ("", "/", "/labels", "/x/", f"/{server.token}", f"/{server.token}/../etc"):
        assert call(server.origin + path)[0] == 404
    assert call(f"{server.origin}/labels", {"changes": [[0, "x"]]}, JSON)[0] == 404
    assert call(f"{server.origin}/wrong/labels", {"changes": [[0, "x"]]}, JSON)[0] == 404
    assert call(f"{server.url}labels", method="PUT", body=b"{}")[0] == 501
    assert server.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"7",
        b"[" * 100_000,
        {},
        {"changes": 3},
        {"changes": [[0]]},
        {"changes": [[18, "x"]]},
        {"changes": [[-1, "x"]]},
        {"changes": [[True, "x"]]},
        {"changes": [["0", "x"]]},
        {"changes": [[0, 5]]},
        {"changes": [[0, "  "]]},
        {"changes": [[0, "x" * 1001]]},
        {"changes": [[0, "\ud800"]]},
        {"changes": [[1, "fine"], [0, ["x"]]]},
    ],
)
def test_what_is_no_change_is_refused_whole(server, body):
    assert call(f"{server.url}labels", body, JSON)[0] == 400
    assert not server.file.path.exists()


@pytest.mark.parametrize(("length", "status"), [(str(17 << 20), 413), ("-5", 411), ("x", 411)])
def test_too_much_is_not_read(server, length, status):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=30)
    connection.putrequest("POST", f"/{server.token}/labels")
    for name, value in (JSON | {"Content-Length": length}).items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == status
    connection.close()


def test_the_command_ends_with_where_the_labels_are(cli, plain_store, tmp_path, monkeypatch):
    file = tmp_path / "mine.csv"

    def label_and_interrupt(server):
        server.file.change({2: "bed"})
        raise KeyboardInterrupt

    def features(store, device):
        return np.random.default_rng(0).normal(size=(len(store.shapes), 8))

    monkeypatch.setattr(LabelServer, "serve_forever", label_and_interrupt)
    monkeypatch.setattr("pointmcd.labelling.page.shape_features", features)
    arguments = ("label", plain_store, "--serve", "--labels", file, "--count", 3, "--device", "cpu")
    status, printed, told = cli(*arguments)
    assert status == 0
    url, last = printed.splitlines()
    assert url.startswith("http://127.0.0.1:")
    assert last == f"{file}: 1 of 18 shapes labelled"
    assert f"{file}: is written with the first label" in told
    assert f"{file}: is continued" in cli(*arguments)[2]
