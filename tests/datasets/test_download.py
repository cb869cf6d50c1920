import io
import re
import zipfile
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from pointmcd.datasets.base import Archive
from pointmcd.datasets.download import _CHUNK, download
from pointmcd.datasets.registry import find_shapes, get_data_set, list_data_sets
from pointmcd.errors import ConfigError, DownloadError

FETCHED = ("modelnet10", "modelnet40")


@pytest.fixture
def local(start_server, furniture_root, monkeypatch):
    """ModelNet40 with its archive on the local server."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted((furniture_root / "bed").rglob("*.off"))[:9]:
            archive.write(path, f"ModelNet40/{path.relative_to(furniture_root)}")
    server = start_server(content.getvalue())
    data_set = get_data_set("modelnet40")
    archive = Archive("ModelNet40.zip", (server.url,))
    layouts = [replace(one, archive=one.archive and archive) for one in data_set.layouts]
    monkeypatch.setattr(data_set, "layouts", tuple(layouts))
    return server


def test_a_set_is_fetched_and_read_where_it_lies(local, tmp_path, cli):
    status, out, err = cli("download", "modelnet40", tmp_path)
    assert (status, out.strip()) == (0, str(tmp_path / "ModelNet40.zip"))
    assert "licence: for academic research only" in err
    assert re.search(r"sha256 [0-9a-f]{64} \(no checksum is known to compare with\)", err)
    shapes = find_shapes(f"modelnet40:{tmp_path / 'ModelNet40.zip'}").listing.sources
    assert len(shapes) == 9


def test_an_interrupted_fetch_goes_on_by_the_same_command(local, tmp_path, cli):
    local.drops = [3 * _CHUNK] + [0] * 5
    status, _, err = cli("download", "modelnet40", tmp_path)
    assert status == 1
    assert re.search(r"Connection broken: IncompleteRead\(0 bytes read, \d+ more expected\)", err)
    assert cli("download", "modelnet40", tmp_path)[0] == 0
    assert local.asked[-1][1] == f"bytes={3 * _CHUNK}-"


@pytest.mark.parametrize("name", sorted(set(list_data_sets()) - set(FETCHED)))
def test_what_must_be_had_by_hand_is_told_in_a_line(name, tmp_path, cli):
    data_set = get_data_set(name)
    status, out, err = cli("download", name, tmp_path)
    assert (status, out) == (1, "")
    last = err.splitlines()[-1]
    assert all(text in last for text in ("By hand:", data_set.home, data_set.obtain))
    assert list(tmp_path.iterdir()) == []


def test_a_layout_that_is_not_fetched_or_not_there(tmp_path):
    with pytest.raises(DownloadError, match="modelnet40: is not fetched for you"):
        download("modelnet40", tmp_path, "hdf5")
    with pytest.raises(ConfigError, match="--layout obj: unknown for modelnet40; use hdf5"):
        download("modelnet40", tmp_path, "obj")
    with pytest.raises(ConfigError, match="data set imagenet: unknown"):
        download("imagenet", tmp_path)


@pytest.mark.parametrize("name", FETCHED)
def test_the_mirrors_are_those_of_the_makers(name):
    archives = [layout.archive for layout in get_data_set(name).layouts if layout.archive]
    hosts = {urlsplit(url).hostname for archive in archives for url in archive.urls}
    assert {host.split(".", 1)[1] for host in hosts} <= {"princeton.edu", "cs.princeton.edu"}


def test_without_a_name_all_are_listed(cli, monkeypatch):
    status, printed, _ = cli("download")
    assert status == 0
    assert "modelnet40" in printed
    assert "scanobjectnn" in printed
