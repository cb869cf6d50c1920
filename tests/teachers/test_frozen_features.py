"""The teacher that learns nothing: features on one scale, without a label."""

import numpy as np
import pytest
import torch
from store_copies import copy_store, edit_shapes, files_of, turn_labels

from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, StoreError
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lessons.features import Rescaling
from pointmcd.teachers.stored import map_output, read_teacher
from pointmcd.teachers.teach import teach

pytestmark = pytest.mark.usefixtures("one_thread")


def without_labels(record):
    record["class"] = None


def rows(count, channels, seed=0):
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(channels, channels))
    values = generator.normal(size=(count, channels)) @ mixing + np.linspace(-5, 5, channels)
    return torch.from_numpy(values * np.geomspace(0.01, 100, channels)).float()


@pytest.fixture
def store(taught_store, tmp_path):
    """A copy with the encoder's features cached, so that no view has to be looked at."""
    return copy_store(taught_store, tmp_path / "store")


def test_standardised_as_numpy_has_it():
    values = rows(200, 7)
    rescaling = Rescaling(7)
    rescaling.measure(iter([values]))
    array = values.double().numpy()
    expected = (array - array.mean(axis=0)) / array.std(axis=0)
    assert rescaling(values).numpy() == pytest.approx(expected, abs=2e-3)
    assert rescaling(values).shape[-1] == 7


def test_parts_of_any_size_give_what_the_whole_gives():
    values = rows(101, 5)
    whole, parts = Rescaling(5, 3), Rescaling(5, 3)
    whole.measure(iter([values]))
    parts.measure(iter(values.split((1, 60, 40))))
    for name, tensor in whole.state_dict().items():
        assert torch.allclose(tensor, parts.state_dict()[name], rtol=1e-5, atol=1e-6), name


def test_whitened_channels_are_uncorrelated_with_unit_variance():
    values = rows(500, 6)
    rescaling = Rescaling(6, 4)
    rescaling.measure(iter([values]))
    found = rescaling(values).double().numpy()
    assert found.shape == (500, 4)
    assert found.mean(axis=0) == pytest.approx(np.zeros(4), abs=1e-4)
    assert np.cov(found.T, bias=True) == pytest.approx(np.eye(4), abs=1e-3)


def test_whitening_keeps_the_strongest_directions():
    # One factor behind five channels, and a sixth of its own: the factor is the first axis.
    generator = np.random.default_rng(1)
    factor, own = generator.normal(size=(2, 400, 1))
    values = np.hstack([factor + 0.05 * generator.normal(size=(400, 5)), own])
    rescaling = Rescaling(6, 1)
    rescaling.measure(iter([torch.from_numpy(values).float()]))
    first = rescaling(torch.from_numpy(values).float())[:, 0].numpy()
    assert abs(np.corrcoef(first, factor[:, 0])[0, 1]) > 0.99


def test_no_more_axes_than_the_rows_have():
    values = rows(5, 8)  # five rows about their mean: four directions
    rescaling = Rescaling(8, 8)
    rescaling.measure(iter([values]))
    assert rescaling(values).shape[-1] == 4
    assert rescaling(values).abs().max() < 10  # nothing blown up out of rounding


@pytest.mark.parametrize("axes", [0, 2])
@pytest.mark.parametrize("constant", [0.0, 3.7, 3e4])
def test_a_channel_that_never_varies_becomes_nothing(axes, constant):
    values = rows(50, 4)
    values[:, 2] = constant
    rescaling = Rescaling(4, axes)
    rescaling.measure(iter([values]))
    found = rescaling(values)
    assert found.isfinite().all()
    moved = values.clone()
    moved[:, 2] += 5
    assert torch.equal(rescaling(moved), found)  # nor does it count where it varies later


def test_descriptors_are_the_encoders_features_standardised_over_train(store):
    teach(TeachConfig(store, task="features", device="cpu"))
    opened = Store(store)
    every = np.arange(len(opened.shapes))
    features = map_output(opened, "lite0", "features", every)[:].astype(np.float64)
    train = features[opened.indices("train")]
    mean, deviation = train.mean(axis=(0, 1)), train.std(axis=(0, 1))
    steady = deviation > 1e-3 * np.abs(mean)
    expected = (features - mean) / np.where(deviation > 0, deviation, 1)
    found = map_output(opened, "lite0-features", "descriptors", every)[:]
    assert found.shape == (18, 3, 1280)
    assert found.min() < 0
    assert found[..., steady] == pytest.approx(expected[..., steady], abs=0.01, rel=2e-3)
    assert read_teacher(opened, "lite0-features")["descriptor_size"] == 1280


def test_whitened_teacher_says_how_many_axes_it_kept(store):
    folder = teach(TeachConfig(store, task="features", whiten=True, device="cpu"))
    opened = Store(store)
    found = map_output(opened, folder.name, "descriptors", opened.indices("train"))[:]
    assert folder.name == "lite0-whitened"
    # 9 train shapes of 3 views about their mean leave at most 26 directions.
    assert found.shape[2] == read_teacher(opened, folder.name)["descriptor_size"] <= 26
    correlation = np.corrcoef(found.reshape(-1, found.shape[2]).T)
    assert correlation == pytest.approx(np.eye(len(correlation)), abs=0.02)


@pytest.mark.parametrize("whiten", [False, True])
def test_no_label_reaches_the_teacher(store, tmp_path, monkeypatch, whiten):
    bare = copy_store(store, tmp_path / "bare")
    edit_shapes(bare, without_labels)
    turned = copy_store(store, tmp_path / "turned")
    edit_shapes(turned, turn_labels("train"))

    def refuse(*_):
        raise AssertionError("a label was read")

    monkeypatch.setattr(Store, "labels", refuse)
    made = []
    for place in (store, bare, turned):
        folder = teach(TeachConfig(place, task="features", whiten=whiten, device="cpu"))
        files = files_of(folder)
        files.pop("teacher.json")  # names the store
        made.append(files)
    assert made[0]
    assert made[0] == made[1] == made[2]


def test_a_second_time_it_is_kept(store):
    config = TeachConfig(store, task="features", device="cpu")
    folder = teach(config)
    before = (folder / "teacher.safetensors").stat().st_mtime_ns
    assert teach(config) == folder
    assert (folder / "teacher.safetensors").stat().st_mtime_ns == before


def test_plain_features_of_it_are_refused(store):
    folder = teach(TeachConfig(store, task="features", device="cpu"))
    with pytest.raises(StoreError, match="lite0-features: has no features; it has descriptors"):
        map_output(Store(store), folder.name, "features", np.array([0]))[:]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"task": "features", "finetune": True}, "--finetune: --task features trains nothing"),
        ({"whiten": True}, "--whiten: is for --task features, not classification"),
        ({"task": "dreaming"}, "lesson dreaming: unknown; use one of autoencoder, classification"),
    ],
)
def test_settings_that_cannot_be_meant(tiny_store, options, text):
    with pytest.raises(ConfigError, match=text):
        teach(TeachConfig(tiny_store, device="cpu", **options))
