"""One plug of each kind, each from one file outside the package, through the whole chain."""

from pathlib import Path

import numpy as np
import pytest
from toy_dataset import write_reels

from pointmcd.data.store import Store
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import comparison_table
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.inference.predict import predict
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.report.page import write_report
from pointmcd.tables import to_markdown
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.stored import teacher_folder
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.train import train

QUICK = {
    "task": "toy_task:Height",
    "student": "tiny_student:TinyStudent",
    "objective": ("toy_objective:ShapeMatch:2,power=2", "vafp"),
    "epochs": 2,
    "points": 32,
    "batch_size": 2,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory, module_rig) -> Path:
    """Shapes of a data set of one's own, and a teacher of a lesson and encoder of one's own."""
    folder = tmp_path_factory.mktemp("toys")
    source = f"toy_dataset:Reels:{write_reels(folder / 'reels', 80)}"
    options = {"points": 40, "rig": module_rig, "workers": 1, "val_fraction": 0.5}
    prepare(PrepareConfig(source, folder / "store", **options))
    encoder, lesson = "module:toy_lesson:ToyEncoder", "toy_lesson:ToyLesson"
    teach(TeachConfig(folder / "store", encoder, task=lesson, name="mine", device="cpu"))
    return folder / "store"


@pytest.fixture(scope="module")
def module_rig(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("rig") / "small.json"
    path.write_text('{"cameras": [[30, 0], [30, 120], [-30, 240]], "size": 32}')
    return path


@pytest.fixture(scope="module")
def runs(store, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    made = {}
    for name, teacher in (("distilled", "mine"), ("baseline", None)):
        made[name] = train(TrainConfig(store, folder / name, teacher=teacher, **QUICK))
        evaluate(made[name], device="cpu")
    return made


def test_every_term_of_the_loss_has_its_column(runs, store):
    assert (teacher_folder(Store(store), "mine") / "shape").is_dir()
    columns = {name: set(Run(path).metrics()[0]) for name, path in runs.items()}
    assert {"task_loss", "ShapeMatch_loss", "vafp_loss"} <= columns["distilled"]
    assert columns["baseline"] == columns["distilled"] - {"ShapeMatch_loss", "vafp_loss"}
    settings = Run(runs["distilled"]).meta["settings"]
    assert settings["objective"][0] == "toy_objective:ShapeMatch:2,power=2"


def test_it_is_compared_and_reported_in_its_own_words(runs, tmp_path):
    comparison = compare([runs["distilled"]], [runs["baseline"]])
    text = to_markdown(comparison_table(comparison))
    assert "| variant | seeds | closeness | closeness by class |" in text
    assert comparison.count == 2
    page = write_report([runs["distilled"], runs["baseline"]], tmp_path / "page.html")
    html = page.read_text(encoding="utf-8")
    assert "closeness" in html
    assert "ShapeMatch" in html
    assert "accuracy" not in html


def test_it_predicts(runs, furniture_root):
    chair = min((furniture_root / "chair" / "test").glob("*.off"))
    (found,) = predict(runs["distilled"], [chair], device="cpu")
    assert np.isfinite(found.height)
