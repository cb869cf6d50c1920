import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from store_copies import copy_store, edit_json, files_of, turn_labels

from pointmcd import checkpoint
from pointmcd.checkpoint import load_checkpoint, under_prefix
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, StoreError
from pointmcd.files import is_temporary, take_lock
from pointmcd.teachers import teach as teach_module
from pointmcd.teachers import trained as trained_module
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lessons.classification import ClassificationLesson
from pointmcd.teachers.lessons.views_network import MultiViewHeads
from pointmcd.teachers.settings import decisive_settings
from pointmcd.teachers.teach import teach

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def store(taught_store, tmp_path):
    """A copy of the taught store: the features are cached, so that heads take milliseconds."""
    return copy_store(taught_store, tmp_path / "store")


def lesson(store, **options):
    return TeachConfig(store, **({"epochs": 2, "batch_size": 4, "device": "cpu"} | options))


def gathered(folder, what):
    return np.concatenate([np.load(path) for path in sorted((folder / what).glob("*.npy"))])


def scores(folder):
    return json.loads((folder / "teacher.json").read_text())


def assert_same_teacher(one, other):
    """The same but for what it says of its validation part."""
    first, second = files_of(one), files_of(other)
    for files in (first, second):
        files.pop("teacher.json")
    assert first == second


@pytest.mark.parametrize(
    ("what", "size", "kind"),
    [
        ("descriptors", (3, 512), "f2"),
        ("shape", (512,), "f2"),
        ("logits", (3,), "f4"),
        ("view_logits", (3, 3), "f4"),
    ],
)
def test_shapes_and_types_of_what_is_exported(taught_store, what, size, kind):
    folder = taught_store / "teachers" / "lite0"
    paths = sorted((folder / what).glob("*.npy"))
    assert [p.stem for p in paths] == Store(taught_store).shards
    assert [len(np.load(p)) for p in paths] == Store(taught_store).meta["counts"]
    array = gathered(folder, what)
    assert array.shape == (18, *size)
    assert array.dtype == np.dtype(kind)
    assert np.isfinite(array).all()
    assert array.std(axis=0).max() > 0


def test_what_is_exported_is_what_the_saved_heads_say(taught_store):
    folder = taught_store / "teachers" / "lite0"
    heads = MultiViewHeads(1280, 3).eval()
    tensors, _ = load_checkpoint(folder / "teacher.safetensors")
    heads.load_state_dict(under_prefix("heads", tensors))
    features = gathered(taught_store / "features", "lite0").astype(np.float32)
    with torch.inference_mode():
        output = heads(torch.from_numpy(features))
    for what, expected in (
        ("descriptors", output.descriptors),
        ("shape", output.shape_descriptor),
        ("logits", output.logits),
        ("view_logits", output.view_logits),
    ):
        assert np.allclose(gathered(folder, what), expected.numpy(), rtol=2e-3, atol=2e-3)


def test_it_says_what_it_is(taught_store):
    said = scores(taught_store / "teachers" / "lite0")
    assert said["store_fingerprint"] == Store(taught_store).fingerprint
    assert said["classes"] == ["bed", "chair", "lamp"]
    assert said["settings"]["lr"] == 1e-3
    assert (said["name"], said["shapes"], said["val_shapes"]) == ("lite0", 18, 3)
    assert (said["format"], said["descriptor_size"]) == (3, 512)
    assert len(said["fingerprint"]) == 16


def test_only_whole_files_are_left(store):
    teach(lesson(store, name="b"))
    assert sorted(p.name for p in (store / "teachers").iterdir()) == ["b", "lite0"]
    assert not [p for p in store.rglob("*") if is_temporary(p)]


def test_the_same_again_gives_the_same_bytes_and_another_seed_does_not(store):
    one = teach(lesson(store, name="b"))
    first = files_of(one)
    shutil.rmtree(one)
    assert files_of(teach(lesson(store, name="b"))) == first
    teach(lesson(store, name="b", seed=1, overwrite=True))
    assert files_of(one)["teacher.safetensors"] != first["teacher.safetensors"]
    assert json.loads(first["teacher.json"])["fingerprint"] != scores(one)["fingerprint"]


def test_a_second_process_waits_for_the_first_and_takes_its_teacher(store, monkeypatch, capsys):
    config, folder = lesson(store, name="mine"), store / "teachers" / "mine"
    made = teach(config)
    aside = store / "aside"
    made.rename(aside)
    with ThreadPoolExecutor() as pool, take_lock(folder.with_name(".mine.lock"), list):
        monkeypatch.setattr(teach_module, "ImageEncoder", None)  # nothing is made again
        second = pool.submit(teach, config)
        while "another process makes this teacher" not in " ".join(capsys.readouterr().err.split()):
            assert not second.done()
        aside.rename(folder)
    assert second.result() == folder
    assert not (store / "teachers" / ".mine.lock").exists()


def test_its_command_tells_every_setting(store):
    told = scores(teach(lesson(store, name="mine", lr=0.01, seed=3)))["command"]
    words = "--teacher lite0 --epochs 2 --batch-size 4 --lr 0.01 --seed 3 --name mine"
    assert told == words


def test_finished_work_is_kept(store, monkeypatch):
    folder = teach(lesson(store, name="b"))
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    monkeypatch.setattr(teach_module, "ImageEncoder", None)  # it would fail
    assert teach(lesson(store, name="b")) == folder
    assert teach(lesson(store, name="b", device="auto")) == folder  # decides nothing
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


@pytest.mark.parametrize("change", [{"epochs": 3}, {"lr": 0.01}, {"seed": 4}])
def test_other_settings_under_the_same_name(store, change):
    folder = teach(lesson(store, name="b"))
    before = files_of(folder)
    with pytest.raises(StoreError, match=r"teachers/b: .* other settings; give --name .*overwrite"):
        teach(lesson(store, name="b", **change))
    assert files_of(folder) == before
    teach(lesson(store, name="b", **change, overwrite=True))
    made = decisive_settings(ClassificationLesson, lesson(store, name="b", **change))
    assert scores(folder)["settings"] == made
    alone = teach(lesson(store, name="c", **change))
    # Nothing of the old one is left in the new one.
    assert_same_teacher(folder, alone)


def test_a_teacher_of_another_store_is_not_taken_for_this_ones(store):
    teach(lesson(store, name="b"))
    edit_json(store / "store.json", lambda meta: meta.update(fingerprint="0" * 16))
    with pytest.raises(StoreError, match="teachers/b"):
        teach(lesson(store, name="b"))
    with pytest.raises(StoreError, match=r"features/lite0: features of another store"):
        teach(lesson(store, name="c"))


def test_it_learns_the_train_part(store):
    untaught = scores(teach(lesson(store, name="a", epochs=1, lr=0.0, final_lr=0.0)))
    folder = teach(lesson(store, name="b", epochs=12))
    data = Store(store)
    train = data.indices("train")
    assert (gathered(folder, "logits")[train].argmax(1) == data.labels(train)).mean() == 1
    assert scores(folder)["val_accuracy"] >= untaught["val_accuracy"]


def test_validation_accuracy_is_that_of_the_validation_part(store, tmp_path):
    folder = teach(lesson(store, name="b"))
    val = Store(store).indices("val")
    said = [("bed", "chair", "lamp")[i] for i in gathered(folder, "logits")[val].argmax(1)]
    names = {Store(store).shapes[i].name: label for i, label in zip(val, said, strict=True)}

    def as_said(record):
        record["class"] = names.get(record["name"], record["class"])

    right = teach(lesson(copy_store(store, tmp_path / "right", as_said), name="c"))
    assert scores(right)["val_accuracy"] == 1
    turned = copy_store(tmp_path / "right", tmp_path / "wrong", turn_labels("val"))
    wrong = teach(lesson(turned, name="d"))
    assert scores(wrong)["val_accuracy"] == 0
    # What the validation part is called teaches nothing.
    assert_same_teacher(right, folder)
    assert_same_teacher(wrong, folder)


def test_labels_of_the_test_part_are_never_used(store, tmp_path):
    folder = teach(lesson(store, name="b"))
    other = teach(lesson(copy_store(store, tmp_path / "x", turn_labels("test")), name="c"))
    assert_same_teacher(folder, other)
    first, second = scores(folder), scores(other)
    assert first["val_accuracy"] == second["val_accuracy"]
    assert first["val_view_accuracy"] == second["val_view_accuracy"]
    turned = copy_store(store, tmp_path / "y", turn_labels("train"))
    train = files_of(teach(lesson(turned, name="c")))  # the trick would show if it were used
    assert train["teacher.safetensors"] != files_of(folder)["teacher.safetensors"]


def test_without_a_validation_part(store, tmp_path):
    def to_train(record):
        record["split"] = "train" if record["split"] == "val" else record["split"]

    said = scores(teach(lesson(copy_store(store, tmp_path / "x", to_train), name="b")))
    assert (said["val_accuracy"], said["val_view_accuracy"], said["val_shapes"]) == (None, None, 0)


@pytest.mark.parametrize("batch_size", [2, 8, 1000])
def test_a_last_batch_of_one_shape_is_left_out(store, batch_size):
    folder = teach(lesson(store, name="b", batch_size=batch_size))  # 9 shapes: one is left
    assert np.isfinite(gathered(folder, "logits")).all()


def test_a_store_without_labels(store, tmp_path):
    bare = copy_store(store, tmp_path / "bare", lambda record: record.update({"class": None}))
    with pytest.raises(StoreError, match=r"bare: shape \S+ has no class label"):
        teach(lesson(bare, name="b"))
    assert not (bare / "teachers" / "b").exists()


def test_a_store_with_one_train_shape(store, tmp_path):
    kept = Store(store).shapes[Store(store).indices("train")[0]].name

    def to_test(record):
        record["split"] = "train" if record["name"] == kept else "test"

    with pytest.raises(StoreError, match="1 train shapes; a teacher needs at least two"):
        teach(lesson(copy_store(store, tmp_path / "x", to_test), name="b"))


def test_a_step_that_is_far_too_large_says_so(store):
    with pytest.raises(ConfigError, match=r"--lr 1e\+30: the teacher's loss is no longer finite"):
        teach(lesson(store, name="b", lr=1e30, epochs=4))
    assert not (store / "teachers" / "b").exists()


def test_an_unknown_encoder_leaves_nothing_behind(store):
    before = files_of(store)
    with pytest.raises(ConfigError, match="teacher lite9: unknown"):
        teach(lesson(store, teacher="lite9"))
    assert files_of(store) == before


@pytest.mark.parametrize(
    ("every", "wanted"), [(0.0, [0, 1, 2, 2, 3]), (math.inf, [0, 1, 2, 0, 1, 2, 3])]
)
def test_an_interrupted_lesson_goes_on_where_it_stood(store, monkeypatch, every, wanted):
    monkeypatch.setattr(checkpoint, "SAVE_EVERY", every)
    options = {"epochs": 4, "weight_decay": 0.01}
    calm = files_of(teach(lesson(store, name="b", **options)))
    shutil.rmtree(store / "teachers" / "b")
    epochs = []
    train_epoch = trained_module._train_epoch

    def until_the_second(*arguments):
        epochs.append(arguments[-1])
        if epochs == [0, 1, 2]:
            raise KeyboardInterrupt
        return train_epoch(*arguments)

    monkeypatch.setattr(trained_module, "_train_epoch", until_the_second)
    with pytest.raises(KeyboardInterrupt):
        teach(lesson(store, name="b", **options))
    assert not (store / "teachers" / "b").exists()
    assert files_of(teach(lesson(store, name="b", **options))) == calm
    assert epochs == wanted
    assert sorted(p.name for p in (store / "teachers").iterdir()) == ["b", "lite0"]


def test_interrupted_work_of_other_settings_is_not_gone_on_with(store, monkeypatch):
    calm = files_of(teach(lesson(store, name="b", lr=0.003)))
    shutil.rmtree(store / "teachers" / "b")
    with monkeypatch.context() as patch:
        patch.setattr(teach_module, "export_teacher", interrupt)
        with pytest.raises(KeyboardInterrupt):
            teach(lesson(store, name="b", lr=0.002))
    assert (store / "teachers" / ".b.work.safetensors").exists()
    assert files_of(teach(lesson(store, name="b", lr=0.003))) == calm


def interrupt(*_):
    raise KeyboardInterrupt


def test_random_weights_make_other_features(taught_store, tmp_path):
    store = copy_store(taught_store, tmp_path / "store")
    folder = teach(lesson(store, teacher="random:lite0"))
    assert folder.name == "random-lite0"
    trained, random = (gathered(store / "features", n) for n in ("lite0", "random-lite0"))
    assert random.shape == trained.shape == (18, 3, 1280)
    assert random.dtype == trained.dtype == np.float16
    assert not np.allclose(trained, random, atol=0.1)
    teach(lesson(store, teacher="random:lite0", seed=1, name="b"))
    other = gathered(store / "features", "random-lite0-s1")
    assert not np.allclose(other, random, atol=0.1)
    assert np.array_equal(gathered(store / "features", "random-lite0"), random)


def test_a_fine_tuned_teacher(tiny_store, tmp_path):
    store = copy_store(tiny_store, tmp_path / "store")
    folder = teach(lesson(store, finetune=True, epochs=1))
    assert folder.name == "lite0-finetuned"
    assert gathered(folder, "descriptors").shape == (18, 3, 512)
    assert gathered(folder, "logits").shape == (18, 3)
    assert not (folder / "features").exists()
    tensors, _ = load_checkpoint(folder / "teacher.safetensors")
    stem = "encoder.network.body.conv_stem.weight"
    before = teach_module.ImageEncoder("lite0").state_dict()[stem.removeprefix("encoder.")]
    assert tensors[stem].shape == before.shape
    assert not torch.equal(tensors[stem], before)  # the encoder learns too


def test_deleted_features_are_made_again(store):
    teach(lesson(store, name="other"))
    before = gathered(store / "features", "lite0")
    shutil.rmtree(store / "features")
    teach(lesson(store, name="other"))
    # The shared store's were made on any number of threads, these on one: equal but for rounding.
    np.testing.assert_allclose(gathered(store / "features", "lite0"), before, atol=0.01)
