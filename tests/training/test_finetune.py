"""Training that starts from another run's student, and with a share of the labels."""

import itertools
from pathlib import Path

import pytest
import torch
from trainers import trainer_of

from pointmcd.checkpoint import load_checkpoint, save_checkpoint, under_prefix
from pointmcd.data.splits import keep_share, labelled_train
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, RunError, StoreError
from pointmcd.inference.export import export_run
from pointmcd.inference.pretrained import from_pretrained
from pointmcd.students.registry import create_student
from pointmcd.tasks.task import Labels, get_task
from pointmcd.training.config import TrainConfig
from pointmcd.training.finetune import Start, open_start, start_from
from pointmcd.training.run import Run
from pointmcd.training.several import learning_curve
from pointmcd.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")


def student_of(run):
    return under_prefix("model.student", load_checkpoint(run / "last.safetensors")[0])


@pytest.fixture
def first(make):
    return train(make("first", seed=5))


def test_training_starts_from_the_weights_of_the_run(make, first):
    trainer = trainer_of(make("second", init=first))
    started = trainer.module.student.state_dict()
    for name, tensor in student_of(first).items():
        assert torch.equal(started[name], tensor), name


def test_only_the_student_is_taken_over(make, first):
    fresh = trainer_of(make("fresh")).module.head.state_dict()
    tuned = trainer_of(make("tuned", init=first)).module.head.state_dict()
    assert all(torch.equal(fresh[name], tuned[name]) for name in fresh)


def test_the_run_says_where_it_started(make, first):
    run = Run(train(make("second", init=first)))
    start = run.meta["init"]
    assert run.meta["arm"] == "finetuned"
    assert start["run"] == str(first.resolve())
    assert len(start["fingerprint"]) == 16  # another length would part runs from older ones
    assert (start["seed"], start["task"], start["student"]) == (
        *(5, "classification", "tiny_student:TinyStudent"),
    )
    assert run.config.init == first


def test_another_start_is_another_run(make, first):
    config = make("second", init=first)
    train(config)
    other = train(make("other", seed=6))
    with pytest.raises(RunError, match="holds a run that differs in init"):
        train(make("second", init=other))
    with pytest.raises(RunError, match="holds a run that differs in init"):
        train(make("second"))
    assert train(config) == config.folder  # the same one is kept


def test_a_start_that_moved_is_the_same_start(make, first):
    folder = train(make("second", init=first))
    moved = first.rename(first.with_name("moved"))
    assert train(make("second", init=moved)) == folder


def test_exported_weights_are_the_same_start_as_their_run(make, first, tmp_path):
    weights = export_run(first, "safetensors", tmp_path / "weights")
    folder = train(make("second", init=first))
    assert train(make("second", init=weights)) == folder  # the same fingerprint
    started = trainer_of(make("other", init=weights)).module.student.state_dict()
    assert all(torch.equal(started[name], tensor) for name, tensor in student_of(first).items())
    start = Run(train(make("other", init=weights))).meta["init"]
    assert start["run"] == str(weights)
    wanted = Run(folder).meta["init"]
    assert {**start, "run": None} == {**wanted, "run": None}


def test_exported_weights_know_the_labels_of_their_run(make, first, tmp_path):
    weights = export_run(first, "safetensors", tmp_path / "weights")
    with pytest.raises(ConfigError, match=f"--init {weights}: learnt from labels of this store"):
        train(make("few", init=weights, label_fraction=0.5))
    fitted = export_run(train(make("all", fit_on="train+val")), "safetensors", tmp_path / "fitted")
    with pytest.raises(ConfigError, match="labels of this store's validation split"):
        train(make("tuned", init=fitted))
    # So do weights that start from weights, and exports of before that was kept, of stores that
    # were known without their coordinates.
    again = train(make("again", init=fitted, fit_on="train+val"))
    tensors, state = load_checkpoint(weights / "model.safetensors")
    made = state["about"]["run"]
    del made["labels_of"], made["validation_of"]
    store = Run(first).open_store()
    (older,) = store.own_fingerprints - {store.own_fingerprint}
    made["store_fingerprint"] = made["own_fingerprint"] = older
    save_checkpoint(weights / "model.safetensors", tensors, state)
    for place in (again, export_run(again, "safetensors", tmp_path / "again"), weights):
        with pytest.raises(ConfigError, match="learnt from labels of this store"):
            train(make("few", init=place, label_fraction=0.5, fit_on="train+val"))


def test_weights_that_come_along_are_a_start(make):
    trainer = trainer_of(make("tuned", student="pointnet2", init="pointnet2-ldraw32"))
    wanted = from_pretrained("pointnet2-ldraw32").student.state_dict()
    started = trainer.module.student.state_dict()
    assert all(torch.equal(started[name], tensor) for name, tensor in wanted.items())
    with pytest.raises(ConfigError, match=r"--init pointnet2-lego: is no run folder.*ldraw32"):
        train(make("tuned", student="pointnet2", init="pointnet2-lego"))


def test_another_student_is_refused(make, first):
    with pytest.raises(ConfigError, match=r"--init .*: is a tiny.*give --student tiny_stud"):
        train(make("second", student="pointnet", init=first))


def test_the_same_name_with_other_layers_is_refused(make, first):
    model = get_task("classification").build_model("pointnet", Labels(list("abc")))
    with pytest.raises(RunError, match=r"--init .*: its tiny_student:TinyStudent does not fit"):
        start_from(model, open_start(first))


def test_a_run_does_not_start_from_itself(make, first):
    with pytest.raises(ConfigError, match="is the run's own folder"):
        train(make("first", init=first, overwrite=True))
    assert Run(first).finished


def test_a_share_does_not_start_from_all_labels(make, first, parts_store):
    with pytest.raises(ConfigError, match=r"--init .*first: learnt from labels of this store"):
        train(make("second", init=first, label_fraction=0.5))
    # Nor by way of another run that did.
    second = train(make("second", init=first))
    elsewhere = make("parts", parts_store, task="segmentation", init=second, epochs=1)
    with pytest.raises(ConfigError, match="learnt from labels of this store"):
        train(make("third", init=train(elsewhere), label_fraction=0.5))


def test_an_unfinished_run_is_refused(make, first):
    run = Run(first)
    run.meta["finished"] = False
    (first / "run.json").write_text(__import__("json").dumps(run.meta))
    with pytest.raises(RunError, match="not finished"):
        train(make("second", init=first))


def test_what_is_no_run_is_refused(make, tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere: is no run folder, no folder of exported we"):
        train(make("second", init=tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match="is not a run folder"):
        train(make("second", init=tmp_path / "empty"))
    with pytest.raises(ConfigError, match=f"give its folder, {tmp_path / 'empty'}"):
        train(make("second", init=tmp_path / "empty" / "model.safetensors"))


@pytest.mark.parametrize("student", ["pointnet", "pointnet2"])
def test_a_students_trunk_fits_into_its_form_for_parts(student):
    trunk = create_student(student).state_dict()
    whole = create_student(student, dense=True, published=False).state_dict()
    missing = [
        name for name in trunk if name not in whole or whole[name].shape != trunk[name].shape
    ]
    assert not missing


def test_dgcnn_is_told_how_to_be_pretrained_for_parts():
    tensors = create_student("dgcnn").state_dict()
    start = Start(Path("first"), tensors, {"task": "pretrain", "student": "dgcnn"}, ())
    model = get_task("segmentation").build_model(
        "dgcnn", Labels(["a", "b"], {"a": ["1", "2"], "b": ["1", "2", "3"]})
    )
    with pytest.raises(RunError, match="--task pretrain,dense=true if it is to label parts"):
        start_from(model, start)


def test_classes_to_parts(make, parts_store, first):
    config = make(
        *("parts", parts_store), task="segmentation", init=first, label_fraction=0.5, epochs=1
    )
    run = Run(train(config))
    assert run.finished
    assert run.meta["shapes"]["train"] == 6  # half of 12


# A share of the labels


def shares(count, fraction, seed=0, classes=3):
    names = [f"shape{i}" for i in range(count)]
    labels = ["abc"[i % classes] for i in range(count)]
    return [names[i] for i in keep_share(names, labels, fraction, seed)], names, labels


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.99, 1.0])
def test_every_class_keeps_its_share_and_at_least_one(fraction):
    kept, names, labels = shares(90, fraction)
    for label in "abc":
        own = [n for n, of in zip(names, labels, strict=True) if of == label]
        assert len(set(own) & set(kept)) == max(round(30 * fraction), 1)


def test_a_class_of_one_keeps_it():
    assert keep_share(["a", "b"], ["x", "y"], 0.01, 0) == [0, 1]


def test_a_larger_share_holds_a_smaller_one():
    sets = [set(shares(60, fraction)[0]) for fraction in (0.05, 0.1, 0.2, 0.5, 1.0)]
    assert all(small <= large for small, large in itertools.pairwise(sets))


def test_another_seed_another_share():
    assert shares(60, 0.1)[0] != shares(60, 0.1, seed=1)[0]


def test_training_sees_only_the_share_as_often_as_it_takes(make, taught_store):
    store = Store(taught_store)
    config = make("a", label_fraction=0.34)
    trainer = trainer_of(config)
    assert list(trainer.dataset.indices) == list(
        labelled_train(store, config.label_fraction, config.seed)
    )
    assert len(trainer.dataset.indices) == 3  # one of each class's three
    assert len(trainer.dataset) == 9  # and as many steps as with all of them
    assert Run(train(config)).meta["shapes"] == {"train": 3, "val": 3, "test": 6}


def test_a_shape_that_comes_again_is_augmented_anew(make, taught_store):
    dataset = trainer_of(make("a", label_fraction=0.34)).dataset
    first, second = (dataset.__getitems__([0]), dataset.__getitems__([3]))
    assert torch.equal(first.labels, second.labels)
    assert not torch.equal(first.points, second.points)
    assert torch.equal(first.points, dataset.__getitems__([0]).points)


def test_all_labels_are_described_as_before(make):
    assert "label_fraction" not in make("a").decisive()
    assert make("a", label_fraction=0.5).decisive()["label_fraction"] == 0.5


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1, float("nan")])
def test_an_impossible_share(make, fraction):
    with pytest.raises(ConfigError, match=r"--label-fraction .*: must be above 0 and at most 1"):
        train(make("a", label_fraction=fraction))


def test_a_teacher_of_all_labels_would_tell_the_others(make):
    with pytest.raises(StoreError, match=r"no teacher lite0-0.5-s0 \(there: lite0\)"):
        train(make("a", label_fraction=0.5, teacher="lite0"))


def test_a_learning_curve_is_a_run_per_share(make):
    config = make("curve", epochs=1)
    runs = learning_curve(config)
    names = ["curve-0.01", "curve-0.05", "curve-0.1", "curve-0.2", "curve"]
    assert [run.name for run in runs] == names
    assert [Run(run).config.label_fraction for run in runs] == [0.01, 0.05, 0.1, 0.2, 1.0]
    assert all(Run(run).finished for run in runs)
    assert train(config) == runs[-1]  # all labels: the run that it would be without a curve


def test_arms_name_how_they_started():
    assert TrainConfig("store", teacher=None, init="run").arm == "finetuned"
    assert TrainConfig("store", init="run").arm == "finetuned-distilled"


def test_a_learning_curve_has_shares_of_its_own(make):
    with pytest.raises(ConfigError, match="--learning-curve: sets the fractions itself"):
        learning_curve(make("curve", label_fraction=0.5))
    with pytest.raises(ConfigError, match="--learning-curve: --task pretrain uses no labels"):
        learning_curve(make("curve", task="pretrain", teacher="lite0"))
