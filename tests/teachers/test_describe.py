"""What a teacher says of its own store and of others."""

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch
from store_copies import copy_store, edit_json, files_of

from pointmcd.checkpoint import load_checkpoint
from pointmcd.data.store import Store
from pointmcd.encoders import registry as encoders
from pointmcd.encoders.registry import EncoderSpec, register_encoder
from pointmcd.errors import StoreError
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.describe import describe_shapes
from pointmcd.teachers.stored import map_output
from pointmcd.teachers.teach import teach

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


class _Pyramid(torch.nn.Module):
    """An encoder of a few numbers: five convolutions that halve."""

    def __init__(self, pretrained):
        super().__init__()
        widths = (3, 4, 4, 4, 4, 6)
        self.layers = torch.nn.ModuleList(
            torch.nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)
        )

    def pyramid(self, images):
        maps = [images]
        for layer in self.layers:
            maps.append(layer(maps[-1]).relu())
        return maps[1:]


@pytest.fixture
def tiny_encoder(monkeypatch):
    """Name of a registered encoder that sees a view in no time."""
    monkeypatch.setattr(encoders, "_SPECS", dict(encoders._SPECS))
    spec = EncoderSpec(_Pyramid, 6, (0.5,) * 3, (0.5,) * 3, "none", (4, 4, 4, 4, 6))
    register_encoder("tiny", spec)
    return "tiny"


@pytest.fixture(scope="module")
def taught(taught_store, tmp_path_factory):
    """A store with teachers lite0, lite0-features and lite0-whitened. To be read only."""
    path = copy_store(taught_store, tmp_path_factory.mktemp("describing") / "store")
    for whiten in (False, True):
        teach(TeachConfig(path, task="features", whiten=whiten, device="cpu"))
    return path


@pytest.fixture(scope="module")
def elsewhere(furniture_root, tmp_path_factory):
    """Another data set: 5 shapes without classes, 2 views of 48 x 48. Holds cached features."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "meshes").mkdir()
    for label, count in (("sofa", 3), ("table", 2)):
        for path in sorted((furniture_root / label / "train").glob("*.off"))[:count]:
            shutil.copy(path, folder / "meshes" / f"{label}-{path.name}")
    rig = folder / "rig.json"
    rig.write_text(json.dumps({"cameras": [[20, 40], [-50, 200]], "size": 48}))
    options = {"points": 64, "shard_size": 2, "val_fraction": 0.0, "test_fraction": 0.2}
    prepare(PrepareConfig(folder / "meshes", folder / "store", rig=rig, workers=1, **options))
    return folder / "store"


def make_another(store):
    """Let a copy of a store pass for another: of other classes, with another fingerprint."""
    before = Store(store).fingerprint

    def rename(meta):
        meta["classes"] = [f"my {label}" for label in meta["classes"]]
        for record in meta["shapes"]:
            record["class"] = f"my {record['class']}"

    edit_json(store / "store.json", rename)
    assert Store(store).fingerprint != before
    return Store(store)


def features_of(store, indices=slice(None)):
    """The plain features of lite0, as they are cached, float64 [n, V, F]."""
    opened = Store(store)
    arrays = [np.load(opened.path / "features" / "lite0" / f"{s}.npy") for s in opened.shards]
    return np.concatenate(arrays).astype(np.float64)[indices]


def refuse(*_):
    raise AssertionError("a label was read")


def whole(*arguments):
    """All of what comes shard by shard."""
    return np.concatenate([*describe_shapes(*arguments)])


def exported(store, name):
    return map_output(Store(store), name, "descriptors", np.arange(len(Store(store).shapes)))[:]


@pytest.mark.parametrize("name", ["lite0", "lite0-features", "lite0-whitened"])
def test_of_its_own_store_it_says_what_it_exported(name, taught, monkeypatch):
    monkeypatch.setattr(Store, "views", refuse)  # nor is anything looked at
    found = whole(taught / "teachers" / name, Store(taught), CPU)
    assert found.dtype == np.float32
    assert np.array_equal(found, exported(taught, name))


def test_a_store_that_moved_is_still_its_own(taught, tmp_path):
    moved = copy_store(taught, tmp_path / "moved")
    found = whole(taught / "teachers" / "lite0", Store(moved), CPU)
    assert np.array_equal(found, exported(taught, "lite0"))


def test_of_another_store_standardised_by_the_first(taught, elsewhere):
    found = whole(taught / "teachers" / "lite0-features", Store(elsewhere), CPU)
    assert found.shape == (5, 2, 1280)  # of its own shapes and views
    assert found.dtype == np.float32
    train, seen = features_of(taught, Store(taught).indices("train")), features_of(elsewhere)
    mean, deviation = train.mean(axis=(0, 1)), train.std(axis=(0, 1))
    steady = deviation > 1e-2 * np.abs(mean)
    expected = (seen - mean) / np.where(deviation > 0, deviation, 1)
    assert found[..., steady] == pytest.approx(expected[..., steady], abs=0.02, rel=2e-3)
    own = (seen - seen.mean(axis=(0, 1))) / np.maximum(seen.std(axis=(0, 1)), 1e-6)
    assert np.abs(found - own)[..., steady].mean() > 0.1


def test_whitened_on_as_many_axes_as_the_first_store_gave(taught, elsewhere):
    folder = taught / "teachers" / "lite0-whitened"
    found = whole(folder, Store(elsewhere), CPU)
    kept = json.loads((folder / "teacher.json").read_text())["descriptor_size"]
    assert kept < 512
    assert found.shape == (5, 2, kept)
    kept = load_checkpoint(folder / "teacher.safetensors")[0]
    mean, deviation, axes = (kept[n].double().numpy() for n in ("mean", "deviation", "axes"))
    expected = (features_of(elsewhere) - mean) / deviation @ axes
    assert found == pytest.approx(expected, abs=0.02, rel=5e-3)


@pytest.mark.parametrize("name", ["lite0-features", "lite0-whitened"])
def test_a_copy_that_passes_for_another_is_said_the_same_of(name, taught, tmp_path):
    copy = make_another(copy_store(taught, tmp_path / "copy", without=("features", "teachers")))
    found = whole(taught / "teachers" / name, copy, CPU)
    assert found == pytest.approx(exported(taught, name), abs=0.02, rel=5e-3)


def test_the_second_time_nothing_is_looked_at(taught, elsewhere, monkeypatch):
    folder = taught / "teachers" / "lite0-features"
    first = whole(folder, Store(elsewhere), CPU)
    monkeypatch.setattr(Store, "views", refuse)
    assert np.array_equal(whole(folder, Store(elsewhere), CPU), first)


def test_no_label_is_read_and_the_teacher_stays_as_it_is(taught, elsewhere, monkeypatch):
    before = files_of(taught)
    monkeypatch.setattr(Store, "labels", refuse)
    whole(taught / "teachers" / "lite0-features", Store(elsewhere), CPU)
    assert files_of(taught) == before
    assert not (elsewhere / "teachers").exists()


@pytest.mark.parametrize("finetune", [False, True])
def test_an_autoencoder_looks_again_and_says_the_same(
    finetune, tiny_store, tmp_path, tiny_encoder, monkeypatch
):
    store = copy_store(tiny_store, tmp_path / "store")
    options = {"epochs": 1, "batch_size": 4, "views_per_step": 2, "device": "cpu"}
    config = TeachConfig(
        store, teacher=tiny_encoder, task="autoencoder", finetune=finetune, **options
    )
    folder = teach(config)
    other = make_another(copy_store(tiny_store, tmp_path / "other"))
    before = files_of(other.path)
    monkeypatch.setattr(Store, "labels", refuse)
    found = whole(folder, other, CPU)
    assert found.shape == (18, 3, 512)
    assert found.std() > 0
    assert found == pytest.approx(exported(store, folder.name), abs=2e-3, rel=2e-3)
    assert files_of(other.path) == before  # it keeps nothing there


def test_an_autoencoder_of_other_views(elsewhere, tiny_store, tmp_path, tiny_encoder):
    store = copy_store(tiny_store, tmp_path / "store")
    options = {"epochs": 1, "batch_size": 4, "views_per_step": 2, "device": "cpu"}
    folder = teach(TeachConfig(store, teacher=tiny_encoder, task="autoencoder", **options))
    found = whole(folder, Store(elsewhere), CPU)
    assert found.shape == (5, 2, 512)
    assert np.isfinite(found).all()


def test_a_teacher_of_labels_says_nothing_of_another_store(taught, elsewhere):
    folder = taught / "teachers" / "lite0"
    with pytest.raises(StoreError, match="learnt the labels of another store than") as error:
        whole(folder, Store(elsewhere), CPU)
    assert str(folder) in str(error.value)
    assert str(elsewhere) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_teacher_of_an_older_format_is_refused(taught, elsewhere, tmp_path):
    folder = shutil.copytree(taught / "teachers" / "lite0", tmp_path / "old")
    edit_json(folder / "teacher.json", lambda meta: meta.update(format=1))
    with pytest.raises(StoreError, match=r"old: teacher format 1; run pointmcd teach again"):
        whole(folder, Store(elsewhere), CPU)


def test_a_teacher_that_is_gone(taught, elsewhere, tmp_path):
    for folder in (taught / "teachers" / "none", tmp_path / "no-store" / "teachers" / "lite0"):
        with pytest.raises(StoreError, match="no longer there; run pointmcd teach") as error:
            whole(folder, Store(elsewhere), CPU)
        assert str(error.value).startswith(f"{folder}: ")


def test_descriptors_that_are_gone(taught, tmp_path):
    copy = copy_store(taught, tmp_path / "copy")
    shutil.rmtree(copy / "teachers" / "lite0" / "descriptors")
    with pytest.raises(StoreError, match=r"descriptors/.*\.npy: absent or damaged"):
        whole(copy / "teachers" / "lite0", Store(copy), CPU)


def test_features_there_that_another_encoder_made_are_refused(taught, elsewhere, tmp_path):
    copy = copy_store(elsewhere, tmp_path / "copy")
    (copy / "features" / "lite0").mkdir(parents=True, exist_ok=True)
    (copy / "features" / "lite0" / "made-by.json").write_text('"someone else"')
    with pytest.raises(StoreError, match="features of another store or encoder"):
        whole(taught / "teachers" / "lite0-features", Store(copy), CPU)
