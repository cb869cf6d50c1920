"""Fetching from a server that behaves badly; see conftest."""

import hashlib
import io
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from pointmcd.datasets.download import _CHUNK, fetch
from pointmcd.errors import DownloadError

BODY = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


def zip_bytes():
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        # Of a fixed time: its checksum is in the name of a test, the same for all workers.
        archive.writestr(zipfile.ZipInfo("set/a.bin"), BODY)
    return target.getvalue()


ZIP = zip_bytes()


@pytest.fixture
def server(start_server):
    return start_server(BODY)


def get(server, target, sha256=SHA256, urls=None, **options):
    return fetch(urls or [server.url], target, sha256, **{"timeout": 5, **options})


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def ranges(server):
    return [asked for _, asked, _ in server.asked]


def test_a_whole_file_and_nothing_beside_it(server, tmp_path):
    fetched = get(server, tmp_path / "new" / "set.bin")
    assert fetched.path.read_bytes() == BODY
    assert (fetched.sha256, fetched.published) == (SHA256, True)
    assert left(tmp_path / "new") == ["set.bin"]


def test_what_is_there_is_checked_and_not_fetched_again(server, tmp_path):
    target = tmp_path / "set.bin"
    get(server, target)
    assert get(server, target).sha256 == SHA256
    assert len(server.asked) == 1
    target.write_bytes(b"other")
    with pytest.raises(DownloadError, match=r"set\.bin: its sha256 is .*; remove it to fetch"):
        get(server, target)
    assert target.read_bytes() == b"other"


def test_dropped_connections_are_continued(server, tmp_path):
    server.drops = [6 * _CHUNK, 0, 3 * _CHUNK, 1]
    assert get(server, tmp_path / "set.bin").path.read_bytes() == BODY
    starts = [None, 6, 6, 9, 9]  # of a chunk that broke off nothing is kept
    assert ranges(server) == [s and f"bytes={s * _CHUNK}-" for s in starts]


def test_a_later_call_continues(server, tmp_path):
    server.drops = [7 * _CHUNK]
    with pytest.raises(DownloadError, match=r"Connection broken: IncompleteRead\("):
        get(server, tmp_path / "set.bin", tries=1)
    assert left(tmp_path) == ["set.bin.part"]
    assert get(server, tmp_path / "set.bin", tries=1).path.read_bytes() == BODY
    assert ranges(server) == [None, f"bytes={7 * _CHUNK}-"]
    assert left(tmp_path) == ["set.bin"]


def test_killed_after_the_last_byte(server, tmp_path):
    """The part is whole but has not got its name."""
    (tmp_path / "set.bin.part").write_bytes(BODY)
    assert get(server, tmp_path / "set.bin", tries=1).path.read_bytes() == BODY
    assert ranges(server) == ["bytes=300000-"]


@pytest.mark.parametrize("part", [BODY[::-1][:100_000], b"something else", BODY + b"more"])
def test_a_part_of_another_version_is_found_out_and_removed(server, tmp_path, part):
    (tmp_path / "set.bin.part").write_bytes(part)
    assert get(server, tmp_path / "set.bin", tries=2).path.read_bytes() == BODY
    assert ranges(server) == [f"bytes={len(part)}-", None]
    assert left(tmp_path) == ["set.bin"]


def test_a_part_of_a_zip_is_found_out_by_its_checksums(server, tmp_path):
    server.body = ZIP
    (tmp_path / "set.zip.part").write_bytes(bytes(100_000))
    assert get(server, tmp_path / "set.zip", None, tries=2).path.read_bytes() == ZIP
    assert ranges(server) == ["bytes=100000-", None]


def test_what_cannot_be_checked_is_not_continued(server, tmp_path):
    (tmp_path / "set.bin.part").write_bytes(BODY[:100_000])
    fetched = get(server, tmp_path / "set.bin", None)
    assert fetched.path.read_bytes() == BODY
    assert not fetched.published
    assert ranges(server) == [None]


def test_killed_half_way(server, tmp_path):
    server.drops, server.faults = [150_000], {"stalls"}
    code = "import sys, pathlib; from pointmcd.datasets.download import fetch;"
    code += "fetch([sys.argv[1]], pathlib.Path(sys.argv[2]), sys.argv[3])"
    command = [sys.executable, "-c", code, server.url, str(tmp_path / "set.bin"), SHA256]
    kept = 150_000 // _CHUNK * _CHUNK
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        assert server.stalled.wait(60)
        part = tmp_path / "set.bin.part"
        until = time.monotonic() + 20
        while not (part.exists() and part.stat().st_size == kept):
            assert time.monotonic() < until
            time.sleep(0.01)
        process.kill()
    server.faults = set()
    assert get(server, tmp_path / "set.bin").path.read_bytes() == BODY
    assert ranges(server) == [None, f"bytes={kept}-"]


def test_silence_is_a_broken_connection_and_little_is_lost(server, tmp_path):
    server.drops, server.faults = [150_000], {"stalls"}
    with pytest.raises(DownloadError, match="timed out"):
        get(server, tmp_path / "set.bin", tries=1, timeout=0.2)
    server.faults = set()
    assert get(server, tmp_path / "set.bin").path.read_bytes() == BODY
    assert ranges(server) == [None, f"bytes={150_000 // _CHUNK * _CHUNK}-"]


def test_a_server_without_ranges_is_asked_for_all_of_it_again(server, tmp_path):
    server.faults, server.drops = {"no ranges"}, [200_000, 100_000, 250_000]
    assert get(server, tmp_path / "set.bin", tries=4).path.read_bytes() == BODY
    assert len(server.asked) == 4


def test_it_ends_after_as_many_tries(server, tmp_path):
    server.drops = [0] * 50
    with pytest.raises(DownloadError, match="Connection broken"):
        get(server, tmp_path / "set.bin", tries=4)
    assert len(server.asked) == 4


def test_a_server_that_promises_too_much(server, tmp_path):
    server.faults = {"too long"}
    with pytest.raises(DownloadError, match="1000 more expected"):
        get(server, tmp_path / "set.bin", tries=4)
    assert len(server.asked) == 4
    assert not (tmp_path / "set.bin").exists()


def test_a_server_that_promises_too_little(server, tmp_path):
    server.faults = {"too short"}
    with pytest.raises(DownloadError, match=f"its sha256 is .*, not {SHA256}"):
        get(server, tmp_path / "set.bin")
    assert left(tmp_path) == []


def test_a_server_that_tells_no_length(server, tmp_path):
    server.faults = {"no length"}
    assert get(server, tmp_path / "set.bin").path.read_bytes() == BODY


def test_a_wrong_hash_goes_to_the_next_mirror(server, start_server, tmp_path):
    server.body = BODY[:-1] + b"?"
    other = start_server(BODY, None)
    urls = [server.url, other.url]
    assert get(server, tmp_path / "set.bin", urls=urls).path.read_bytes() == BODY
    assert [asked for _, asked, _ in other.asked] == [None]  # nothing of the wrong one is kept
    with pytest.raises(DownloadError) as caught:
        get(server, tmp_path / "again.bin")
    assert SHA256 in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "again.bin").exists()


@pytest.mark.parametrize(
    ("status", "asked"), [([404], 1), ([403], 1), ([503, 503], 3), ([429, 500], 3)]
)
def test_refusals_are_final_and_passing_faults_are_not(server, tmp_path, status, asked):
    server.status = list(status)
    if asked == 1:
        with pytest.raises(DownloadError, match=f"{server.url}: the server says {status[0]}"):
            get(server, tmp_path / "set.bin")
    else:
        get(server, tmp_path / "set.bin")
    assert len(server.asked) == asked


def test_nobody_answers(tmp_path):
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9/x: .*refused") as caught:
        fetch(["http://127.0.0.1:9/x"], tmp_path / "x", None, tries=2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sha256", [None, hashlib.sha256(ZIP).hexdigest().upper()])
def test_a_zip_without_a_published_checksum_is_held_against_its_own(server, tmp_path, sha256):
    server.body = ZIP
    fetched = get(server, tmp_path / "set.zip", sha256)
    assert fetched.sha256 == hashlib.sha256(ZIP).hexdigest()
    assert fetched.published == (sha256 is not None)


@pytest.mark.parametrize("body", [ZIP[:-500], ZIP.replace(BODY[:9], b"123456789"), b"<html>"])
def test_a_damaged_zip_or_a_page_is_refused(server, tmp_path, body):
    server.body = body
    with pytest.raises(DownloadError, match="is not an intact zip"):
        get(server, tmp_path / "set.zip", None)
    assert left(tmp_path) == []


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="cannot be written"):
        get(server, tmp_path / "file" / "set.bin")
