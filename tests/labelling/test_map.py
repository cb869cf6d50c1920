"""The map of a store: places, nearest pairs, outliers, and the page."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
import trimesh
from hard_names import HARD_NAMES
from store_copies import edit_json

from pointmcd.data.labels import LabelRow, write_labels
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, StoreError
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.inference.export import export_run
from pointmcd.inference.guesses import guess
from pointmcd.labelling.layout import lay_out, nearest_pairs, neighbours, outliers
from pointmcd.labelling.map import PAIR, shape_map
from pointmcd.metrics.calibration import soften
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.training.calibration import temperature_of
from pointmcd.training.run import Run


def clusters(count=12, seed=0):
    """Three groups of rows, far from each other."""
    generator = np.random.default_rng(seed)
    centres = 10 * np.eye(3, 8)
    return np.repeat(centres, count, axis=0) + 0.1 * generator.normal(size=(3 * count, 8))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 40])
def test_places_lie_within_the_map(count):
    rows = np.random.default_rng(1).normal(size=(count, 6))
    places = lay_out(rows)
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    assert (places >= 0).all()
    assert (places <= 1).all()
    assert len(np.unique(places, axis=0)) == count
    np.testing.assert_array_equal(places, lay_out(rows))


def test_equal_shapes_have_places():
    assert np.isfinite(lay_out(np.zeros((9, 4)))).all()


def test_groups_stay_together():
    places = lay_out(clusters())
    group = np.repeat(np.arange(3), 12)
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (group[distances.argmin(axis=1)] == group).all()


def test_nearest_pairs_against_all_pairs():
    rows = np.random.default_rng(2).normal(size=(30, 5))
    rows[7] = rows[19]  # twins
    found = nearest_pairs(*neighbours(rows), 10)
    every = sorted(
        (float(np.linalg.norm(rows[i] - rows[j])), i, j) for i in range(30) for j in range(i)
    )
    assert found[0][:2] == (7, 19)
    assert [pair[:2] for pair in found] == [(j, i) for _, i, j in every[:10]]
    np.testing.assert_allclose([pair[2] for pair in found], [one[0] for one in every[:10]])


def test_the_stranger_comes_first():
    rows = clusters()
    rows[5] = 30.0
    assert outliers(neighbours(rows)[0], 3)[0] == 5


@pytest.mark.parametrize("count", [0, 1])
def test_no_neighbours(count):
    distances, indices = neighbours(np.zeros((count, 3)))
    assert nearest_pairs(distances, indices, 5) == []
    assert outliers(distances, 5) == []


def test_many_equal_rows_are_their_own_neighbours_never():
    _, indices = neighbours(np.zeros((20, 3)))
    assert (indices != np.arange(20)[:, None]).all()


def test_the_page_of_a_store_without_labels(hard_store):
    made = shape_map(hard_store, device="cpu")
    data = made.data()
    assert data["names"][: len(HARD_NAMES)] == list(HARD_NAMES)
    assert set(data["labels"]) == {None}
    assert data["guesses"] is None
    assert len(data["places"]) == 18
    html = made.html()
    assert json.dumps(HARD_NAMES[0])[1:-1] in html or HARD_NAMES[0] in html
    assert html.count("</script>") == 3  # no name ends one
    assert "http" not in html.replace("http-equiv", "")


def test_a_run_and_a_teacher_bring_their_guesses(taught_store, trained_run):
    by_run = shape_map(taught_store, run=trained_run, device="cpu")
    by_teacher = shape_map(str(taught_store), teacher="lite0", device="cpu")
    for made in (by_run, by_teacher):
        assert made.data()["guesses"]["classes"] == ["bed", "chair", "lamp"]
        assert made.labels == [shape.label for shape in Store(taught_store).shapes]
    assert not np.array_equal(by_run.places, by_teacher.places)


def test_exported_weights_bring_their_guesses(hard_store, taught_store, trained_run, tmp_path):
    weights = export_run(trained_run, "safetensors", tmp_path / "weights")
    made = shape_map(hard_store, run=weights, device="cpu")
    wanted = guess(trained_run, Store(taught_store), "cpu").probabilities
    np.testing.assert_allclose(made.guesses.probabilities, wanted, atol=1e-6)


def test_a_run_of_another_store_guesses_but_its_labels_stay_there(hard_store, run_copy):
    write_labels(run_copy / "labels.csv", [LabelRow("nowhere", "sofa")])
    made = shape_map(hard_store, run=run_copy, device="cpu")
    assert made.data()["guesses"]["classes"] == ["bed", "chair", "lamp"]
    assert set(made.labels) == {None}


def test_a_note_says_why_there_are_no_guesses(parts_store, trained_parts_run, capsys):
    made = shape_map(parts_store, run=trained_parts_run, device="cpu")
    assert made.guesses is None
    said = " ".join(capsys.readouterr().err.split())
    assert f"note: no guesses are shown: {trained_parts_run}: names no classes of shapes" in said
    assert "for parts pointmcd label --parts" in said


def test_a_mapped_store_is_not_written_to_again(hard_store):
    """It may be read-only once its views are encoded."""
    shape_map(hard_store, device="cpu")
    before = {path: path.stat().st_mtime_ns for path in [hard_store, *hard_store.rglob("*")]}
    shape_map(hard_store, device="cpu")
    after = {path: path.stat().st_mtime_ns for path in [hard_store, *hard_store.rglob("*")]}
    assert after == before


def test_pairs_for_programs(cli, taught_store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, _ = cli("map", taught_store, "--device", "cpu", "--json")
    rows, store = json.loads(out), Store(taught_store)
    assert status == 0
    label_of = {shape.name: shape.label for shape in store.shapes}
    assert rows
    for row in rows:
        assert [*row] == [*PAIR]
        assert (row["class"], row["other class"]) == (
            label_of[row["shape"]],
            label_of[row["other"]],
        )
        assert -1 <= row["similarity"] <= 1
        assert row["twins"] in (True, False)
    _, out, _ = cli("map", taught_store, "--device", "cpu", "--csv")
    read = list(csv.DictReader(io.StringIO(out)))
    assert [float(row["similarity"]) for row in read] == [row["similarity"] for row in rows]
    assert not (tmp_path / "map.html").exists()
    status, _, error = cli("map", taught_store, "--csv", "--out", "other.html")
    assert status == 2
    assert "--out is for the page; leave it out to print the pairs" in error


def test_labels_of_the_run_and_of_a_file(taught_store, trained_run, tmp_path):
    name = Store(taught_store).shapes[3].name
    write_labels(tmp_path / "some.csv", [LabelRow(name, "sofa")])
    run = shutil.copytree(trained_run, tmp_path / "run")
    shutil.copy(tmp_path / "some.csv", run / "labels.csv")
    wanted = [None] * 3 + ["sofa"] + [None] * 14
    assert shape_map(taught_store, run=run, device="cpu").labels == wanted
    assert shape_map(taught_store, labels=tmp_path / "some.csv", device="cpu").labels == wanted


def test_what_cannot_be_mapped(taught_store, trained_run, tmp_path):
    with pytest.raises(StoreError, match="no such store"):
        shape_map(tmp_path / "none")
    with pytest.raises(ConfigError, match="give --run RUN or --teacher NAME"):
        shape_map(taught_store, run=trained_run, teacher="lite0", device="cpu")
    with pytest.raises(StoreError, match="no teacher none"):
        shape_map(taught_store, teacher="none", device="cpu")


def test_the_command(cli, hard_store, tmp_path):
    status, printed, _ = cli("map", hard_store, "--device", "cpu", "--out", tmp_path)
    assert (status, printed) == (0, f"{tmp_path / 'map.html'}\n")
    status, _, error = cli("map", hard_store, "--device", "cpu", "--out", tmp_path)
    assert status == 1
    assert "map.html: exists; name another file, or give --overwrite" in error


def test_twins_are_named_and_come_first(furniture_root, tmp_path):
    """A mesh of another size and turn, which views show otherwise, is a twin by its points."""
    source = tmp_path / "meshes"
    source.mkdir()
    for place in sorted(furniture_root.glob("*/train"))[:4]:
        shutil.copy(min(place.iterdir()), source / f"{place.parent.name}.off")
    chair = trimesh.load(source / "chair.off")
    chair.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    chair.apply_scale(3).export(source / "again.off")
    store = prepare(PrepareConfig(source, tmp_path / "store", points=512)).store
    data = shape_map(store, device="cpu").data()
    names = [[data["names"][i] for i in pair[:2]] for pair in data["pairs"]]
    assert names[0] == ["again", "chair"]
    assert [pair[3] for pair in data["pairs"]] == [True] + [False] * (len(names) - 1)
    likeness = [pair[2] for pair in data["pairs"][1:]]
    assert likeness == sorted(likeness, reverse=True)


def test_guesses_are_those_of_evaluation_where_another_axis_is_up(run_copy, taught_store):
    """A run that began with one of another axis turns what it is shown."""
    edit_json(run_copy / "run.json", lambda meta: meta.update(up="z"))
    evaluate(run_copy, device="cpu")
    stored = np.load(run_copy / "predictions-test-last.npz")
    store = Store(taught_store)
    found = guess(run_copy, store, "cpu").probabilities[store.indices("test")]
    wanted = soften(stored["probabilities"], temperature_of(Run(run_copy), "last"))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
