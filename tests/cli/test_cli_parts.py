"""The command line on a set with part labels, called in process."""

import json
import shutil
from pathlib import Path

import pytest
import trimesh
from PIL import Image

CPU = ["--device", "cpu"]
SETTINGS = ["--task", "segmentation", "--epochs", 1, "--points", 32, "--batch-size", 4, *CPU]
BASELINE = Path("runs/store-segmentation-pointnet-baseline-s0")
DISTILLED = Path("runs/store-segmentation-pointnet-distilled-s0")


@pytest.fixture
def parts_run(trained_parts_run, tmp_path):
    return Path(shutil.copytree(trained_parts_run, tmp_path / "run"))


@pytest.fixture
def chair(labelled_meshes):
    return min((labelled_meshes / "chair").glob("*.off"))


def cells(table):
    """The text of each column of a printed table, its folded lines joined, without the heading."""
    rows = [line.split("│")[1:-1] for line in table.splitlines() if line.startswith("│")]
    return ["".join(cell.strip() for cell in column) for column in zip(*rows, strict=True)]


def test_the_whole_chain(cli, labelled_meshes, tmp_path, monkeypatch, chair):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(labelled_meshes, "meshes")
    (bad,) = sorted(Path("meshes/bed").glob("*.seg"))[:1]
    bad.write_text("0\n")
    Path("rig.json").write_text(json.dumps({"cameras": [[30, 0], [-30, 180]], "size": 64}))

    options = ["--points", 64, "--rig", "rig.json", "--workers", 1, "--val-fraction", 0.25]
    status, out, err = cli("prepare", "meshes", "store", *options)
    assert (status, out) == (0, "store: 23 shapes, 1 skipped\n")
    (told,) = [line for line in err.splitlines() if line.startswith("skipped:")]
    assert f"{bad.stem}.off: 1 part labels for" in told

    teach = ["--task", "segmentation", "--epochs", 1, "--views-per-step", 1, *CPU]
    status, out, _ = cli("teach", "store", *teach)
    assert status == 0
    assert out.startswith("store/teachers/lite0-segmentation: validation pixel mIoU ")

    assert cli("train", "store", "--no-distill", *SETTINGS)[:2] == (0, f"{BASELINE}\n")
    assert cli("train", "store", "--teacher", "lite0", *SETTINGS)[:2] == (0, f"{DISTILLED}\n")

    for run in (BASELINE, DISTILLED):
        status, out, _ = cli("evaluate", run, *CPU)
        assert status == 0
        assert all(name in out for name in ("instance mIoU", "class mIoU", "point accuracy"))
        assert all(label in out for label in ("bed", "chair"))
        assert "confusion" not in out
        assert 0 <= json.loads((run / "test.json").read_text())["last"]["instance_miou"] <= 1

    status, out, _ = cli("compare", DISTILLED, "--baseline", BASELINE, "--markdown")
    assert status == 0
    assert "instance mIoU" in out
    rows = [line.split("|")[1].strip() for line in out.splitlines() if line.startswith("|")]
    assert rows[0] == "variant"
    assert {"baseline", "distilled"} < set(rows)
    status, out, _ = cli("compare", DISTILLED, BASELINE)
    assert status == 0
    assert "mIoU" in out

    status, out, err = cli("predict", DISTILLED, chair, "--label", "chair", *CPU)
    assert (status, err) == (0, "")
    assert Path("parts", f"{chair.stem}-parts.ply").exists()

    assert cli("report", DISTILLED, BASELINE)[:2] == (0, "report.html\n")
    page = Path("report.html").read_text()
    assert "Truth beside prediction" in page
    assert "instance mIoU" in page


# Training


def test_train_needs_a_teacher_of_parts(refused, parts_store, tmp_path):
    line = refused("train", parts_store, *SETTINGS, "--out", tmp_path / "run")
    assert "no teacher lite0-segmentation" in line
    assert line.endswith(f"pointmcd teach {parts_store} --teacher lite0 --task segmentation")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["train", "teach"])
def test_a_store_without_parts(refused, taught_store, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    line = refused(command, taught_store, "--task", "segmentation", "--epochs", 1, *CPU)
    assert line.startswith(f"{taught_store}: has no part labels; part segmentation needs")
    assert list(tmp_path.iterdir()) == []


def test_a_task_that_nobody_knows(refused, parts_store):
    line = refused("train", parts_store, "--task", "segmentatoin")
    assert line.startswith("task segmentatoin: unknown; did you mean segmentation?")
    line = refused("teach", parts_store, "--task", "segmentatoin")
    assert line.startswith("lesson segmentatoin: unknown; did you mean segmentation?")


def test_bad_annotations_are_one_line(refused, labelled_meshes, tmp_path):
    source = shutil.copytree(labelled_meshes, tmp_path / "set")
    (source / "parts.json").write_text('{"bed": ["low", "low"]}')
    line = refused("prepare", source, tmp_path / "store")
    assert line.startswith(f"{source}/parts.json: bed: ")
    (source / "parts.json").unlink()
    (source / "test.txt").write_text("bed/no_such\n")
    assert "bed/no_such" in refused("prepare", source, tmp_path / "store")
    assert not (tmp_path / "store").exists()


# Prediction


def test_predict_writes_a_cloud_and_a_picture(cli, parts_run, chair, tmp_path):
    out = tmp_path / "found"
    status, table, err = cli("predict", parts_run, chair, "--label", "chair", "--out", out, *CPU)
    assert (status, err) == (0, "")
    cloud, picture = out / f"{chair.stem}-parts.ply", out / f"{chair.stem}-parts.png"
    assert sorted(out.iterdir()) == [cloud, picture]
    assert len(trimesh.load(cloud).vertices) == 64
    with Image.open(picture) as opened:
        assert opened.format == "PNG"
    columns = cells(table)
    assert str(chair) in columns[0]
    assert "chair" in columns[1]
    assert all(part in columns[2] for part in ("legs", "seat", "back", "%"))
    assert str(cloud) in columns[3]
    assert str(picture) in columns[3]


def test_predict_without_a_class(refused, parts_run, chair, tmp_path):
    stray = shutil.copy(chair, tmp_path / "stray.off")
    out = tmp_path / "found"
    line = refused("predict", parts_run, stray, "--out", out, *CPU)
    assert line.startswith(f"{stray}: of which class?")
    assert "--label" in line
    assert "bed, chair" in line
    assert not out.exists()
    line = refused("predict", parts_run, stray, "--label", "sofa", "--out", out, *CPU)
    assert "sofa" in line
    assert "bed, chair" in line


def test_predict_names_the_bad_file_and_goes_on(cli, parts_run, chair, tmp_path):
    bad, out = tmp_path / "bad.off", tmp_path / "found"
    bad.write_text("OFF\n3 1 0\n")
    options = ["--label", "chair", "--out", out, *CPU]
    status, table, err = cli("predict", parts_run, bad, chair, *options)
    assert status == 1
    (line,) = err.splitlines()
    assert line.startswith(f"pointmcd: {bad}: ")
    assert str(chair) in cells(table)[0]
    assert len(list(out.iterdir())) == 2


def test_a_run_of_classes_is_given_no_label(refused, trained_run, chair, tmp_path):
    line = refused("predict", trained_run, chair, "--label", "chair", "--out", tmp_path / "found")
    assert line.startswith("--label chair: ")
    assert str(trained_run) in line
    assert not (tmp_path / "found").exists()


# Runs of both tasks


@pytest.mark.parametrize("command", ["compare", "report"])
def test_runs_of_two_tasks_are_not_compared(
    cli, refused, parts_run, trained_run, tmp_path, monkeypatch, command
):
    monkeypatch.chdir(tmp_path)
    both = shutil.copytree(trained_run, tmp_path / "classes"), parts_run
    for run in both:
        assert cli("evaluate", run, *CPU)[0] == 0
    line = refused(command, *both)
    assert str(parts_run) in line
    assert "segmentation" in line
    assert not (tmp_path / "report.html").exists()
