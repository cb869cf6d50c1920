"""The whole path on the embedded furniture set, in minutes on two cores."""

from pathlib import Path
from typing import Any
from zipfile import ZipFile

from pointmcd.datasets.furniture import furniture10
from pointmcd.errors import RunError
from pointmcd.evaluation.compare import Comparison, compare
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.inference.predict import predict
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.progress import console
from pointmcd.report.page import write_report
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.train import train

EPOCHS = 40
POINTS = 512
#: Small batches: 32 shapes a step would leave five steps an epoch.
BATCH_SIZE = 16


def demo(folder: Path, epochs: int = EPOCHS) -> tuple[Comparison, Path]:
    """Prepare, teach, train a baseline and a distilled PointNet, evaluate, compare and report.

    Args:
        folder: where to work; what is finished there is kept.
        epochs: passes over the train split, the same for both runs.

    Returns:
        The comparison of the two runs, and the page.

    Raises:
        PointMCDError: when the folder cannot be used.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is a file; give a folder")
    store = folder / "store"
    console.print("1/6 prepare: points, views and visibility of 254 shapes")
    prepare(PrepareConfig(furniture10(), store, shard_size=16))
    console.print("2/6 teach: descriptors of the views by an image model")
    teach(TeachConfig(store))
    console.print("3/6 train: PointNet alone, then the same distilled")
    options: dict[str, Any] = {"epochs": epochs, "points": POINTS, "batch_size": BATCH_SIZE}
    baseline, distilled = (
        train(TrainConfig(store, folder / "runs" / name, teacher=teacher, **options))
        for name, teacher in (("baseline", None), ("distilled", "lite0"))
    )
    console.print("4/6 evaluate and compare on the test split")
    for run in (baseline, distilled):
        evaluate(run)
    comparison = compare([distilled], [baseline])
    console.print("5/6 predict one chair from its points alone")
    _predict_one(folder, distilled)
    console.print("6/6 report")
    return comparison, write_report([distilled], folder / "report.html", [baseline])


def _predict_one(folder: Path, run: Path) -> None:
    with ZipFile(furniture10()) as archive:
        name = min(n for n in archive.namelist() if "/chair/test/" in n and n.endswith(".off"))
        file = folder / Path(name).name
        file.write_bytes(archive.read(name))
    for prediction in predict(run, [file]):
        said = prediction.cells()
        console.print(f"    {file.name}: {said['class']}, {said['confidence']} sure")
