"""The commands one after another, from meshes to a report."""

import json
import re
import shutil
from pathlib import Path

import pytest

CPU = ["--device", "cpu"]
SETTINGS = ["--task", "segmentation", "--epochs", 1, "--points", 32, "--batch-size", 4, *CPU]
BASELINE = Path("runs/store-segmentation-pointnet-baseline-s0")
DISTILLED = Path("runs/store-segmentation-pointnet-distilled-s0")


def test_classification(cli, tiny_store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    meshes, rig = tiny_store.parent / "meshes", tiny_store.parent / "rig.json"
    shutil.copytree(meshes, "meshes")
    broken = tmp_path / "meshes" / "bed" / "train" / "broken.off"
    broken.write_text("OFF\n0 0 0\n")
    chair = min((meshes / "chair" / "test").glob("*.off"))
    cpu = ["--device", "cpu"]

    options = ["--points", 64, "--rig", rig, "--workers", 1, "--val-fraction", 0.25]
    status, out, err = cli("prepare", "meshes", "store", *options)
    assert (status, out) == (0, "store: 18 shapes, 1 skipped\n")
    assert "splits: 9 train, 3 val, 6 test" in err
    assert len([x for x in err.splitlines() if x.startswith("skipped:") and str(broken) in x]) == 1

    status, out, _ = cli("teach", "store", "--epochs", 1, *cpu)
    assert status == 0
    said = r"store/teachers/lite0: validation accuracy [\d.]+% \(95% interval [\d.]+% to [\d.]+%\)"
    assert re.match(said, out)

    settings = ["--epochs", 1, "--points", 32, "--batch-size", 4, *cpu]
    assert cli("train", "store", "--no-distill", *settings)[:2] == (
        0,
        "runs/store-pointnet-baseline-s0\n",
    )
    status, out, _ = cli("train", "store", "--teacher", "lite0", *settings)
    baseline, distilled = "runs/store-pointnet-baseline-s0", out.strip()
    assert (status, distilled) == (0, "runs/store-pointnet-distilled-s0")

    for run in (baseline, distilled):
        status, out, _ = cli("evaluate", run, *cpu)
        assert status == 0
        assert "overall accuracy" in out
        assert out.splitlines()[-1] == f"{run}/confusion-test-last.png"

    status, out, _ = cli("compare", distilled, "--baseline", baseline, "--markdown")
    assert status == 0
    rows = [line.split("|")[1].strip() for line in out.splitlines() if line.startswith("|")]
    assert rows == ["variant", "---", "baseline", "distilled", "teacher"]
    assert cli("compare", distilled, baseline)[0] == 0

    status, out, err = cli("predict", distilled, chair, *cpu)
    assert status == 0
    assert err.startswith("note: confidences are not calibrated")
    assert "%" in out

    assert cli("report", distilled, baseline)[:2] == (0, "report.html\n")
    assert "<html" in (tmp_path / "report.html").read_text()


def test_segmentation(cli, labelled_meshes, tmp_path, monkeypatch, chair):
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
    assert status == 0
    assert err.startswith("note: y is taken to point up in the files; --up names")
    assert Path("parts", f"{chair.stem}-parts.ply").exists()

    assert cli("report", DISTILLED, BASELINE)[:2] == (0, "report.html\n")
    page = Path("report.html").read_text()
    assert "Truth and prediction" in page
    assert "instance mIoU" in page


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
