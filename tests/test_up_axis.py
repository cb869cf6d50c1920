"""Shapes in which another axis is up than in those that a run learnt from."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from store_copies import copy_store, edit_json

from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.inference.export import export_run
from pointmcd.inference.predict import predict
from pointmcd.probing.config import ProbeConfig
from pointmcd.probing.embed import embed, similar
from pointmcd.probing.features import random_students
from pointmcd.report.view import view
from pointmcd.shapes.axes import turn
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.train import train
from pointmcd.views.places import project_points, stored_framing
from pointmcd.views.rig import Rig

pytestmark = pytest.mark.usefixtures("one_thread")
# Features of views say of which store they are.
CACHED = ("features",)


def turn_frames(shard):
    for shape in shard["shapes"]:
        shape["frame"]["centre"] = turn(np.array(shape["frame"]["centre"]), "y", "z").tolist()


@pytest.fixture(scope="module")
def standing(taught_store):
    """A store in which y is up."""
    return Store(taught_store)


@pytest.fixture(scope="module")
def lying(taught_store, tmp_path_factory):
    """The same shapes with z up, as `prepare` would have made them of such files."""
    path = copy_store(taught_store, tmp_path_factory.mktemp("lying") / "store", without=CACHED)
    for file in path.glob("shards/*/points.npy"):
        np.save(file, turn(np.load(file), "y", "z"))
    for file in path.glob("shards/*/shapes.json"):
        edit_json(file, turn_frames)
    # Not the same store: only the rig is told apart by its axis.
    edit_json(path / "store.json", lambda meta: meta["rig"].update(up="z"))
    edit_json(path / "store.json", lambda meta: meta.update(fingerprint="other"))
    return path


def test_a_turned_store_is_the_other_one(standing, lying):
    rows, store = np.arange(18), Store(lying)
    turned = store.with_up("y")
    assert (turned.up, turned.rig) == ("y", standing.rig)
    np.testing.assert_array_equal(turned.points(rows, 128), standing.points(rows, 128))
    np.testing.assert_array_equal(turned.with_up("z").points(rows, 9), store.points(rows, 9))
    np.testing.assert_array_equal(turned.with_validation().points(rows, 9), turned.points(rows, 9))
    assert turned.fingerprint == store.fingerprint == store.with_up("x").fingerprint


def test_views_show_turned_points_where_they_did(lying):
    store = Store(lying)
    here, there = (
        project_points(
            one.points(np.array([3]), 128)[0],
            Rig.from_json(one.rig),
            stored_framing(one, 3),
        )
        for one in (store, store.with_up("x"))
    )
    np.testing.assert_allclose(here, there, atol=1e-3)


@pytest.fixture
def chair(furniture_root, tmp_path):
    """A mesh with y up, and the same with z up."""
    mesh = trimesh.load(min((furniture_root / "chair" / "test").glob("*.off")))
    files = [tmp_path / "standing.ply", tmp_path / "lying.ply"]
    mesh.export(files[0])
    mesh.vertices = turn(np.asarray(mesh.vertices), "y", "z")
    mesh.export(files[1])
    return files


def shares(found):
    return dict(found.ranking)


@pytest.mark.parametrize("kind", ["run", "weights", "teacher"])
def test_a_file_is_turned_to_what_the_model_knows(taught_store, trained_run, chair, tmp_path, kind):
    model = {"run": trained_run, "teacher": taught_store / "teachers" / "lite0"}.get(kind)
    if model is None:
        model = tmp_path / "weights"
        export_run(trained_run, to="safetensors", out=model)
    (wanted,), (unturned,), (found,) = (
        predict(model, chair[0], device="cpu"),
        predict(model, chair[1], device="cpu"),
        predict(model, chair[1], device="cpu", up="z"),
    )
    assert shares(found) == pytest.approx(shares(wanted), abs=1e-5)
    assert shares(unturned) != pytest.approx(shares(wanted), abs=1e-4)
    assert (wanted.up, found.up) == ("y", "z")


def test_a_run_that_learnt_with_z_up_takes_such_files(trained_run, chair, tmp_path):
    run = shutil.copytree(trained_run, tmp_path / "run")
    edit_json(run / "run.json", lambda meta: meta.update(up="z"))
    (known,), (turned,) = predict(run, chair[1]), predict(run, chair[0], up="y")
    assert shares(turned) == pytest.approx(shares(known), abs=1e-4)
    card = export_run(run, to="safetensors", out=tmp_path / "weights") / "README.md"
    assert "centred at their mean, z up" in card.read_text()
    (exported,) = predict(tmp_path / "weights", chair[0], up="y")
    assert shares(exported) == pytest.approx(shares(known), abs=1e-4)


def test_a_run_from_before_the_axis_was_kept_asks_its_store(trained_run, tmp_path, chair):
    run = shutil.copytree(trained_run, tmp_path / "run")
    assert Run(run).meta["up"] == "y"
    edit_json(run / "run.json", lambda meta: meta.pop("up"))
    assert Run(run).up == "y"
    edit_json(run / "run.json", lambda meta: meta.update(store=str(tmp_path / "gone")))
    assert Run(run).up is None
    assert predict(run, chair[0], device="cpu")[0].fault is None
    with pytest.raises(ConfigError, match=r"^--up z: .*run does not say which axis is up"):
        predict(run, chair[0], device="cpu", up="z")


def test_frozen_features_of_another_stores_shapes(standing, lying, trained_run, chair):
    wanted = embed(standing.path, trained_run, device="cpu").features
    found = embed(lying, trained_run, device="cpu").features
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    near = similar(trained_run, chair[0], standing.path, device="cpu")
    assert similar(trained_run, chair[1], lying, device="cpu", up="z") == near
    config, run = ProbeConfig(trained_run, lying), Run(trained_run)
    here, there = (
        next(iter(random_students(run, config, store, torch.device("cpu"))))(np.arange(4))
        for store in (standing, Store(lying))
    )
    np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-5)


@pytest.fixture
def settings(standing, tmp_path):
    def make(name, **options):
        values = {"student": "tiny_student:TinyStudent", "epochs": 1, "points": 32, **options}
        return TrainConfig(
            standing.path, tmp_path / name, batch_size=4, device="cpu", seed=3, **values
        )

    return make


def test_unlabelled_shapes_are_turned(settings, standing, lying, tmp_path):
    # One that has the same rig, but is not the store itself.
    upright = copy_store(standing.path, tmp_path / "upright", without=CACHED)
    edit_json(upright / "store.json", lambda meta: meta.update(fingerprint="other"))
    losses = [
        Run(train(settings(name, unlabelled=(store,)))).metrics()[-1]["logits_loss"]
        for name, store in (("a", upright), ("b", lying))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_student_goes_on_with_the_axis_that_it_knows(settings, standing, lying):
    first = train(settings("first", teacher=None))
    runs = [
        Run(train(replace(settings(name, teacher=None, init=first), store=store)))
        for name, store in (("a", standing.path), ("b", lying))
    ]
    assert [run.up for run in runs] == ["y", "y"]
    one, two = (run.metrics()[-1]["task_loss"] for run in runs)
    assert one == pytest.approx(two, rel=1e-5)
    said = [evaluate(run.path, device="cpu")["last"].main for run in runs]
    assert said[0] == pytest.approx(said[1])
    edit_json(runs[1].path / "run.json", lambda meta: meta.update(up="z"))
    with pytest.raises(RunError, match="holds a run that differs in up"):
        train(replace(settings("b", teacher=None, init=first), store=lying))


def test_the_page_of_shapes_stands_upright(lying, standing, chair, tmp_path, cli):
    pytest.importorskip("plotly")

    def points(page):
        return json.loads(page.read_text().split('"points": "')[1].split('"')[0].join('""'))

    pages = [
        view(path, tmp_path / f"{i}.html", shapes=[standing.shapes[0].name])
        for i, path in enumerate((standing.path, lying))
    ]
    assert points(pages[0]) == points(pages[1])
    cli("view", chair[0], "--out", tmp_path / "a.html")
    cli("view", chair[1], "--up", "z", "--out", tmp_path / "b.html")
    assert points(tmp_path / "a.html")[:40] == points(tmp_path / "b.html")[:40]


def test_the_commands_take_it(cli, trained_run, standing, chair):
    status, out, err = cli("predict", trained_run, chair[1], "--up", "z", "--json")
    assert (status, err) == (0, "") or "not calibrated" in err
    assert json.loads(out)[0]["class"] in standing.classes
    assert cli("similar", trained_run, chair[1], standing.path, "--up", "z")[0] == 0
    assert cli("predict", trained_run, chair[1], "--up", "north")[0] == 2
