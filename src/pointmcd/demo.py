"""The whole path on the embedded furniture set, in minutes on two cores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

from joblib import cpu_count

from pointmcd.data.labels import LabelRow, write_labels
from pointmcd.data.store import Store
from pointmcd.datasets.furniture import furniture10
from pointmcd.errors import RunError
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import Comparison
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.files import replacing
from pointmcd.inference.predict import predict
from pointmcd.labelling.propose import propose, shape_features
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.progress import console
from pointmcd.report.learning_curve import learning_curve_figure
from pointmcd.report.page import write_report
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.several import train_all
from pointmcd.typing import Floats

EPOCHS = 25
#: Seeds for each number of labels (None: all): as many as two cores have time for.
SEEDS: dict[int | None, tuple[int, ...]] = {20: (0,), 40: (0, 1, 2), None: (0,)}
#: The number that the page is about: about four labels of each class.
SHOWN = 40
#: Runs that are trained at a time, a core each: about half a gigabyte of memory.
MOST_AT_ONCE = 4
#: Small clouds and batches, for two cores and 160 train shapes.
OPTIONS = {"points": 256, "batch_size": 16, "objective": ("logits:9",)}


class Demo(NamedTuple):
    """Results of the demo.

    Attributes:
        rest: the comparison at few labels on all shapes whose labels no run knew.
        comparison: the same on the test shapes among them.
        page: the report.
        picture: of the accuracy over the number of labels.
    """

    rest: Comparison
    comparison: Comparison
    page: Path
    picture: Path


def demo(folder: Path, epochs: int = EPOCHS) -> Demo:
    """Prepare, label, teach, train, evaluate, compare and report, with few labels and with all.

    For each number of labels and each seed there are shapes that `pointmcd label` would propose,
    labelled as the set has them; a teacher that knows these labels alone, a PointNet that learns
    from them alone, and one that also learns from the teacher's answers for all train shapes. A
    seed is a choice of shapes, and a training.

    Args:
        folder: where to work; what is finished there is kept.
        epochs: passes over the train split, the same for all runs.

    Raises:
        PointMCDError: when the folder cannot be used.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is a file; give a folder")
    store = folder / "store"
    console.print("1/7 prepare: points, views and visibility of 254 shapes")
    prepare(PrepareConfig(furniture10(), store, shard_size=16))
    opened = Store(store)
    outside = len(opened.shapes) - len(opened.indices("test"))
    console.print(f"2/7 label: {SHOWN} of {outside} shapes as proposed; the set has the answers")
    features = shape_features(opened)
    files = {
        (count, seed): _label(folder, opened, features, count, seed)
        for count, seeds in SEEDS.items()
        for seed in seeds
    }
    console.print("3/7 teach: an image model learns the classes from few labels, and from all")
    for (_, seed), labels in files.items():
        teach(TeachConfig(store, labels=labels, seed=seed))
    console.print("4/7 train: PointNet alone, then the same distilled, from the same labels")
    shared: dict[str, Any] = {"epochs": epochs, **OPTIONS}
    runs: dict[tuple[str, int | None], list[Path]] = {}
    configs: list[TrainConfig] = []
    for name, teacher in (("baseline", None), ("distilled", "lite0")):
        for (count, seed), labels in files.items():
            out = folder / "runs" / f"{name}-{count or 'all'}-s{seed}"
            configs.append(
                TrainConfig(store, out, teacher=teacher, labels=labels, seed=seed, **shared)
            )
            runs.setdefault((name, count), []).append(out)
    train_all(configs, at_once=min(cpu_count(), MOST_AT_ONCE))
    console.print("5/7 evaluate and compare on shapes whose labels no run knew")
    every = [run for group in runs.values() for run in group]
    baseline, distilled = runs["baseline", SHOWN], runs["distilled", SHOWN]
    for run in every:
        evaluate(run)
    for run in (*baseline, *distilled):
        evaluate(run, "rest")
    rest = compare(distilled, baseline, split="rest")
    comparison = compare(distilled, baseline)
    picture = _draw(folder / "accuracy-by-labels.png", every)
    console.print("6/7 predict one test shape of each class from its points alone")
    _predict_some(folder / "shapes", distilled[0])
    console.print("7/7 report")
    page = write_report(distilled, folder / "report.html", baseline, every)
    return Demo(rest, comparison, page, picture)


def _label(
    folder: Path, store: Store, features: Floats, count: int | None, seed: int
) -> Path | None:
    """Write a label file of so many proposed shapes, with the classes that the set has."""
    if count is None:
        return None
    file = folder / f"labels-{count}-s{seed}.csv"
    if not file.exists():
        chosen = propose(store, count, [], features, seed=seed)
        shapes = [store.shapes[i] for i in chosen]
        write_labels(file, [LabelRow(shape.name, str(shape.label)) for shape in shapes])
    return file


def _draw(path: Path, runs: Sequence[Path]) -> Path:
    """Draw the accuracy over the number of labels."""
    figure = learning_curve_figure(compare(runs))
    assert figure is not None  # there are several numbers of labels
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    return path


def _predict_some(folder: Path, run: Path) -> None:
    """Unpack the first test shape of each class, and print what the run takes it for."""
    folder.mkdir(exist_ok=True)
    with ZipFile(furniture10()) as archive:
        tested = sorted(n for n in archive.namelist() if "/test/" in n and n.endswith(".off"))
        first = {name.split("/")[-3]: name for name in reversed(tested)}
        files = []
        for name in sorted(first.values()):
            files.append(folder / Path(name).name)
            files[-1].write_bytes(archive.read(name))
    for prediction in predict(run, files):
        said = prediction.cells()
        console.print(f"    {prediction.path.name}: {said['class']}, {said['confidence']} sure")
