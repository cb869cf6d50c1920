"""The page for parts: what is in it, what it begins with, and the command that writes it."""

import base64
import io
import json
import re
import threading
import zlib

import numpy as np
import pytest
from hard_names import HARD_NAMES
from part_files import part_rows
from PIL import Image
from test_serve import JSON, call

from pointmcd.data.clusters import shape_clusters
from pointmcd.data.part_labels import read_parts, write_parts
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError
from pointmcd.labelling.drawn_clusters import draw_clusters, telling_views
from pointmcd.labelling.html import write_label_page
from pointmcd.labelling.parts_page import PartsPage, parts_page
from pointmcd.labelling.serve import LabelServer


@pytest.fixture
def page(hard_store):
    return parts_page(hard_store, count=3, clusters=6, device="cpu")


def content(html, name):
    return json.loads(re.search(rf'id="{name}">(.*?)</script>', html, re.DOTALL)[1])


def test_the_proposed_shapes_and_their_clusters_are_in_it(page, hard_store, tmp_path):
    file = write_label_page(page, tmp_path)
    assert file == tmp_path / "parts.html"
    html = file.read_text(encoding="utf-8")
    data, pictures = content(html, "data"), content(html, "pictures")
    assert len(page.shapes) == len(data["names"]) == len(pictures) == 3
    assert data["count"] == 6
    assert data["items"] == 6 * 18
    store = Store(hard_store)
    for index, name, fingerprint in zip(page.shapes, data["names"], data["clusters"], strict=True):
        assert store.shapes[index].name == name
        assert shape_clusters(store, index, 6)[1] == fingerprint
    assert html.count("<script") == 3
    assert "</title>" not in html.partition("<title>")[2].partition("</title>")[2]
    assert "http" not in html.replace("http-equiv", "")


def test_views_show_every_cluster_that_is_seen(tiny_store):
    store = Store(tiny_store)
    clusters, _ = shape_clusters(store, 2, 5)
    drawing = draw_clusters(store, 2, clusters)
    assert 1 <= len(drawing.views) <= 3
    shown = set()
    for view, side, numbers in zip(*drawing, strict=True):
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(view))).convert("L"))
        found = np.frombuffer(zlib.decompress(base64.b64decode(numbers)), dtype=np.uint8)
        found = found.reshape(side, side)
        assert picture.shape == (side, side)
        assert picture[found == 0].mean() > picture[found > 0].mean() + 30  # the ground is white
        shown |= set(found[found > 0].tolist())
    seen = store.visibility(np.array([2]), 128)[0].any(axis=1)
    assert shown <= set(range(1, 6))
    counts = np.bincount(clusters[seen], minlength=5)
    assert shown >= set((1 + np.flatnonzero(counts > 4)).tolist())


def test_each_view_adds_something():
    pictures = np.full((4, 8, 8), 255, dtype=np.uint8)
    pictures[0, :6, :6] = np.arange(36).reshape(6, 6)
    seen = np.zeros((100, 4), dtype=bool)
    seen[:60, 0] = seen[:60, 1] = seen[40:90, 2] = seen[89:91, 3] = True
    assert telling_views(pictures, seen, np.ones(4, dtype=bool)) == [0, 2]


def test_a_file_to_begin_with(hard_store, tmp_path):
    store, file = Store(hard_store), tmp_path / "parts.csv"
    rows = part_rows(store, [0, 3], names=["x", 'y, "z"'])
    write_parts(file, [rows[0]._replace(path=f"./{rows[0].path}.off"), *rows[1:]])
    page = parts_page(hard_store, file, count=2, clusters=6, device="cpu")
    assert page.shapes[2:] == [0, 3]
    assert not {0, 3} & set(page.shapes[:2])
    assert [page.labels[item][:4] for item in sorted(page.labels)] == [row[:4] for row in rows]
    data = content(page.html(), "data")
    assert data["labels"][:2] == [[0, "x"], [1, "x"]]
    assert data["labels"][6:8] == [[18, "x"], [19, "x"]]
    with pytest.raises(ConfigError, match="line 2: is of 6 clusters; give --clusters 6"):
        parts_page(hard_store, file, clusters=7, device="cpu")


def test_parts_are_saved_after_every_change(hard_store, tmp_path):
    page = PartsPage(
        Store(hard_store), 6, {}, [2], [], [shape_clusters(Store(hard_store), 2, 6)[1]]
    )
    with LabelServer(page, tmp_path / "parts.csv") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            body = {"changes": [[14, "стул"], [12, "b"], [107, "c"]]}
            assert call(f"{server.url}labels", body, JSON) == (200, '{"labels": 3}')
            assert call(f"{server.url}labels", {"changes": [[108, "x"]]}, JSON)[0] == 400
            assert call(f"{server.url}labels", {"changes": [[12, None]]}, JSON)[0] == 200
        finally:
            server.shutdown()
            thread.join()
        rows = read_parts(tmp_path / "parts.csv")
        assert [row[:3] for row in rows] == [
            (HARD_NAMES[2], 3, "стул"),
            (page.store.shapes[17].name, 6, "c"),
        ]
        assert page.describe(server.file.current()) == "2 pieces of 2 shapes labelled"
        assert set(page.read(tmp_path / "parts.csv")) == {14, 107}


def test_the_command(cli, hard_store, tmp_path):
    out = tmp_path / "page.html"
    arguments = ("label", hard_store, "--parts", "--count", 2, "--clusters", 5, "--device", "cpu")
    assert cli(*arguments, "--out", out)[:2] == (0, f"{out}\n")
    assert cli(*arguments, "--out", out)[0] == 1
    assert cli("label", hard_store, "--clusters", 5)[0] == 2
    for clusters in (1, 201):
        status, _, error = cli("label", hard_store, "--parts", "--clusters", clusters)
        assert status == 1
        assert f"--clusters {clusters}: must be from 2 to 200" in error


def test_labels_of_the_store_are_said_to_be_replaced(cli, parts_store, tmp_path):
    status, _, error = cli("label", parts_store, "--parts", "--count", 2, "--out", tmp_path / "p")
    assert status == 0
    assert "note: the part labels of 16 shapes in the store are not on the page" in error
