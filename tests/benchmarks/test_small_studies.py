"""Whole studies on a few shapes, from the meshes to the page."""

import shutil
import sys
import zipfile
from functools import partial
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from dataset_layouts import write_modelnet_npy
from store_copies import copy_store

from benchmarks.corruptions import __main__ as corruptions
from benchmarks.differences import __main__ as differences
from benchmarks.few_labels import __main__ as few_labels
from benchmarks.few_labels import figure
from benchmarks.hidden_points import __main__ as hidden_points
from benchmarks.hidden_points import cloud_views
from benchmarks.labelling import __main__ as labelling
from benchmarks.labelling import students as labelled_students
from benchmarks.modelnet40 import __main__ as modelnet40
from benchmarks.modelnet40.cost import cost
from benchmarks.pretrained import __main__ as pretrained
from benchmarks.propagation import __main__ as propagation
from benchmarks.psb25 import __main__ as psb25
from benchmarks.psb_parts17 import __main__ as psb_parts17
from benchmarks.shared.trials import BOTH, Trial, unpack_some
from benchmarks.teachers import __main__ as teachers
from benchmarks.twins import __main__ as twins
from benchmarks.unsupervised import __main__ as unsupervised
from benchmarks.unsupervised import runs
from pointmcd.data.store import Store
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.files import read_json
from pointmcd.inference.predictor import open_predictor
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lessons.classification import ClassificationOptions
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.train import train

pytestmark = pytest.mark.slow
TRIALS = (Trial("pointnet", 1, (0, 1), BOTH),)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """A caller of a study's command: its page is written to a folder of the test and returned."""

    def call(study, *arguments):
        monkeypatch.setattr(study, "PAGE", tmp_path / "README.md")
        monkeypatch.setattr(sys, "argv", ["study", *map(str, arguments)])
        study.main()
        return (tmp_path / "README.md").read_text(encoding="utf-8")

    return call


def zipped(folder, target, name):
    """A folder of meshes as NAME/... in a zip."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, f"{name}/{path.relative_to(folder)}")


def test_psb25(run, monkeypatch, tiny_store, tmp_path):
    monkeypatch.setattr(psb25, "POINTS", 64)
    monkeypatch.setattr(psb25, "TRIALS", TRIALS)
    page = run(psb25, tiny_store.parent / "meshes", tmp_path / "work")
    assert "3 classes: 9 train, 3 validation" in page
    assert "| random-lite0 | 1 - cosine | " in page
    assert "## pointnet, 1 epochs, seeds 0, 1" in page
    assert "| overall accuracy, last epoch | seed 0 | seed 1 |" in page


def test_psb_parts17(run, monkeypatch, labelled_meshes, tmp_path):
    monkeypatch.setattr(psb_parts17, "POINTS", 64)
    monkeypatch.setattr(psb_parts17, "TRIALS", TRIALS)
    monkeypatch.setattr(psb_parts17, "TeachConfig", partial(TeachConfig, epochs=1))
    page = run(psb_parts17, labelled_meshes, tmp_path / "work")
    assert "Teacher `lite0-segmentation`, 1 epochs: pixel mIoU" in page
    assert len([line for line in page.splitlines() if line.startswith("| distilled, ")]) == 3
    assert "| instance miou, last epoch | seed 0 | seed 1 |" in page


def test_without_labels_and_corrupted(run, monkeypatch, tiny_store, tmp_path):
    data, work = tmp_path / "data", tmp_path / "work"
    data.mkdir()
    for name in ("psb25", "psb_parts17", "furniture10"):
        zipped(tiny_store.parent / "meshes", data / f"{name}.zip", name)
    for study in (runs, unsupervised, corruptions):
        monkeypatch.setattr(study, "POINTS", 64)
        monkeypatch.setattr(study, "EPOCHS", {"pointnet": 1})
    for study in (runs, unsupervised):
        monkeypatch.setattr(study, "SEEDS", {"pointnet": (0,)})
        monkeypatch.setattr(study, "PRETRAIN_EPOCHS", {"pointnet": 1})
    monkeypatch.setattr(unsupervised, "PICTURE", tmp_path / "bars.png")
    page = run(unsupervised, data, work)
    assert "| pointnet, pretrained without labels | " in page
    assert "## pointnet fine-tuned on psb25 with 10% of the labels (3 shapes), 1 epochs" in page
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(corruptions, "SEEDS", (0,))
    page = run(corruptions, data, work)
    assert "| occlusion | " in page
    assert "| distilled | 1 (seed 0) | " in page


def test_hidden_points(run, monkeypatch, tmp_path):
    some = [mesh for _, mesh in zip(range(2), hidden_points.meshes("test"), strict=False)]
    monkeypatch.setattr(hidden_points, "meshes", lambda split: some)
    monkeypatch.setattr(hidden_points, "VIEWS", {300: 3, 600: 1})
    monkeypatch.setattr(hidden_points, "KEPT", 100)
    monkeypatch.setattr(cloud_views, "COUNTS", (200,))
    monkeypatch.setattr(cloud_views, "SCANNED", 200)
    rows = tmp_path / "rows.json"
    page = run(hidden_points, "--rows", rows)
    assert "| 0.5% | 600 | " in page
    assert "| three, noise 1% | " in page
    assert (tmp_path / "hidden_points.png").read_bytes().startswith(b"\x89PNG")
    assert run(hidden_points, "--rows", rows) == page


def test_teachers(run, monkeypatch, tiny_store, tmp_path):
    monkeypatch.setattr(teachers, "ENCODERS", ("lite0", "module:own_encoders:Means"))
    monkeypatch.setattr(teachers, "VIEWS", (0, 2))
    monkeypatch.setattr(teachers, "DRAWS", 2)
    monkeypatch.setattr(teachers, "ClassificationOptions", partial(ClassificationOptions, epochs=1))
    page = run(teachers, tiny_store, tmp_path / "work")
    assert "3 validation shapes of 3 classes in percent, 10% of the labels, draws 0 to 1" in page
    assert len([line for line in page.splitlines() if line.startswith("| ")]) == 2 + 2 + 1 + 3


def test_propagation(run, tiny_store, tmp_path):
    store = copy_store(tiny_store, tmp_path / "store")
    page = run(propagation, store, "tiny", "--fraction", 0.34, "--draws", 2)
    assert "## tiny, 34% of the labels" in page
    assert "| with spread classes | " in page
    assert "| difference | " in page


def test_accuracy_by_heading(trained_run, tiny_store, tmp_path):
    folder = shutil.copytree(trained_run, tmp_path / "run")
    found = [*pretrained.by_heading(folder, Store(tiny_store))]
    assert len(found) == len(pretrained.HEADINGS)
    assert found[0] == pytest.approx(evaluate(folder, device="cpu")["last"].overall_accuracy)
    store, trained = Store(tiny_store), open_predictor(folder, "last", torch.device("cpu"))
    assert store.up == "y"
    indices = store.indices("test")
    x, y, z = torch.from_numpy(np.array(store.points(indices, trained.points))).unbind(dim=2)
    with torch.inference_mode():
        said = trained.model(torch.stack([z, y, -x], dim=2)).argmax(dim=1).numpy()
    assert found[pretrained.HEADINGS.index(90)] == (said == store.labels(indices)).mean()


def test_few_labels(run, monkeypatch, tiny_store, tmp_path):
    settings = ("--points", 32, "--epochs", 1, "--fraction", 0.34)
    call = (few_labels, tiny_store.parent / "meshes", tmp_path / "work", *settings)
    variants = ("baseline", "logits", "vafp-random", "logits-smoothed")
    page = run(*call, "--seeds", 1, "--variants", *variants, "--at-once", 2)
    assert (
        "`vafp:3`, of an encoder with random weights (`--seeds 1 --variants baseline vafp-random`):"
    ) in page
    assert (
        "`python -m benchmarks.few_labels ../shared/data/meshes WORK --fraction 0.34 --epochs 1"
        " --points 32`, with the options of each table:"
    ) in page
    assert "## meshes, 32 points, 1 epochs, 34% of the labels" in page
    assert "Trained on cpu with torch " in page
    assert page.count("| distilled | 1 (seed 0) | ") == 2  # two teachers
    page = run(*call, "--seeds", 3, "--variants", "baseline", "logits", "--together")
    assert page.count("| distilled | 3 (0, 1, 2) | ") == 1
    monkeypatch.setattr(figure, "FRACTIONS", (0.34,))
    monkeypatch.setattr(figure, "CURVE", tmp_path / "curve.png")
    arguments = ["figure", str(tmp_path / "work"), "--curve", *map(str, settings[:4])]
    monkeypatch.setattr(sys, "argv", arguments)
    figure.main()
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_few_labels_of_all_of_train(run, tiny_store, tmp_path):
    settings = ("--points", 32, "--epochs", 1, "--fraction", 0.34, "--val-fraction", 0)
    call = (few_labels, tiny_store.parent / "meshes", tmp_path / "work", *settings)
    options = ("--labels-alone", "--title", ", few")
    page = run(*call, "--seeds", 1, "--variants", "baseline", "logits", *options)
    title = "## meshes, few, 32 points, 1 epochs, teachers of the labels alone, no validation part"
    assert f"{title}, 34% of the labels" in page
    command = "--labels-alone --title ', few' --seeds 1 --variants baseline logits`:"
    assert f" --val-fraction 0.0 {command}" in page
    assert "`logits:9`:" in page
    (teacher,) = (tmp_path / "work/store/teachers").glob("*/teacher.json")
    assert read_json(teacher)["settings"]["propagate"] is False
    assert " 0 validation " in page


def test_few_labels_as_clouds_beside_other_shapes(run, tiny_store, tmp_path):
    source, other = tiny_store.parent / "meshes", tmp_path / "other"
    prepare(PrepareConfig(few_labels.clouds_of(source, other), other / "store", seed=1))
    settings = ("--points", 32, "--epochs", 1, "--fraction", 1, "--clouds", "--unlabelled")
    call = (few_labels, source, tmp_path / "work", *settings, other / "store")
    page = run(*call, "--seeds", 1, "--variants", "baseline", "logits")
    assert "## meshes as clouds, 32 points, 1 epochs, 12 unlabelled shapes, 100% of the la" in page
    assert page.count("| distilled | 1 (seed 0) | ") == 1


def test_differences(run, tiny_store, tmp_path):
    settings = ("--points", 32, "--epochs", 1, "--seeds", 1)
    for (task, student), variants in differences.VARIANTS.items():
        if task != "classification":
            continue  # these meshes have no parts
        call = (differences, tiny_store.parent / "meshes", tmp_path / "work", *settings)
        page = run(*call, "--student", student)
        own = page.partition(f"## meshes, {student}, 32 points, 1 epochs")[2]
        assert own.count("| 1 (seed 0) | ") == len(variants)


def test_students_of_chosen_labels(run, monkeypatch, tiny_store, tmp_path):
    monkeypatch.setattr(labelling, "FRACTIONS", (0.3, 0.5))
    settings = ("--points", 32, "--epochs", 1, "--seeds", 2, "--stored", 64)
    call = (labelled_students, tiny_store.parent / "meshes", tmp_path / "work", *settings)
    (tmp_path / "README.md").write_text("# Which shapes to label\n")
    page = run(*call, "--together")
    assert "WORK --seeds 2 --stored 64 --points 32 --epochs 1`. 6 labels; pointnet, 32" in page
    assert "differ in" not in page
    for variant in BOTH:
        for strategy in ("random", "typical"):
            assert f"| {variant} (labels by {strategy}) | 2 (0, 1) | " in page
    assert "The teachers themselves, means: random " in page
    assert run(*call) == page
    store = tmp_path / "work" / "store"
    teach(TeachConfig(store, task="features"))
    began = {"task": "pretrain", "epochs": 1, "points": 32}
    start = train(TrainConfig(store, store.with_name("began"), **began))
    more = run(*call, "--strategies", "typical", "--init", start)
    assert "--strategies typical --init WORK/began`. 6 labels" in more
    _, _, own = more.partition("## meshes, students, from began\n")
    assert "| finetuned-distilled | 2 (0, 1) | " in own
    assert more.replace(f"\n\n## meshes, students, from began\n{own}", "\n") == page


def test_modelnet40(run, furniture_root, tmp_path):
    clouds = write_modelnet_npy(furniture_root, tmp_path / "clouds")
    sizes = ("--stored", 64, "--points", 32, "--epochs", 1, "--pretrain-epochs", 1, "--seeds", 1)
    call = (modelnet40, clouds, tmp_path / "work", *sizes, "--workers", 1)
    page = run(*call)
    assert "3 classes, " in page
    assert "| prepare | " in page
    assert "| teach | " in page
    assert "## pointnet, 100% of the labels" in page
    assert "## pointnet, 10% of the labels (3 shapes), fitted on train" in page
    assert "pointmcd prepare modelnet40:clouds STORE --points 64" in page
    assert "pointmcd teach STORE --label-fraction 0.1 --seed 0" in page
    assert "## pointnet, 100% of the labels (6 shapes), fitted on train+val" in page
    assert "--epochs 1 --seed 0 --fit-on train+val --no-distill" in page
    assert "| distilled | 1 (seed 0) | " in page
    assert "| pointnet-pretrained-s0 | " in page
    assert "| PointNet | 89.2 | " in page
    assert run(*call) == page  # goes on where it ended: nothing is left to do
    assert run(*call, "--page", "--fractions", 1) == page  # the sections of others stay
    alone = ("--points", 16, "--fractions", 1, "--fit-on", "train", "--variants", "baseline")
    more = run(*call, *alone, "--no-probe", "--at-once", 2)
    assert "fitted on train, 16 points, 1 epochs" in more
    assert more.count("| distilled | ") == page.count("| distilled | ")
    shapes, *seconds = cost(f"modelnet40:{clouds}", 3, tmp_path / "cost")
    assert shapes == 9
    assert all(0 < each < 60 for each in seconds)


def test_some_shapes_of_a_large_set(tmp_path):
    """The first of each list by name, or drawn at random, the same ones each time."""
    names = [f"block/{number:03}" for number in range(40)]
    with ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("set/parts.json", "{}")
        for split in ("train", "test"):
            archive.writestr(f"set/{split}.txt", "\n".join(names))
        for name in names:
            archive.writestr(f"set/{name}.off", name)
            archive.writestr(f"set/{name}.seg", "0")
    for drawn in (False, True):
        folders = [tmp_path / f"{drawn}{number}" for number in (1, 2)]
        lists = []
        for folder in folders:
            unpack_some(tmp_path / "set.zip", folder, 10, drawn)
            lists.append((folder / "train.txt").read_text().split())
            tested = (folder / "test.txt").read_text().split()
            assert len(tested) == 5
            written = {*lists[-1], *tested}
            assert {f"block/{file.stem}" for file in folder.glob("block/*.off")} == written
        assert lists[0] == lists[1]
        assert (lists[0] == names[:10]) == (not drawn)
        assert len({*lists[0]}) == 10


def test_twins_are_counted_among_copies_and_parts():
    pairs = list(twins.variants("L bracket", 1.2))
    copies = [(part, part) for part, _ in pairs[:2]]
    assert twins.counted(iter(copies), twins.even(512)) == "2 of 2"
    assert twins.counted(iter(pairs[:2]), twins.chance(1024)) == "0 of 2"
    rows = [["a, 3%", "1 of 2"], ["b, 3%", "2 of 4"], ["a, 20%", "0 of 2"]]
    assert twins.summed(rows)[0] == ["**all, 3%**", "3 of 6"]
