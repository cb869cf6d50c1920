import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from store_copies import copy_store, edit_json, edit_shapes, files_of, turn_labels

from pointmcd.checkpoint import load_checkpoint, load_module, under_prefix
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, PointMCDError, RunError, StoreError
from pointmcd.students.registry import create_student
from pointmcd.tasks.classification import Classifier
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training import run as run_module
from pointmcd.training import train as train_module
from pointmcd.training.run import Run, lock_folder
from pointmcd.training.train import train
from pointmcd.training.trainer import Trainer, learning_rate

pytestmark = pytest.mark.usefixtures("one_thread")

RECORD = {
    *("epoch", "lr", "task_loss", "vafp_loss", "train_accuracy", "seconds"),
    *("val_accuracy", "val_class_accuracy", "val_loss"),
}


@pytest.fixture
def store(taught_store, tmp_path):
    """A copy of the taught store that may be changed."""
    return copy_store(taught_store, tmp_path / "store")


# What a run leaves


def test_what_a_run_leaves(make, taught_store):
    config = make("a", teacher="lite0", epochs=3)
    folder = train(config)
    assert folder == config.out
    run = Run(folder)
    assert run.finished
    assert run.config == config
    assert run.meta["arm"] == "distilled"
    assert run.meta["settings"] == config.decisive()
    records = run.metrics()
    assert [m["epoch"] for m in records] == [1, 2, 3]
    assert all(m.keys() == RECORD for m in records)
    assert [m["lr"] for m in records] == [learning_rate(config, e) for e in range(3)]
    assert all(m["vafp_loss"] > 0 for m in records)
    assert sorted(p.name for p in folder.iterdir()) == [
        *("best.safetensors", "config.yaml", "labelled.safetensors", "last.safetensors"),
        *("metrics.jsonl", "run.json"),
    ]


def test_the_checkpoints_of_a_finished_run_hold_the_model_alone(make, monkeypatch):
    kept = train(make("kept", teacher="lite0", keep_checkpoints=True))
    whole, state = load_checkpoint(kept / "last.safetensors")
    folder = train(make("a", teacher="lite0"))
    last, same = load_checkpoint(folder / "last.safetensors")
    assert same == state
    assert {n: t for n, t in whole.items() if n.startswith("model.")}.keys() == last.keys()
    assert all(torch.equal(whole[name], last[name]) for name in last)


def test_a_run_killed_at_its_end_is_finished(make, monkeypatch, capsys):
    calm = train(make("calm", teacher="lite0"))
    assert "goes on after" not in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(Run, "finish", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(make("killed", teacher="lite0"))
    killed = train(make("killed", teacher="lite0"))
    epochs = Run(killed).config.epochs
    assert f"{killed}: goes on after epoch {epochs} of {epochs}" in capsys.readouterr().err
    assert Run(killed).finished
    assert (killed / "last.safetensors").read_bytes() == (calm / "last.safetensors").read_bytes()


def _interrupt(*_):
    raise KeyboardInterrupt


def test_a_kept_last_checkpoint_is_whole_and_the_best_holds_the_model_alone(make):
    folder = train(make("a", teacher="lite0", keep_checkpoints=True))
    last, state = load_checkpoint(folder / "last.safetensors")
    best, _ = load_checkpoint(folder / "best.safetensors")
    assert {name.split(".")[0] for name in last} == {"model", "optimizer", "objectives"}
    assert {name.split(".")[0] for name in best} == {"model"}
    assert state["epoch"] == 2
    parameters = Classifier(create_student(make("a").student), 3).parameters()
    assert Run(folder).meta["parameters"] == sum(p.numel() for p in parameters)


@torch.inference_mode()
def scores_by_hand(folder, which, split="val", points=64):
    run = Run(folder)
    store = Store(run.config.store)
    classifier = Classifier(create_student(run.meta["student"]), 3)
    tensors, _ = load_checkpoint(run.checkpoint(which))
    load_module(classifier, under_prefix("model", tensors), which)
    indices = store.indices(split)
    logits = classifier.eval()(torch.from_numpy(store.points(indices, points)))
    labels = torch.from_numpy(store.labels(indices))
    loss = torch.nn.functional.cross_entropy(logits, labels)
    return float((logits.argmax(1) == labels).float().mean()), float(loss)


def test_validation_is_of_the_saved_model_on_whole_unmoved_clouds(make):
    folder = train(make("a", epochs=6))
    records, (_, state) = Run(folder).metrics(), load_checkpoint(folder / "best.safetensors")
    for which, record in (("last", records[-1]), ("best", records[state["epoch"] - 1])):
        accuracy, loss = scores_by_hand(folder, which)
        assert record["val_accuracy"] == pytest.approx(accuracy)
        assert record["val_loss"] == pytest.approx(loss, rel=1e-4)


def test_class_accuracy_is_the_mean_over_the_classes_there(make, store):
    def two_of_one(record):
        if record["split"] == "val" and record["class"] == "chair":
            record["class"] = "bed"

    edit_shapes(store, two_of_one)
    folder = train(make("a", store))
    whole, by_class = (Run(folder).metrics()[-1][k] for k in ("val_accuracy", "val_class_accuracy"))
    assert whole * 3 == pytest.approx(round(whole * 3))
    assert by_class * 4 == pytest.approx(round(by_class * 4))  # beds by halves, the lamp whole


def test_the_best_is_the_first_of_the_best_epochs(make, monkeypatch):
    accuracies = iter([0.2, 0.6, 0.4, 0.6, 0.5])
    epoch = Trainer.epoch

    def scored(self, number):
        return epoch(self, number) | {"val_accuracy": next(accuracies)}

    monkeypatch.setattr(Trainer, "epoch", scored)
    folder = train(make("a", epochs=5))
    assert load_checkpoint(folder / "best.safetensors")[1]["epoch"] == 2
    assert load_checkpoint(folder / "last.safetensors")[1]["best"] == 0.6


def test_it_learns(make):
    records = Run(train(make("a", teacher="lite0", epochs=25, scale=1.0, shift=0.0))).metrics()
    assert records[-1]["task_loss"] < 0.9 * records[0]["task_loss"]
    assert records[-1]["vafp_loss"] < records[0]["vafp_loss"]
    assert records[-1]["train_accuracy"] > 0.6


def test_same_seed_same_run_and_another_seed_another(make, content):
    one, again, other = (
        content(train(make(out, seed=seed))) for out, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert one == again
    assert one["last"] != other["last"]
    assert one["records"] != other["records"]


def test_loader_processes_change_nothing(make, content):
    one = content(train(make("a", teacher="lite0", resample=True)))
    assert content(train(make("b", teacher="lite0", resample=True, workers=1))) == one


# What is not read


def test_the_test_part_is_not_read(make, store, content, tmp_path):
    calm = content(train(make("a", store, teacher="lite0")))
    other = copy_store(store, tmp_path / "other" / "store", turn_labels("test"))
    reader = Store(other)
    for index in reader.indices("test"):
        shard, row = reader.locate(int(index))
        for path in (other / "shards" / shard / "points.npy", descriptors(other, shard)):
            array = np.load(path)
            array[row] = np.nan
            np.save(path, array)
    found = content(train(make("b", other, teacher="lite0")))
    for left in (calm, found):
        for key in ("store", "store_fingerprint", "own_fingerprint", "teacher"):
            left["run"].pop(key)
    assert found == calm


def descriptors(store, shard):
    return store / "teachers" / "lite0" / "descriptors" / f"{shard}.npy"


def test_labels_of_the_validation_part_teach_nothing(make, store, content, tmp_path):
    calm = content(train(make("a", store)))
    turned = copy_store(store, tmp_path / "other", turn_labels("val"))
    found = content(train(make("b", turned)))
    assert found["last"] == calm["last"]
    assert found["records"] != calm["records"]
    turned = copy_store(store, tmp_path / "third", turn_labels("train"))
    assert content(train(make("c", turned)))["last"] != calm["last"]


def test_a_baseline_needs_no_teacher_and_no_views(make, tiny_store, tmp_path, content):
    bare = copy_store(tiny_store, tmp_path / "bare", without=["views", "visibility.npy"])
    found, calm = content(train(make("a", bare))), content(train(make("b")))
    assert found["last"] == calm["last"]


# Stores of another kind


def test_without_a_validation_part(make, store, content):
    def to_train(record):
        record["split"] = "train" if record["split"] == "val" else record["split"]

    edit_shapes(store, to_train)
    folder = train(make("a", store))
    found = content(folder)
    keys = ("val_accuracy", "val_class_accuracy", "val_loss")
    assert [[m[k] for k in keys] for m in found["records"]] == [[None] * 3] * 2
    model = {n: t for n, t in found["last"].items() if n.startswith("model.")}
    assert found["best"] == model
    assert found["best state"]["epoch"] == 2


def test_a_batch_larger_than_the_train_part_is_the_train_part(make, content):
    large, whole = (
        content(train(make(str(n), batch_size=n, keep_checkpoints=True))) for n in (1000, 9)
    )
    assert large["last"] == whole["last"]
    assert large["records"] == whole["records"]
    assert int(np.frombuffer(large["last"]["optimizer.0.step"][2], np.float32)[0]) == 2


def relabel(store, **change):
    edit_shapes(store, lambda record: record.update(change))


def test_a_store_without_labels(make, store):
    relabel(store, **{"class": None})
    with pytest.raises(StoreError, match=r"store: shape \S+ has no class label"):
        train(make("a", store))
    edit_json(store / "store.json", lambda meta: meta.update(classes=[]))
    with pytest.raises(StoreError, match="store: 0 classes; classification needs at least two"):
        train(make("a", store))
    assert not make("a").out.exists()


def test_a_store_of_one_class(make, store):
    relabel(store, **{"class": "bed"})
    edit_json(store / "store.json", lambda meta: meta.update(classes=["bed"]))
    with pytest.raises(StoreError, match="store: 1 classes; classification needs at least two"):
        train(make("a", store))


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_store_without_a_train_part(make, store, split):
    relabel(store, split=split)
    with pytest.raises(StoreError, match="store: 0 train shapes; training needs at least two"):
        train(make("a", store))


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"points": 129}, StoreError, "129 points requested, but the store holds 128"),
        ({"student": "nobody"}, ConfigError, "student nobody: unknown"),
        ({"teacher": "nobody"}, StoreError, "no teacher nobody"),
        ({"epochs": -1}, ConfigError, "--epochs -1"),
        ({"optimizer": "adam"}, ConfigError, "--optimizer adam: use one of sgd, adamw"),
    ],
)
def test_what_cannot_be_trained_leaves_nothing_behind(make, options, kind, text):
    config = make("a", **options)
    with pytest.raises(kind, match=text):
        train(config)
    assert not config.out.exists()


def test_without_a_number_a_small_store_gives_all_its_points(make, capsys):
    config = replace(make("a", teacher="lite0", epochs=1), points=1024)
    run = Run(train(config))
    assert run.config.points == 128
    assert "note: 128 points: the store holds no more" in capsys.readouterr().err
    assert train(config) == run.path  # the same command again


@pytest.mark.parametrize("points", [1, 128])
def test_as_few_and_as_many_points_as_there_are(make, points):
    assert Run(train(make("a", teacher="lite0", points=points))).finished


# Losses that are no numbers


def test_a_step_that_is_far_too_large_says_so(make):
    config = make("a", optimizer="sgd", lr=1e30, epochs=4)
    with pytest.raises(RunError, match=r"runs/a: the loss is no longer finite in epoch \d; lower"):
        train(config)
    assert not Run(config.out).finished


def test_the_last_step_of_all_is_looked_at_too(make):
    # One step: its own loss is still finite, and only validation shows what it did.
    with pytest.raises(RunError, match="the loss is no longer finite in epoch 1"):
        train(make("a", optimizer="sgd", lr=1e38, final_lr=1e38, epochs=1, batch_size=9))


def test_a_teacher_that_is_not_finite(make, store):
    array = np.load(descriptors(store, "00000"))
    array[:] = np.inf
    np.save(descriptors(store, "00000"), array)
    with pytest.raises(RunError, match="the loss is no longer finite in epoch 1"):
        train(make("a", store, teacher="lite0"))


# Folders that hold something


def test_a_finished_run_is_returned_at_once(make, monkeypatch):
    folder = train(make("a", teacher="lite0"))
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    monkeypatch.setattr(train_module, "Trainer", None)  # it would fail
    for options in ({}, {"device": "auto"}, {"workers": 2}, {"overwrite": True}):
        assert train(make("a", teacher="lite0", **options)) == folder
    assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("lr", 0.02), ("epochs", 3), ("seed", 1), ("teacher", "lite0"), ("points", 32)),
        *(("student", "pointnet"), ("resample", True), ("precision", "bf16")),
    ],
)
def test_other_settings_are_named_and_the_run_is_kept(make, field, value):
    folder = train(make("a", epochs=1))
    before = files_of(folder)
    with pytest.raises(
        RunError, match=rf"runs/a: holds a run that differs in {field}; .*--overwrite"
    ):
        train(make("a", **({"epochs": 1} | {field: value})))
    assert files_of(folder) == before


def test_overwrite_replaces_all_of_it(make, content):
    folder = train(make("a"))
    (folder / "test.json").write_text("{}")  # what evaluate leaves
    train(make("a", lr=0.02, overwrite=True))
    assert content(folder) == content(train(make("b", lr=0.02)))


def test_a_run_is_not_lost_to_settings_that_cannot_be_used(make):
    folder = train(make("a"))
    before = files_of(folder)
    for options in ({"points": 999}, {"student": "nobody"}, {"teacher": "nobody"}):
        with pytest.raises(PointMCDError):
            train(make("a", **options, overwrite=True))
    assert files_of(folder) == before


def test_replacing_that_was_killed_can_be_repeated(make, content, monkeypatch):
    folder = train(make("a"))
    removed = []

    def until_the_third(path):
        removed.append(path)
        if len(removed) == 3:
            raise KeyboardInterrupt
        path.unlink()

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "remove", until_the_third)
        with pytest.raises(KeyboardInterrupt):
            train(make("a", lr=0.02, overwrite=True))
    train(make("a", lr=0.02, overwrite=True))
    assert content(folder) == content(train(make("b", lr=0.02)))


def test_a_folder_that_is_no_run_is_refused_and_kept(make):
    config = make("a", overwrite=True)
    config.out.mkdir(parents=True)
    (config.out / "thesis.tex").write_text("years")
    with pytest.raises(RunError, match=r"runs/a: is not a run folder; choose another --out"):
        train(config)
    assert files_of(config.out) == {"thesis.tex": b"years"}


def test_a_file_where_the_folder_should_be(make):
    config = make("a")
    config.out.parent.mkdir()
    config.out.write_text("years")
    with pytest.raises(PointMCDError, match="runs/a"):
        train(config)
    assert config.out.read_text() == "years"


@pytest.mark.parametrize("left", ["nothing", "config.yaml", ".run.json.999999999.tmp"])
def test_a_run_that_was_killed_at_its_very_start(make, left):
    config = make("a")
    config.out.mkdir(parents=True)
    if left != "nothing":
        (config.out / left).write_text("half")
    train(config)
    assert sorted(p.name for p in config.out.iterdir()) == [
        *("best.safetensors", "config.yaml", "labelled.safetensors", "last.safetensors"),
        *("metrics.jsonl", "run.json"),
    ]
    assert Run(config.out).config == config


# Stores and teachers that changed since


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_teacher_that_was_taught_anew(make, store, content, overwrite):
    folder = train(make("a", store, teacher="lite0"))
    before = content(folder)
    teach(TeachConfig(store, epochs=2, seed=1, device="cpu", overwrite=True))
    if not overwrite:
        with pytest.raises(RunError, match="runs/a: holds a run that differs in teacher"):
            train(make("a", store, teacher="lite0"))
        assert content(folder) == before
    else:
        train(make("a", store, teacher="lite0", overwrite=True))
        assert content(folder)["last"] != before["last"]


@pytest.mark.parametrize("change", [{"fingerprint": "0" * 16}, {"classes": ["bed", "chair", "x"]}])
def test_a_store_that_was_prepared_anew(make, store, change):
    train(make("a", store))
    edit_json(store / "store.json", lambda meta: meta.update(change))
    with pytest.raises(RunError, match="runs/a: holds a run that differs in store"):
        train(make("a", store))


def test_a_teacher_of_another_store(make, store):
    edit_json(store / "store.json", lambda meta: meta.update(fingerprint="0" * 16))
    with pytest.raises(StoreError, match=r"teachers/lite0: made from another rig"):
        train(make("a", store, teacher="lite0"))
    assert Run(train(make("b", store))).finished  # the baseline does not mind


def test_a_store_that_was_moved_is_the_same_store(make, store, tmp_path):
    folder = train(make("a", store))
    shutil.move(store, tmp_path / "elsewhere")
    assert train(make("a", tmp_path / "elsewhere")) == folder


def test_a_damaged_checkpoint_of_an_unfinished_run(make, monkeypatch):
    folder = train(make("a"))
    edit_json(folder / "run.json", lambda meta: meta.update(finished=False))
    path = folder / "last.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"last\.safetensors: not a readable checkpoint"):
        train(make("a"))


def test_a_run_of_another_version_is_refused_or_replaced(make):
    folder = train(make("a"))
    edit_json(folder / "run.json", lambda meta: meta.update(format=1))
    with pytest.raises(RunError, match=r"run format 1, this version reads 4; train again"):
        train(make("a"))
    assert Run(train(make("a", overwrite=True))).finished


def test_a_metric_below_zero_has_a_best_epoch_too(make, monkeypatch):
    scores = iter([-5.0, -3.0, -4.0])
    validate = Trainer._validate
    monkeypatch.setattr(
        Trainer, "_validate", lambda self: validate(self) | {"val_accuracy": next(scores)}
    )
    folder = train(make("a", epochs=3))
    assert load_checkpoint(folder / "best.safetensors")[1]["epoch"] == 2
    assert load_checkpoint(folder / "last.safetensors")[1]["best"] == -3.0


def test_a_second_training_in_one_folder_is_refused(make, content):
    config = make("a")
    with lock_folder(config.folder), pytest.raises(RunError, match="another process trains in it"):
        train(config)
    assert content(train(config)) == content(train(make("b")))
