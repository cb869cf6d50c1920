"""Lessons of one's own: taught and mapped like the shipped ones, and checked rule by rule."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from store_copies import copy_store, files_of
from toy_lesson import ToyLesson

from pointmcd import check_lesson, register_lesson
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, StoreError
from pointmcd.preparation.made_up import make_up_store
from pointmcd.progress import console
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.describe import describe_shapes
from pointmcd.teachers.lesson import LESSONS, LessonOptions
from pointmcd.teachers.lessons.classification import ClassificationLesson
from pointmcd.teachers.settings import command_for, teacher_name
from pointmcd.teachers.stored import check_labels, map_output, meant_name, resolve_teacher
from pointmcd.teachers.teach import teach
from pointmcd.teachers.trained import TrainedLesson

pytestmark = pytest.mark.usefixtures("one_thread")

TOY = {"teacher": "module:toy_lesson:ToyEncoder", "task": "toy_lesson:ToyLesson", "device": "cpu"}
EVERY = np.arange(18)


@pytest.fixture
def store(tiny_store, tmp_path):
    return copy_store(tiny_store, tmp_path / "store")


def test_a_lesson_and_an_encoder_of_ones_own_teach(store, cli):
    words = [word for name, value in TOY.items() for word in (f"--{name}", value)]
    status, out, err = cli("teach", store, *words, "--options", "width", "5")
    name = "module-toy_lesson-ToyEncoder-toy_lesson-ToyLesson"
    assert (status, out.splitlines()[-1].rpartition(" ")[0]) == (
        0,
        f"{store}/teachers/{name}: validation error",
    ), err
    opened = Store(store)
    meta = resolve_teacher(opened, name, "classification")
    assert meta["settings"] == {
        **{"teacher": TOY["teacher"], "task": TOY["task"], "name": name, "seed": 0},
        **{"epochs": 2, "batch_size": 8, "lr": 1e-3, "final_lr": 5e-6, "weight_decay": 1e-5},
        **{"width": 5, "encoder_weights": meta["settings"]["encoder_weights"]},
    }
    assert (meta["label_free"], meta["descriptor_size"]) == (True, 5)
    check_labels(meta, "--task pretrain", 0, 0)
    shapes = {"descriptors": (18, 3, 5), "shape": (18, 6), "features": (18, 3, 6)}
    mapped = {output: map_output(opened, meta, output, EVERY) for output in shapes}
    assert {output: rows.shape for output, rows in mapped.items()} == shapes
    assert np.allclose(mapped["shape"][:], mapped["features"][:].max(axis=1), atol=1e-2)
    with pytest.raises(StoreError, match=r"has no logits; it has descriptors, features, shape$"):
        map_output(opened, name, "logits", EVERY)


def test_a_registered_lesson_has_its_name_in_default_names(store, monkeypatch):
    monkeypatch.setattr(LESSONS, "_plugs", {name: LESSONS.get(name) for name in LESSONS.names()})
    assert register_lesson("toy")(ToyLesson) is ToyLesson
    folder = teach(TeachConfig(store, **TOY | {"task": "toy"}))
    assert folder.name == "module-toy_lesson-ToyEncoder-toy"
    assert command_for(folder.name) == f"--teacher {TOY['teacher']} --task toy"
    for lesson in ("toy", "classification", "segmentation"):
        assert meant_name(Store(store), folder.name, lesson) == folder.name
    assert meant_name(Store(store), "lite0", "toy") == "lite0-toy"
    assert meant_name(Store(store), "lite0-finetuned", "toy") == "lite0-finetuned"


def test_a_lesson_derived_from_another_has_its_own_default_name():
    class Derived(ClassificationLesson):
        pass

    config = TeachConfig("store", task="mine:Derived")
    assert teacher_name(ClassificationLesson, config) == "lite0"
    assert teacher_name(Derived, config) == "lite0-mine-Derived"


def test_a_teacher_of_it_is_kept_and_describes_other_stores(store, parts_store, tmp_path):
    config = TeachConfig(store, **TOY, options={"width": 4})
    folder = teach(config)
    before = files_of(store)
    assert teach(config) == folder
    assert files_of(store) == before
    with pytest.raises(StoreError, match="made with other settings"):
        teach(TeachConfig(store, **TOY, options={"width": "3"}))
    other = Store(copy_store(parts_store, tmp_path / "other"))
    assert np.concatenate([*describe_shapes(folder, other, torch.device("cpu"))]).shape == (
        24,
        3,
        4,
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"width": "0"}, "--options width 0: must be at least 1"),
        ({"width": "wide"}, "--options width: expected a value of type int"),
        ({"width": "1.5"}, "--options width: expected a value of type int"),
        ({"width": "true"}, "--options width: expected a value of type int"),
        ({"depth": "3"}, "--options depth: no lesson has that option"),
    ],
)
def test_options_of_it_that_cannot_be_meant(store, options, text):
    with pytest.raises(ConfigError) as caught:
        teach(TeachConfig(store, **TOY, options=options))
    assert str(caught.value) == text


@pytest.mark.parametrize("lesson", ["toy_lesson:ToyLesson", ToyLesson, *LESSONS.names()])
def test_lessons_that_keep_the_contract(lesson, capsys):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    check_lesson(lesson)
    assert torch.equal(torch.get_rng_state(), state)
    assert capsys.readouterr() == ("", "")
    assert not console.quiet


def test_the_lesson_of_the_documentation_keeps_the_contract():
    text = (Path(__file__).parents[2] / "docs" / "teachers.md").read_text()
    code = text[text.index("# my_lessons.py") :].partition("```")[0]
    names = {}
    exec(compile(code, "my_lessons.py", "exec"), names)
    check_lesson(names["Bottleneck"])


# Lessons with one fault each.


class NotFinished(TrainedLesson):
    label_free = True


@dataclass(frozen=True)
class NoDefault(LessonOptions):
    needed: int


class WithoutDefaults(ToyLesson):
    options_type = NoDefault


class BareOptions(ToyLesson):
    options_type = SimpleNamespace


class NoTeacher(ToyLesson):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        del self.teacher


class Falling(ToyLesson):
    def loss(self, indices):
        raise KeyError("heads")


class Peeking(ToyLesson):
    def loss(self, indices):
        self.store.labels(indices)
        return super().loss(indices)


class NoDescriptors(ToyLesson):
    def outputs(self, indices):
        return {"shape": super().outputs(indices)["shape"]}


class FlatDescriptors(ToyLesson):
    def outputs(self, indices):
        return {"descriptors": super().outputs(indices)["descriptors"].amax(dim=1)}


class Short(ToyLesson):
    def outputs(self, indices):
        return super().outputs(indices) | {"extra": torch.zeros(len(indices) - 1)}


class Infinite(ToyLesson):
    def outputs(self, indices):
        return super().outputs(indices) | {"extra": torch.full((len(indices),), torch.inf)}


class BadlyNamed(ToyLesson):
    def outputs(self, indices):
        return super().outputs(indices) | {"../extra": torch.zeros(len(indices))}


class Named(ToyLesson):
    def outputs(self, indices):
        return super().outputs(indices) | {"features": torch.zeros(len(indices))}


class Neighbourly(ToyLesson):
    def outputs(self, indices):
        outputs = super().outputs(indices)
        return outputs | {"shape": outputs["shape"] - outputs["shape"].mean(dim=0)}


class Random(ToyLesson):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.shift = np.random.default_rng().normal()

    def outputs(self, indices):
        return super().outputs(indices) | {"extra": torch.full((len(indices),), self.shift)}


class Forgetful(ToyLesson):
    shift = 0.0

    def fit(self):
        super().fit()
        self.shift = 1.0

    def outputs(self, indices):
        return super().outputs(indices) | {"extra": torch.full((len(indices),), self.shift)}


class OddScores(ToyLesson):
    def scores(self):
        return {"val_error": torch.zeros(2)}


class LongLine(ToyLesson):
    @classmethod
    def describe_scores(cls, scores):
        return "one\ntwo"


class Stuck(ToyLesson):
    finetunes = True

    def prepare(self):
        if self.config.finetune:
            raise ValueError("frozen")
        super().prepare()


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    """The store on which lessons are checked, made once. To be copied."""
    return make_up_store(tmp_path_factory.mktemp("made-up")).path


@pytest.mark.parametrize(
    ("lesson", "text"),
    [
        (dict, "is not a class derived from pointmcd.teachers.lesson.Lesson"),
        (NotFinished, "lacks the methods loss, outputs"),
        (WithoutDefaults, "default_options fails: TypeError: .*needed"),
        (BareOptions, "options_type must be a dataclass derived from LessonOptions"),
        (NoTeacher, "sets no torch module self.teacher"),
        (Falling, "fit fails: KeyError: 'heads'"),
        (Peeking, "fit reads a label, though label_free says that none is"),
        (NoDescriptors, r"output descriptors: none; expected \[10, 3, D\]"),
        (FlatDescriptors, r"output descriptors: \[10, 8\]; expected \[10, 3, D\]"),
        (Short, r"output extra: \[9\] for 10 shapes"),
        (Infinite, "output extra: values that are not finite"),
        (BadlyNamed, "output '../extra': expected a lower-case word"),
        (Named, "output 'features': expected a lower-case word, once"),
        (Neighbourly, "output shape: of a shape, changes with the others asked for"),
        (Random, "output extra: values differ from one training to the next"),
        (Forgetful, "output extra: values change once the teacher's weights are loaded"),
        (OddScores, "scores fails: TypeError: .*Tensor is not JSON"),
        (LongLine, r"summary returns 'one\\ntwo'; expected one line"),
        (Stuck, "prepare fails: ValueError: frozen"),
    ],
)
def test_a_lesson_that_breaks_a_rule_is_told_which(lesson, text, made_up, monkeypatch):
    copied = lambda folder: Store(copy_store(made_up, folder / "store"))  # noqa: E731
    monkeypatch.setattr("pointmcd.teachers.check.make_up_store", copied)
    with pytest.raises(ConfigError, match=rf"^lesson {lesson.__name__}: {text}") as caught:
        check_lesson(lesson)
    assert "\n" not in str(caught.value)


def test_a_lesson_that_is_not_there():
    with pytest.raises(ConfigError, match="lesson no_such:Lesson: cannot be imported"):
        check_lesson("no_such:Lesson")
