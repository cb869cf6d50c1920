"""Shapes to turn by hand: what the page holds of files, stores and runs."""

import base64
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError, ShapeError
from pointmcd.report.page import write_report
from pointmcd.report.view import SHAPES, view
from pointmcd.tasks.part_prediction import predict_parts
from pointmcd.tasks.task import InputFile, Labels

pytest.importorskip("plotly")


def scenes(page: Path) -> list[dict]:
    text = page.read_text(encoding="utf-8")
    return json.loads(
        re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)[0]
    )


def array(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def paint(scene: dict, name: str) -> dict:
    return next(one for one in scene["paints"] if one["name"] == name)


def test_a_store_with_what_each_view_sees(store, tmp_path):
    found = scenes(view(str(store.path), tmp_path))
    assert len(found) == min(SHAPES, len(store.shapes))
    names = [shape.name for shape in store.shapes]
    for scene in found:
        row = np.array([names.index(scene["name"])])
        points = array(scene["points"], "<f4").reshape(-1, 3)
        np.testing.assert_array_equal(points, store.points(row, store.num_points)[0])
        seen = store.visibility(row, store.num_points)[0]
        for number in range(store.num_views):
            said = paint(scene, f"seen by view {number + 1}")
            np.testing.assert_array_equal(array(said["groups"], "u1") == 0, seen[:, number])
            assert said["names"] == ["seen", "hidden"]


def test_shapes_by_name(store, tmp_path):
    wanted = [store.shapes[4].name, store.shapes[1].name]
    assert [s["name"] for s in scenes(view(store.path, tmp_path, shapes=wanted))] == wanted
    with pytest.raises(ConfigError, match="--shapes nothing: no such shape"):
        view(store.path, tmp_path, shapes=["nothing"])


def test_a_run_shows_its_mistakes_first(bench, tmp_path):
    truth = np.array(bench.labels)
    said = truth.copy()
    said[3] = (truth[3] + 1) % 3
    found = scenes(view(bench.run("distilled", predictions=said), tmp_path))
    assert found[0]["name"] == bench.names[3]
    names = bench.classes
    assert found[0]["note"].startswith(f"is {names[truth[3]]}, predicted as {names[said[3]]} (")
    assert len(found) == len(truth)


def test_a_report_with_shapes_to_turn(bench, tmp_path, monkeypatch):
    run = bench.run("distilled")
    page = write_report([run], tmp_path / "report.html", view=True)
    alone = scenes(view(run, tmp_path))
    assert alone
    assert scenes(page) == alone
    plain = write_report([run], tmp_path / "plain.html").read_text(encoding="utf-8")
    assert "<script" not in plain
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(ConfigError, match=r"^--view: needs plotly.offline; pip install"):
        write_report([run], tmp_path / "none.html", view=True)
    assert not (tmp_path / "none.html").exists()


def test_a_report_cannot_turn_shapes_of_a_store_that_is_gone(bench, tmp_path):
    bench.store = str(tmp_path / "gone")
    run = bench.run("distilled")
    with pytest.raises(RunError, match=r"^--view: The store"):
        write_report([run], tmp_path / "report.html", view=True)


def test_a_run_that_is_not_evaluated(bench, tmp_path):
    run = bench.run("distilled")
    (run / "predictions-test-last.npz").unlink()
    with pytest.raises(RunError, match="evaluate it with"):
        view(run, tmp_path)


def test_labelled_and_predicted_parts(parts_bench, tmp_path):
    run = parts_bench.run("distilled")
    store = Store(Path(parts_bench.store))
    scene = scenes(view(run, tmp_path))[0]
    labelled, predicted = paint(scene, "labelled parts"), paint(scene, "predicted parts")
    index = [shape.name for shape in store.shapes].index(scene["name"])
    row, label = np.array([index]), store.shapes[index].label
    assert labelled["names"] == [*store.parts[label], "no label"] == predicted["names"]
    first = store.part_ranges[store.classes.index(label), 0]
    truth = store.part_labels(row, store.num_points)[0] - first
    np.testing.assert_array_equal(array(labelled["groups"], "u1"), truth)
    assert array(predicted["groups"], "u1").max() < len(predicted["names"])
    assert "mIoU" in scene["note"]


def test_files_and_folders(bench, tmp_path):
    cloud = np.random.default_rng(0).normal(size=(50, 3))
    np.savetxt(tmp_path / "a.xyz", cloud)
    (tmp_path / "b.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    found = scenes(view(tmp_path, tmp_path / "page.html"))
    assert [scene["name"] for scene in found] == ["a.xyz", "b.off"]
    assert found[0]["note"] == "50 points"
    assert all(not scene["paints"] for scene in found)
    both = view([tmp_path / "b.off", tmp_path / "a.xyz"], tmp_path / "two.html")
    assert [scene["name"] for scene in scenes(both)] == ["b.off", "a.xyz"]
    assert "<title>b.off, a.xyz" in both.read_text()
    alone = scenes(view(tmp_path / "b.off", tmp_path / "one.html"))
    np.testing.assert_array_equal(
        array(alone[0]["points"], "<f4"), array(found[1]["points"], "<f4")
    )


def test_files_that_cannot_be_read_are_told(tmp_path, trained_run, cli):
    (tmp_path / "a.off").write_text("nonsense")
    for number in range(25):
        triangle = f"OFF\n3 1 0\n0 0 0\n1 0 0\n0 {number + 1} 0\n3 0 1 2\n"
        (tmp_path / f"b{number:02d}.off").write_text(triangle)
    for options in ((), ("--run", trained_run)):
        page = tmp_path / f"page{len(options)}.html"
        status, _, err = cli("view", tmp_path, "--out", page, *options)
        assert status == 0
        assert "note: 24 of 26 files are shown; name others to see them" in err
        assert f"skipped: {tmp_path / 'a.off'}: " in err
        names = [scene["name"] for scene in scenes(page)]
        assert names == [f"b{number:02d}.off" for number in range(24)]


def test_a_file_with_a_prediction(trained_run, tmp_path):
    (tmp_path / "b.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    scene = scenes(view(tmp_path / "b.off", tmp_path, run=trained_run))[0]
    assert re.match(r"class \w+, confidence \d+%", scene["note"])


def test_what_cannot_be_shown(tmp_path, store):
    with pytest.raises(ConfigError, match=r"^--up z: is for files; .* knows what is up"):
        view(store.path, tmp_path, up="z")
    for subject in ([], [store.path, store.path], [store.path, tmp_path]):
        with pytest.raises(ConfigError, match=r"^view: give files and folders of them, or one sto"):
            view(subject, tmp_path)
    with pytest.raises(ShapeError, match="gone"):
        view(tmp_path / "gone.off", tmp_path)
    (tmp_path / "b.off").write_text("nonsense")
    with pytest.raises(ShapeError, match=r"b\.off"):
        view(tmp_path / "b.off", tmp_path)
    assert not list(tmp_path.glob("*.html"))


@pytest.mark.skipif(os.name != "posix", reason="no name of a file on Windows")
def test_names_do_not_break_out(store, tmp_path):
    folder = shutil.copytree(store.path, tmp_path / "</title><b>")
    text = view(folder, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "</title><b>" not in text


def test_without_plotly(monkeypatch, store, tmp_path):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(ConfigError, match=r"pip install 'pointmcd\[view\]'"):
        view(store.path, tmp_path)


def test_the_command(cli, store, tmp_path):
    assert cli("view", store.path, "--out", tmp_path)[:2] == (0, f"{tmp_path / 'view.html'}\n")
    status, _, error = cli("view", store.path, "--out", tmp_path)
    assert status == 1
    assert "view.html: exists; name another file, or give --overwrite" in error


def test_a_prediction_with_normals_shows_coordinates_alone():
    labels = Labels(["bed"], {"bed": ["low", "high"]})
    points = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    found = predict_parts(
        torch.eye(2)[[0, 1, 1, 0, 1]], InputFile(Path("a"), points, "bed"), labels
    )
    np.testing.assert_array_equal(found.points, points[:, :3])
    assert found.point_parts.tolist() == [0, 1, 1, 0, 1]
