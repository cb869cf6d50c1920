"""The page on which shapes are labelled: what it holds, and that nothing breaks out of it."""

import base64
import hashlib
import io
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from hard_names import HARD_NAMES
from PIL import Image
from store_copies import copy_store

from pointmcd.data.labels import LabelRow, match_labels, read_labels, write_labels
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, PointMCDError, RunError, StoreError
from pointmcd.files import write_json
from pointmcd.inference.export import export_run
from pointmcd.inference.guesses import guess
from pointmcd.labelling import thumbnails as pictures
from pointmcd.labelling.html import write_label_page
from pointmcd.labelling.page import label_page
from pointmcd.labelling.thumbnails import cropped, telling_view, thumbnails
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare


class Scripts(HTMLParser):
    """Texts of the scripts of a page, and all attributes."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.attributes, self._inside = {}, [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.attributes += attributes
        if tag == "script":
            self._inside = dict(attributes).get("id", "program")
            assert self._inside not in self.scripts
            self.scripts[self._inside] = ""

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside:
            self.scripts[self._inside] += data


@pytest.fixture(scope="module")
def page(taught_store):
    return label_page(taught_store, count=4, device="cpu")


def test_a_labelled_store_gives_the_labels(page, taught_store):
    store, data = Store(taught_store), page.data()
    assert data["labels"] == [[i, shape.label, None] for i, shape in enumerate(store.shapes)]
    assert data["classes"] == ["bed", "chair", "lamp"]
    assert data["proposed"] == 0
    assert data["guesses"] is data["save"] is None
    assert data["fingerprint"] == store.own_fingerprint


def test_a_label_file_takes_their_place(taught_store, tmp_path):
    store = Store(taught_store)
    file = tmp_path / "some.csv"
    labelled = [int(i) for i in store.indices("train")[:2]]
    write_labels(file, [LabelRow(store.shapes[i].name + ".off", "x", "val") for i in labelled])
    data = label_page(taught_store, file, count=4, device="cpu").data()
    assert data["labels"] == [[i, "x", "val"] for i in labelled]
    assert sorted(data["order"]) == list(range(len(store.shapes)))
    first, test = data["order"][:4], store.indices("test").tolist()
    assert not set(first) & {*labelled, *test}
    assert data["order"][-len(test) :] == test == data["test"]


def test_a_file_without_labels_yet(taught_store, tmp_path):
    write_labels(tmp_path / "none.csv", [])
    assert label_page(taught_store, tmp_path / "none.csv", device="cpu").data()["labels"] == []


def test_more_are_proposed_than_there_are(hard_store):
    data = label_page(hard_store, count=1000, device="cpu").data()
    assert data["proposed"] == len(data["names"]) == len(set(data["order"]))


def test_guesses_of_a_run(taught_store, trained_run, tmp_path):
    write_labels(tmp_path / "none.csv", [])
    page = label_page(taught_store, tmp_path / "none.csv", trained_run, 4, "cpu")
    guesses = page.data()["guesses"]
    assert guesses["classes"] == page.data()["classes"] == ["bed", "chair", "lamp"]
    assert page.guesses.probabilities.shape == (18, 3)
    assert guesses["best"] == page.guesses.probabilities.argmax(axis=1).tolist()
    assert all(33 <= sure <= 100 and sure == int(sure) for sure in guesses["sure"])


def test_guesses_are_calibrated(taught_store, trained_run, tmp_path):
    run = shutil.copytree(trained_run, tmp_path / "run")
    (run / "calibration.json").unlink(missing_ok=True)
    plain = guess(run, Store(taught_store), "cpu").probabilities
    write_json(run / "calibration.json", {"last": {"temperature": 4.0}})
    soft = guess(run, Store(taught_store), "cpu").probabilities
    np.testing.assert_array_equal(soft.argmax(axis=1), plain.argmax(axis=1))
    assert (soft.max(axis=1) < plain.max(axis=1)).all()


def test_guesses_of_a_teacher(taught_store, hard_store):
    teacher = taught_store / "teachers" / "lite0"
    found = guess(teacher, Store(taught_store))
    logits = np.concatenate([np.load(f) for f in sorted(teacher.glob("logits/*.npy"))])
    assert found.classes == ["bed", "chair", "lamp"]
    np.testing.assert_array_equal(found.probabilities.argmax(axis=1), logits.argmax(axis=1))
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)
    with pytest.raises(StoreError, match="is a teacher of another store than"):
        guess(teacher, Store(hard_store))


def test_guesses_of_exported_weights_and_of_a_run_of_another_store(
    hard_store, taught_store, trained_run, tmp_path
):
    wanted = guess(trained_run, Store(taught_store), "cpu")
    weights = export_run(trained_run, "safetensors", tmp_path / "weights")
    for model in (trained_run, weights):
        page = label_page(hard_store, run=model, count=4, device="cpu")
        np.testing.assert_allclose(
            page.guesses.probabilities, wanted.probabilities, rtol=1e-5, atol=1e-6
        )
        assert page.data()["classes"] == ["bed", "chair", "lamp"]
        assert page.data()["labels"] == []
        assert page.data()["proposed"] == 4


def test_guesses_for_some_shapes(taught_store, trained_run):
    store, some = Store(taught_store), np.array([7, 2])
    for model in (trained_run, taught_store / "teachers" / "lite0"):
        every, few = (guess(model, store, "cpu", which) for which in (None, some))
        np.testing.assert_allclose(few.probabilities, every.probabilities[some], atol=1e-6)


@pytest.mark.slow
def test_weights_that_come_along_label_a_folder(furniture_root, tmp_path):
    (tmp_path / "meshes").mkdir()
    for name in ("bed", "chair"):
        shutil.copy(min((furniture_root / name / "train").glob("*.off")), tmp_path / "meshes")
    store = prepare(PrepareConfig(tmp_path / "meshes", tmp_path / "store", workers=1)).store
    page = label_page(store, run="pointnet2-furniture10", device="cpu")
    best = [page.guesses.classes[i] for i in page.guesses.probabilities.argmax(axis=1)]
    assert best == [name.split("_")[0] for name in page.names]


def test_the_labels_of_a_run_come_with_it(taught_store, trained_run, tmp_path):
    run = shutil.copytree(trained_run, tmp_path / "run")
    name = Store(taught_store).shapes[3].name
    write_labels(run / "labels.csv", [LabelRow(name, "bed")])
    assert label_page(taught_store, run=run, device="cpu").data()["labels"] == [[3, "bed", None]]


def test_what_cannot_be_used(taught_store, trained_parts_run, hard_store, tmp_path):
    with pytest.raises(StoreError, match="no such store"):
        label_page(tmp_path / "none")
    with pytest.raises(RunError, match=r"does not exist.*these weights come with pointmcd: \w"):
        label_page(hard_store, run="pointnet2-furniture11", device="cpu")
    with pytest.raises(ConfigError, match="--count 0: must be at least 1"):
        label_page(taught_store, count=0)
    (tmp_path / "wrong.csv").write_text("nowhere,chair\n")
    with pytest.raises(ConfigError, match=r"wrong.csv: line 1: no shape nowhere in"):
        label_page(taught_store, tmp_path / "wrong.csv")
    with pytest.raises(RunError, match="names no classes of shapes"):
        label_page(taught_store, run=trained_parts_run)


def test_other_labels_in_the_store_keep_its_fingerprint_apart(taught_store, page, tmp_path):
    def rename(record):
        record["name"] += "x"

    other = copy_store(taught_store, tmp_path / "store", rename, without=["teachers"])
    assert label_page(other, device="cpu").data()["fingerprint"] != page.data()["fingerprint"]


def test_nothing_breaks_out_of_the_page(hard_store):
    page = label_page(hard_store, count=5, device="cpu")
    found = Scripts(page.html())
    assert sorted(found.scripts) == ["data", "pictures", "program"]
    data = json.loads(found.scripts["data"])
    assert data == page.data()
    assert data["names"][: len(HARD_NAMES)] == list(HARD_NAMES)
    assert len(json.loads(found.scripts["pictures"])) == len(data["names"])


def test_the_page_stands_alone(page, tmp_path):
    file = write_label_page(page, tmp_path)
    assert file == tmp_path / "labels.html"
    found = Scripts(file.read_text(encoding="utf-8"))
    sources = [value for name, value in found.attributes if name in ("src", "href", "action")]
    assert sources == ["data:,"]
    policy = next(v for n, v in found.attributes if n == "content" and "default-src" in v)
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    digest = hashlib.sha256(found.scripts["program"].encode()).digest()
    assert f"'sha256-{base64.b64encode(digest).decode()}'" in policy


def test_names_survive_a_label_file(tmp_path):
    rows = [LabelRow(name, f"class of {name}".strip()) for name in HARD_NAMES]
    write_labels(tmp_path / "labels.csv", rows)
    assert [row[:2] for row in read_labels(tmp_path / "labels.csv")] == [row[:2] for row in rows]
    found = match_labels(HARD_NAMES, tmp_path / "labels.csv", tmp_path)
    assert list(found) == list(range(len(HARD_NAMES)))


def decode(text):
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_thumbnails_are_small_squares(taught_store):
    found = thumbnails(Store(taught_store))
    assert len(found) == 18
    assert {decode(one).size for one in found} == {(192, 192)}
    assert np.asarray(decode(found[0]).convert("L")).min() < 200  # shows something
    assert max(map(len, found)) < 8000


def test_very_many_shapes_get_smaller_thumbnails(taught_store, monkeypatch):
    whole = sum(map(len, thumbnails(Store(taught_store))))
    monkeypatch.setattr(pictures, "_MOST", whole // 2)
    found = thumbnails(Store(taught_store))
    assert sum(map(len, found)) <= whole // 2
    assert decode(found[0]).size[0] < 192


def view(area, greys=(100,), size=64):
    """A view with a centred square of so many pixels a side, in stripes of greys."""
    picture = np.full((size, size), 255, dtype=np.uint8)
    start = (size - area) // 2
    stripes = np.resize(np.repeat(greys, 4), area)
    picture[start : start + area, start : start + area] = stripes[:, None]
    return picture


def test_the_telling_view():
    flat, varied, small, empty = view(32), view(32, (60, 120, 180)), view(8, (60, 180)), view(0)
    assert telling_view(np.stack([flat, small, varied, empty])) == 2
    assert telling_view(np.stack([small, flat, empty])) == 0
    assert telling_view(np.stack([empty, flat])) == 1
    assert telling_view(np.stack([empty, empty])) == 0
    from_above = np.array([False, True, True])
    assert telling_view(np.stack([varied, empty, small]), from_above) == 2
    assert telling_view(np.stack([varied, empty, empty]), from_above) == 0


@pytest.mark.parametrize("corner", [(0, 0), (40, 10), (54, 61)])
def test_a_shape_fills_its_picture(corner):
    picture = np.full((64, 64), 255, dtype=np.uint8)
    picture[corner[0] : corner[0] + 10, corner[1] : corner[1] + 3] = 0
    found = np.asarray(cropped(picture))
    height = 64 - corner[0] if corner[0] + 10 > 64 else 10
    assert found.shape[0] == found.shape[1] <= height + 2
    assert (found == 0).sum() == (picture == 0).sum()
    assert cropped(np.full((64, 64), 255, dtype=np.uint8)).size == (64, 64)


def test_the_command(cli, hard_store, tmp_path):
    out = tmp_path / "page.html"
    arguments = ("label", hard_store, "--count", 3, "--device", "cpu")
    status, printed, _ = cli(*arguments, "--out", out)
    assert (status, printed) == (0, f"{out}\n")
    status, _, error = cli(*arguments, "--out", out)
    assert status == 1
    assert f"--out {out}: exists; name another file, or give --overwrite" in error
    assert cli(*arguments, "--out", out, "--overwrite")[0] == 0
    assert cli(*arguments, "--out", out, "--serve")[0] == 2
    assert cli("label", tmp_path / "none", "--out", tmp_path / "2.html")[0] == 1
    assert not (tmp_path / "2.html").exists()


def test_no_run_no_page(cli, hard_store, taught_store, tmp_path):
    other = taught_store / "teachers" / "lite0"
    status, _, error = cli("label", hard_store, "--run", other, "--out", tmp_path / "x.html")
    assert status == 1
    assert "is a teacher of another store than" in error
    assert error.count("pointmcd:") == 1
    assert not (tmp_path / "x.html").exists()


def test_a_damaged_view_is_told(hard_store):
    picture = next(hard_store.glob("shards/*/views/0000.png"))
    picture.write_bytes(b"no picture")
    with pytest.raises(PointMCDError, match=re.escape(str(picture))):
        thumbnails(Store(hard_store))


@pytest.mark.parametrize(
    ("rows", "lost"),
    [
        ("path,colour,class,\nNAME,red,chair,mine\n", "colour, column 4"),
        ("NAME,chair,train,mine\n", "column 4"),
    ],
)
def test_a_table_is_not_saved_without_its_other_columns(cli, taught_store, tmp_path, rows, lost):
    table = tmp_path / "mine.csv"
    table.write_text(rows.replace("NAME", Store(taught_store).shapes[0].name))
    before = table.read_bytes()
    status, _, error = cli("label", taught_store, "--serve", "--labels", table)
    assert status == 1
    assert f"these would be lost: {lost}; name a copy without them" in error
    assert table.read_bytes() == before
