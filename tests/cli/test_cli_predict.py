"""`pointmcd predict`: classes, parts, and files that cannot be read."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import trimesh
from PIL import Image

from pointmcd.cli.predict import _class
from pointmcd.tasks.classification import ClassPrediction

CPU = ["--device", "cpu"]


def cells(table):
    """The text of each column of a printed table, its folded lines joined, without the heading."""
    rows = [line.split("│")[1:-1] for line in table.splitlines() if line.startswith("│")]
    return ["".join(cell.strip() for cell in column) for column in zip(*rows, strict=True)]


#: What is said where no axis is given.
UP = "note: y is taken to point up in the files; --up names another axis"


def test_predict_names_the_bad_file_and_goes_on(cli, trained_run, furniture_root, tmp_path):
    good = tmp_path / "a [red] lamp.off"
    shutil.copy(min((furniture_root / "lamp" / "test").glob("*.off")), good)
    bad = tmp_path / "bad.off"
    bad.write_text("OFF\n3 1 0\n")
    status, out, err = cli("predict", trained_run, bad, good, "--device", "cpu")
    assert status == 1
    note, up, line = err.splitlines()
    assert note.startswith("note: confidences are not calibrated: 3 shapes were held out, 20 are")
    assert up == UP
    assert line.startswith(f"pointmcd: {bad}: ")
    told = "".join(line.split("│")[1].strip() for line in out.splitlines() if "│" in line)
    assert "[red]" in told  # wrapped, yet whole
    assert "…" not in told


def test_predict_writes_a_cloud_a_picture_and_the_parts_of_faces(cli, parts_run, chair, tmp_path):
    out = tmp_path / "found"
    status, table, err = cli("predict", parts_run, chair, "--label", "chair", "--out", out, *CPU)
    assert (status, err) == (0, f"{UP}\n")
    cloud, picture = out / f"{chair.stem}-parts.ply", out / f"{chair.stem}-parts.png"
    faces = out / f"{chair.stem}-parts.seg"
    assert sorted(out.iterdir()) == [cloud, picture, faces]
    assert len(trimesh.load(cloud).vertices) == 64
    with Image.open(picture) as opened:
        assert opened.format == "PNG"
    columns = cells(table)
    assert str(chair) in columns[0]
    assert "chair" in columns[1]
    options = ("--json", "--label", "chair", "--out", tmp_path / "again", *CPU)
    shares = json.loads(cli("predict", parts_run, chair, *options)[1])
    parts = shares[0]["parts"]
    assert set(parts) == {"legs", "seat", "back"}
    for part, share in parts.items():  # 0% is left out
        assert (f"{part} {share:.0%}" in columns[2]) == (share >= 0.005)
    assert str(cloud) in columns[3]
    assert str(picture) in columns[3]


def test_predict_prints_json(cli, trained_run, parts_run, chair, tmp_path):
    bad = tmp_path / "bad.off"
    bad.write_text("OFF\n3 1 0\n")
    sorted_into = tmp_path / "sorted"
    status, out, err = cli(
        "predict", trained_run, bad, chair, "--json", "--sort-into", sorted_into, *CPU
    )
    assert (status, len(err.splitlines())) == (1, 3)
    refused, found = json.loads(out)
    assert refused == {"file": str(bad), "error": err.splitlines()[-1].removeprefix("pointmcd: ")}
    assert (found["file"], found["read"], found["error"]) == (str(chair), "mesh", None)
    ranked = found["probabilities"]
    assert max(ranked, key=ranked.get) == found["class"]
    assert ranked[found["class"]] == found["confidence"]
    assert sum(ranked.values()) == pytest.approx(1)
    assert (sorted_into / found["class"] / chair.name).exists()

    parts = ["--label", "chair", "--out", tmp_path / "found"]
    _, out, _ = cli("predict", parts_run, chair, "--json", *parts, *CPU)
    (found,) = json.loads(out)
    assert list(found["parts"]) == ["legs", "seat", "back"]
    assert all(Path(file).exists() for file in found["written"])

    _, out, _ = cli("predict", trained_run, bad, "--json", *CPU)
    assert [one["file"] for one in json.loads(out)] == [str(bad)]
    both = ["--json", "--csv", tmp_path / "a.csv"]
    status, out, err = cli("predict", trained_run, chair, *both, *CPU)
    assert (status, out) == (2, "")
    assert "choose one" in err


def test_labels_of_ones_own_are_kept(cli, trained_run, furniture_root, tmp_path):
    meshes = sorted((furniture_root / "lamp" / "test").glob("*.off"))[:2]
    labels, table, folder = (tmp_path / name for name in ("labels.csv", "t.csv", "sorted"))
    labels.write_text(f"path,class\n{meshes[0].stem},wardrobe\n")
    options = ["--labels", labels, "--csv", table, "--sort-into", folder, *CPU]
    status, _, _ = cli("predict", trained_run, meshes[0].parent, *options)
    assert status == 0
    assert [path.name for path in (folder / "wardrobe").iterdir()] == [meshes[0].name]
    rows = list(csv.DictReader(table.open()))
    assert str(meshes[1]) in [row["file"] for row in rows]
    assert str(meshes[0]) not in [row["file"] for row in rows]
    status, _, err = cli("predict", trained_run, meshes[0].parent, "--sort-into", folder, *CPU)
    assert status == 1
    assert f"your labels put {folder}/wardrobe/{meshes[0].name} there, and guesses may" in err


def test_parts_are_not_sorted_by_the_class_that_was_given(cli, parts_run, chair, tmp_path):
    folder = tmp_path / "sorted"
    second = Path(shutil.copy(chair, tmp_path / f"second{chair.suffix}"))
    options = ("--label", "chair", "--sort-into", folder, "--out", tmp_path / "parts", *CPU)
    status, _, error = cli("predict", parts_run, chair, second, *options)
    assert status == 2
    assert "--sort-into is for runs that classify" in error
    assert not list((tmp_path / "parts").glob("second*"))  # refused at the first file
    assert not folder.exists()


def test_predict_without_a_class(refused, parts_run, chair, tmp_path):
    stray = shutil.copy(chair, tmp_path / "stray.off")
    out = tmp_path / "found"
    line = refused("predict", parts_run, stray, "--out", out, *CPU)
    assert line.startswith(f"{stray}: the model needs the class;")
    assert "--label" in line
    assert "bed, chair" in line
    assert not out.exists()
    line = refused("predict", parts_run, stray, "--label", "sofa", "--out", out, *CPU)
    assert "sofa" in line
    assert "bed, chair" in line


def test_a_run_of_parts_names_the_bad_file_and_goes_on(cli, parts_run, chair, tmp_path):
    bad, out = tmp_path / "bad.off", tmp_path / "found"
    bad.write_text("OFF\n3 1 0\n")
    options = ["--label", "chair", "--out", out, *CPU]
    status, table, err = cli("predict", parts_run, bad, chair, *options)
    assert status == 1
    assert err.splitlines()[0] == UP
    assert err.splitlines()[1].startswith(f"pointmcd: {bad}: ")
    assert str(chair) in cells(table)[0]
    assert len(list(out.iterdir())) == 3


def test_a_run_of_classes_is_given_no_label(refused, trained_run, chair, tmp_path):
    line = refused("predict", trained_run, chair, "--label", "chair", "--out", tmp_path / "found")
    assert line.startswith("--label chair: ")
    assert str(trained_run) in line
    assert not (tmp_path / "found").exists()


def test_a_folder_becomes_a_table_and_folders_of_classes(
    cli, trained_run, furniture_root, tmp_path
):
    meshes = tmp_path / "meshes"
    meshes.mkdir()
    for path in sorted((furniture_root / "bed" / "test").glob("*.off"))[:3]:
        (meshes / path.name).write_bytes(path.read_bytes())
    (meshes / "broken.off").write_text("OFF\nx")
    (meshes / "picture.jpg").write_text("")
    table, sorted_ = tmp_path / "out.csv", tmp_path / "sorted"
    status, out, err = cli(
        "predict", trained_run, meshes, "--csv", table, "--sort-into", sorted_, "--device", "cpu"
    )
    assert status == 1  # one file cannot be read; the others are done
    assert out == f"{table}\n{sorted_}\n"
    assert "note: not read: 1 .jpg" in err
    assert "broken.off" in err
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert list(rows[0])[:3] == ["file", "class", "confidence"]
    errors = {Path(row["file"]).name: row["error"] for row in rows if not row["class"]}
    assert list(errors) == ["broken.off"]
    assert f"pointmcd: {errors['broken.off']}\n" in err
    rows = [row for row in rows if row["class"]]
    assert [row["error"] for row in rows] == [""] * 3
    assert 0 < float(rows[0]["confidence"]) <= 1
    for row in rows:
        copy = sorted_ / row["class"] / Path(row["file"]).name
        assert copy.read_bytes() == Path(row["file"]).read_bytes()


def test_a_table_replaces_no_file_unasked_and_never_what_is_read(refused, cli, trained_run, chair):
    mesh, labels = chair.with_suffix(".off"), chair.with_name("labels.csv")
    labels.write_text(f"path,class\n{mesh.stem},chair\n")
    call = ("predict", trained_run, mesh, "--labels", labels, "--csv")
    for file in (labels, mesh):
        line = f"--csv {file}: exists; name another file, or give --overwrite"
        assert refused(*call, file) == line
        assert refused(*call, file, "--overwrite").startswith(f"--csv {file}: is read")
    assert refused(*call, chair.parent) == f"--csv {chair.parent}: is a folder; name a file"
    assert labels.read_text().endswith(",chair\n")


def test_files_unlike_all_labelled_are_unsure_where_certainty_is_asked_for():
    far = ClassPrediction(Path("a.off"), None, "chair", 0.99, (("chair", 0.99),), unlikeness=2.0)
    assert [_class(far, least) for least in (0.0, 0.5)] == ["chair", "_unsure"]
    assert _class(replace(far, unlikeness=0.5), 0.5) == "chair"


def test_links_need_a_folder(cli, trained_run):
    status, _, err = cli("predict", trained_run, "x.off", "--link")
    assert (status, "--link is for --sort-into" in err) == (2, True)
    status, _, err = cli("predict", trained_run, "x.off", "--min-confidence", 0.5)
    assert (status, "--min-confidence is for --sort-into" in err) == (2, True)


@pytest.mark.parametrize("least", [0, 1])
def test_files_of_an_uncertain_class_are_kept_apart(cli, trained_run, chair, tmp_path, least):
    labels, folder = tmp_path / "labels.csv", tmp_path / "sorted"
    meshes = sorted(chair.parent.glob("*.off"))
    labels.write_text(f"path,class\n{meshes[0].stem},mine\n")
    options = ("--labels", labels, "--sort-into", folder, "--min-confidence", least)
    status, _, err = cli("predict", trained_run, *meshes, *options, *CPU)
    assert status == 0
    assert f"{folder}: {len(meshes)} files: " in err
    assert (folder / "mine" / meshes[0].name).exists()  # the label is certain
    unsure = {file.name for file in folder.glob("_unsure/*")}
    assert unsure == ({file.name for file in meshes[1:]} if least else set())


def test_each_file_that_cannot_be_read_has_a_line(cli, trained_run, tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.off").write_text("OFF\nx")
    status, _, err = cli("predict", trained_run, tmp_path, *CPU)
    assert status == 1
    lines = err.splitlines()
    assert [line.split(".off")[0] for line in lines] == [f"pointmcd: {tmp_path}/{n}" for n in "abc"]


def test_exported_weights_are_used_by_their_folder_or_name(
    cli, refused, trained_run, furniture_root, tmp_path, monkeypatch
):
    mesh = min((furniture_root / "lamp" / "test").glob("*.off"))
    folder = tmp_path / "shipped" / "mine"
    to = ["--to", "safetensors", "--out", folder, "--half", "--licence", "cc0-1.0"]
    assert cli("export", trained_run, *to)[0] == 0
    assert "license: cc0-1.0\n" in (folder / "README.md").read_text()
    status, table, _ = cli("predict", "--pretrained", folder, mesh, *CPU)
    assert status == 0
    assert str(mesh) in cells(table)[0]
    monkeypatch.setattr("pointmcd.training.weights.SHIPPED", folder.parent)
    assert cli("predict", "--pretrained", "mine", mesh, *CPU)[1] == table
    status, _, line = cli("predict", "--pretrained", "yours", mesh, *CPU)
    assert status == 2
    assert line.endswith("one of those that come with pointmcd: mine\n")
    line = refused("export", trained_run, "--licence", "cc0-1.0")
    assert line == "--licence: is for --to safetensors alone"


def test_a_run_and_weights_at_once(cli, trained_run, chair):
    status, _, err = cli("predict", trained_run, chair, "--pretrained", "pointnet2-ldraw32")
    assert status == 2
    assert "predict: RUN and --pretrained NAME: choose one" in err
