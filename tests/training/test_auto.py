"""Whether to distil: the rule, and what it is decided from."""

from pathlib import Path

import pytest
from store_copies import copy_store, edit_shapes

from pointmcd.data.store import Store
from pointmcd.evaluation.evaluate import evaluate_teacher
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training import auto
from pointmcd.training.auto import decide
from pointmcd.training.config import beside
from pointmcd.training.run import Run

pytestmark = pytest.mark.usefixtures("one_thread")
GOES = {"teacher": "lite0", "objective": ()}


@pytest.fixture
def lead(monkeypatch):
    def of(points):
        monkeypatch.setattr(auto, "_lead", lambda *_: (points, "measured"))

    return of


@pytest.mark.parametrize(("ahead", "distils"), [(30, True), (8, True), (7.9, False), (-1, False)])
def test_with_all_labels_the_teacher_must_be_well_ahead(make, lead, ahead, distils):
    lead(ahead)
    config, reason = decide(make("a", **GOES))
    assert reason.startswith("distils: " if distils else "does not distil: ")
    assert "9 of 9 train shapes have labels; measured" in reason
    assert config.teacher == ("lite0" if distils else None)
    assert config.objectives == (("logits:9",) if distils else ())


@pytest.mark.parametrize(("ahead", "distils"), [(3, True), (-5, True), (-5.1, False)])
def test_with_few_labels_it_may_be_a_little_behind(
    make, lead, few_teacher, ahead, distils, monkeypatch
):
    lead(ahead)
    monkeypatch.setattr(auto, "LEAST_SHAPES", 1)
    config, reason = decide(make("a", few_teacher, label_fraction=0.34, **GOES))
    assert "3 of 9 train shapes have labels" in reason
    assert config.teacher == ("lite0" if distils else None)


@pytest.fixture(scope="module")
def few_teacher(taught_store, tmp_path_factory):

    store = copy_store(taught_store, tmp_path_factory.mktemp("auto") / "store")
    teach(TeachConfig(store, label_fraction=0.34, epochs=1, device="cpu"))
    return store


def test_what_is_measured(make, taught_store):
    config = make("a", **(GOES | {"epochs": 5}))
    decision = decide(config)
    quick = Run(config.folder.with_name("a-quick"))
    assert quick.meta["arm"] == "baseline"
    assert quick.config.epochs == 5  # a quarter would be fewer than 250 steps
    ours = quick.metrics()[-1]["val_accuracy"]
    assert f" overall accuracy, a quick baseline {ours:.1%}, " in decision.reason
    assert (
        f"on {len(Store(taught_store).indices('val'))} validation shapes lite0" in decision.reason
    )


def test_parts_are_measured_too(make, taught_parts, tmp_path, monkeypatch):
    store = copy_store(taught_parts, tmp_path / "store")
    teach(TeachConfig(store, task="segmentation", epochs=1, label_fraction=0.34, device="cpu"))
    monkeypatch.setattr(auto, "LEAST_SHAPES", 1)
    few = GOES | {"task": "segmentation", "label_fraction": 0.34}
    config = make("a", store, **few)
    decision = decide(config)
    ours = Run(config.folder.with_name("a-quick")).metrics()[-1]["val_part_miou"]
    teacher = store / "teachers" / "lite0-segmentation-0.34-s0"
    theirs = evaluate_teacher(teacher, "val").part_miou
    assert f"{theirs:.1%} part mIoU, a quick baseline {ours:.1%}, " in decision.reason
    assert "(+0 or more pay)" in decision.reason
    assert decision.config.teacher == ("lite0" if theirs >= ours else None)
    assert config.teacher == "lite0"


def test_the_choice_of_objectives_stays(make, lead):
    lead(30)
    options = GOES | {"objective": ("logits:2", "vafp:1")}
    assert decide(make("a", **options)).config.objectives == ("logits:2", "vafp:1")


def test_a_quick_baseline_is_a_quarter_of_a_long_training(make, monkeypatch):
    monkeypatch.setattr(auto, "_QUICK_STEPS", 1)
    config = make("a", **(GOES | {"epochs": 5}))
    decide(config)
    assert Run(config.folder.with_name("a-quick")).config.epochs == 2  # and the rest


def test_few_validation_shapes_leave_nothing_out(make, few_teacher, lead, monkeypatch):
    lead(-100)
    config, reason = decide(make("a", few_teacher, label_fraction=0.34, **GOES))
    assert (config.teacher, config.objectives) == ("lite0", ("logits:9",))
    assert reason.endswith("3 validation shapes are too few to measure on")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"teacher": None}, "does not distil: has no teacher"),
        (
            {"teacher": "lite0-features"},
            "does not distil: 9 of 9 train shapes have labels, and the",
        ),
        ({"teacher": "lite0-features", "task": "pretrain"}, "distils: --task pretrain learns noth"),
    ],
)
def test_what_cannot_be_compared(make, taught_store, options, says, tmp_path):

    store = copy_store(taught_store, tmp_path / "store")
    teach(TeachConfig(store, task="features", device="cpu"))
    config = make("a", store, **(GOES | options))
    found = decide(config)
    assert found.reason.startswith(says)
    assert found.config.objective == config.objective
    assert found.config.teacher == (config.teacher if says.startswith("distils") else None)


def test_a_folder_beside_one_that_is_named_by_dots(tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path / "runs")
    assert beside(Path("a/b"), "quick") == Path("a/b-quick")
    assert beside(Path(), "quick") == tmp_path / "runs-quick"
    assert beside(Path(".."), "s0") == tmp_path.with_name(f"{tmp_path.name}-s0")


def test_without_validation_it_goes_by_the_labels(make, taught_store, tmp_path):

    store = copy_store(taught_store, tmp_path / "store", without=("teachers",))

    def no_val(shape):
        shape["split"] = "train" if shape["split"] == "val" else shape["split"]

    edit_shapes(store, no_val)
    teach(TeachConfig(store, epochs=1, device="cpu"))
    teach(TeachConfig(store, epochs=1, label_fraction=0.3, device="cpu"))
    config, reason = decide(make("a", store, **GOES))
    assert (config.teacher, reason.split(":")[0]) == (None, "does not distil")
    config, reason = decide(make("b", store, label_fraction=0.3, **GOES))
    assert (config.teacher, reason.split(":")[0]) == ("lite0", "distils")
