"""The first hour of people who use pointmcd, as they would type it.

A data scientist's is a notebook (examples/notebooks), run by tests/examples. Without make, the
package is installed by pip and tried by a job of .github/workflows/ci.yml.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = ("--epochs", 2, "--points", 64, "--batch-size", 8)
pytestmark = pytest.mark.slow


@pytest.fixture
def type_in(tmp_path):
    """A caller of commands in a folder of their own, which returns what they print."""

    def call(*words, program="pointmcd"):
        command = [sys.executable, *(["-m", program] if program == "pointmcd" else [program])]
        done = subprocess.run(
            [*command, *map(str, words)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def shapes_of(root, label, split, count):
    files = sorted((root / label / split).glob("*.off"))[:count]
    return [(file.stem, trimesh.load_mesh(file, process=False)) for file in files]


def test_a_game_developer_sorts_a_folder_of_assets(furniture_root, tmp_path, type_in):
    """Some assets lie in class folders, the rest beside them, in three formats."""
    for label in ("chair", "lamp", "table"):
        for number, (name, mesh) in enumerate(shapes_of(furniture_root, label, "train", 10)):
            folder = tmp_path / "assets" / (label if number < 6 else "")
            folder.mkdir(parents=True, exist_ok=True)
            mesh.export(folder / f"{name}{('.glb', '.obj', '.stl')[number % 3]}")
    type_in("prepare", "assets", "stores/assets", "--points", 128)
    type_in("teach", "stores/assets")
    run = type_in("train", "stores/assets", *SMALL).strip()
    type_in("predict", run, "assets", "--csv", "classes.csv", "--sort-into", "sorted")
    rows = list(csv.DictReader((tmp_path / "classes.csv").open()))
    assert len(rows) == 30
    sorted_files = {(file.parent.name, file.name) for file in (tmp_path / "sorted").glob("*/*")}
    assert sorted_files == {(row["class"], Path(row["file"]).name) for row in rows}
    asset = next((tmp_path / "assets").glob("*.glb"))
    assert json.loads(type_in("similar", run, asset, "stores/assets", "--count", 3, "--json"))


def test_a_roboticist_goes_from_scans_to_a_file_without_torch(furniture_root, tmp_path, type_in):
    """Scans are clouds in class folders; the robot runs ONNX."""
    for label in ("chair", "table"):
        for split, count in (("train", 10), ("test", 3)):
            folder = tmp_path / "scans" / label / split
            folder.mkdir(parents=True)
            for name, mesh in shapes_of(furniture_root, label, split, count):
                np.save(folder / f"{name}.npy", mesh.sample(600).astype(np.float32))
    type_in("prepare", "scans", "stores/scans", "--points", 128)
    type_in("teach", "stores/scans")
    run = type_in("train", "stores/scans", *SMALL).strip()
    assert "overall accuracy" in type_in("evaluate", run)
    model = type_in("export", run, "--out", "model.onnx").strip()
    scan = next((tmp_path / "scans/chair/test").glob("*.npy"))
    said = type_in(model, scan, program=EXAMPLES / "classify_onnx.py").strip()
    assert said.split()[0] in ("chair", "table")


def test_a_researcher_measures_a_student_of_her_own(taught_store, tmp_path, type_in):
    """One command trains, evaluates and compares; the next one writes the page."""
    shutil.copy(EXAMPLES / "own_student.py", tmp_path / "net.py")
    options = ("--student", "./net.py:ResidualMLP", "--objective", "vafp:1", "--seeds", "0-1")
    told = type_in("train", taught_store, *options, *SMALL)
    rows = [line.split("│")[1].strip() for line in told.splitlines() if line.count("│") > 3]
    assert {"baseline", "distilled"} <= set(rows)
    runs = sorted(path.parent for path in (tmp_path / "runs").glob("*/test.json"))
    assert len(runs) == 4
    page = type_in("report", *runs).strip()
    assert "ResidualMLP" in (tmp_path / page).read_text(encoding="utf-8")


def test_a_maintainer_ships_an_objective_in_a_package(taught_store, tmp_path, type_in, monkeypatch):
    """An entry point gives it a short name; docs/architecture.md is the recipe."""
    text = (EXAMPLES.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    site = tmp_path / "site"
    package, about = site / "my_objectives.py", site / "my_objectives-1.0.dist-info"
    about.mkdir(parents=True)
    package.write_text(code)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-objectives\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[pointmcd.objectives]\nshape-match = my_objectives:ShapeMatch\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    type_in(program=package)  # its own check
    run = type_in("train", taught_store, "--objective", "shape-match:0.5,power=2", *SMALL).strip()
    record = json.loads((tmp_path / run / "metrics.jsonl").read_text().splitlines()[-1])
    assert record["shape-match_loss"] > 0
