"""The demo's path on a part of the embedded set; `make demo` takes the whole."""

import shutil
import zipfile

import pytest

from pointmcd import demo as module
from pointmcd.cli import main
from pointmcd.data.labels import read_labels
from pointmcd.errors import RunError


@pytest.fixture
def small_set(furniture_root, tmp_path, monkeypatch):
    """Three classes of the embedded set in the same layout: 4 train and 1 test shapes of each."""
    path = tmp_path / "furniture10.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for label in ("bed", "chair", "lamp"):
            for split, count in (("train", 4), ("test", 1)):
                files = sorted((furniture_root / label / split).glob("*.off"))[:count]
                for file in files:
                    archive.write(file, file.relative_to(furniture_root.parent))
    monkeypatch.setattr(module, "furniture10", lambda: path)
    monkeypatch.setattr(module, "SEEDS", {4: (0,), 6: (0, 1), None: (0,)})
    monkeypatch.setattr(module, "SHOWN", 6)


def test_a_file_where_the_folder_should_be_is_refused(tmp_path):
    file = tmp_path / "demo"
    file.write_text("mine")
    with pytest.raises(RunError, match=f"{file}: is a file"):
        module.demo(file)
    assert file.read_text() == "mine"


@pytest.mark.slow
def test_demo_ends_in_a_table_and_a_page_and_keeps_what_is_finished(small_set, tmp_path, capsys):
    folder = tmp_path / "demo"
    main(["demo", str(folder), "--epochs", "1"])
    first = capsys.readouterr()
    assert "baseline" in first.out
    assert "distilled" in first.out
    page = folder / "report.html"
    assert first.out.splitlines()[-1] == f"report: {page.resolve()}"
    assert [line[:3] for line in first.err.splitlines() if line[1:3] == "/7"] == [
        f"{step}/7" for step in range(1, 8)
    ]
    picture = folder / "accuracy-by-labels.png"
    assert first.out.splitlines()[-2] == f"accuracy by labels: {picture.resolve()}"
    assert "teacher" in first.out
    assert "shapes whose labels no run knew" in first.out
    assert len(read_labels(folder / "labels-6-s1.csv")) == 6
    assert "Results by number of labels" in page.read_text(encoding="utf-8")
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    seeds = sum(map(len, module.SEEDS.values()))
    # The teachers', and of each run: last, best, labelled shapes.
    assert len(times) == seeds + 2 * 3 * seeds
    page.unlink()
    picture.unlink()
    shutil.rmtree(folder / "runs" / "distilled-6-s1")

    main(["demo", str(folder), "--epochs", "1"])
    assert capsys.readouterr().out == first.out
    assert page.exists()
    assert picture.exists()
    kept = {path: when for path, when in times.items() if "distilled-6-s1" not in path.parts}
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
