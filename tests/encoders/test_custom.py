"""A user's own encoder: what it must have, how it is found, and when it is another one."""

import json

import numpy as np
import own_encoders
import pytest
import torch
from store_copies import copy_store

from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.errors import ConfigError, StoreError
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.describe import describe_shapes
from pointmcd.teachers.lesson import LESSONS
from pointmcd.teachers.settings import command_for, teacher_name
from pointmcd.teachers.stored import map_output
from pointmcd.teachers.teach import teach

pytestmark = pytest.mark.usefixtures("one_thread")

OWN = "module:own_encoders:Own"


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 64, 64), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("name", ["module:own_encoders:Means", "module:own_encoders.Means"])
def test_its_images_are_normalised_and_sized_as_it_says(name, views):
    features = ImageEncoder(name)(views)
    grey = torch.nn.functional.interpolate(
        views[:, None].float() / 255, (20, 20), mode="bilinear", antialias=True
    ).mean(dim=(2, 3))
    expected = (grey - torch.tensor([0.5, 0.25, 0.0])) / torch.tensor([0.5, 1.0, 2.0])
    assert torch.allclose(features, expected, atol=1e-5)


def test_what_it_does_not_say_is_imagenets_and_the_views_own(views):
    encoder = ImageEncoder(OWN)
    assert (encoder.num_features, encoder.licence) == (6, "mine")
    assert torch.allclose(encoder.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    assert torch.allclose(encoder.std.flatten(), torch.tensor([0.229, 0.224, 0.225]))
    assert [m.shape[1:] for m in encoder.pyramid(views)] == [
        *((4, 32, 32), (4, 16, 16), (4, 8, 8), (4, 4, 4), (6, 2, 2))
    ]
    assert torch.allclose(encoder(views), encoder.pyramid(views)[-1].mean((2, 3)))
    with pytest.raises(ConfigError, match="gives no feature maps"):
        ImageEncoder("module:own_encoders:Means").pyramid(views)


@pytest.mark.parametrize(
    ("factory", "text"),
    [
        ("nowhere:make", "cannot be imported: No module named 'nowhere'"),
        ("own_encoders:Absent", "cannot be imported: .*no attribute 'Absent'"),
        ("own_encoders", "expected module:package.module:factory"),
        ("own_encoders:", "expected module:package.module:factory"),
        ("", "expected module:package.module:factory"),
        ("own_encoders:number", "its factory fails: TypeError: 'int' object is not callable"),
        ("own_encoders:raising", "its factory fails: OSError: no such file: weights.pth"),
        ("own_encoders:no_module", "its factory gives a int, expected a torch module"),
        ("own_encoders:nameless", "needs an integer attribute num_features, .* not None"),
        ("own_encoders:wide", r"gives \[2, 3\] of two images, expected \[2, 4\]"),
        ("own_encoders:unpooled", r"gives \[2, 3, 20, 20\] of two images, expected \[2, 3\]"),
        ("own_encoders:picky", r"fails on images \[2, 3, 20, 20\]: RuntimeError: shape"),
        ("own_encoders:two_means", r"mean \(0.5, 0.5\): three numbers"),
        ("own_encoders:grey_mean", "mean 0.5: three numbers"),
        ("own_encoders:no_deviation", r"std \(1.0, 0.0, 1.0\): must be above 0"),
        ("own_encoders:half_a_pixel", "needs an integer attribute size, .* not 0.5"),
        ("own_encoders:no_maps", "fails on images .*no attribute 'pyramid'"),
        ("own_encoders:other_maps", r"maps of \[3, 3\] channels, pyramid_channels says \[3, 4\]"),
    ],
)
def test_a_broken_one_is_one_clear_error(factory, text):
    with pytest.raises(ConfigError, match=rf"^teacher module:{factory}: .*{text}"):
        ImageEncoder(f"module:{factory}")


def test_there_is_no_random_one():
    with pytest.raises(ConfigError, match="let the factory itself make random weights"):
        ImageEncoder(f"random:{OWN}")


def test_its_hash_is_of_its_weights_alone(monkeypatch):
    one, again, other = (ImageEncoder(OWN, seed).weights for seed in (0, 0, 1))
    assert one == again != other
    assert len(one) == 16
    monkeypatch.setattr(own_encoders.Own, "mean", (0.5, 0.5, 0.5), raising=False)
    assert ImageEncoder(OWN).weights != one


def test_every_task_is_taught_and_features_are_its_own(tiny_store, parts_store, tmp_path):
    store = copy_store(tiny_store, tmp_path / "store")
    short = {"teacher": OWN, "device": "cpu", "epochs": 1, "batch_size": 4}
    for task in ("classification", "features", "autoencoder"):
        folder = teach(TeachConfig(store, task=task, **short))
        assert teach(TeachConfig(store, task=task, **short)) == folder  # finished
    parts = copy_store(parts_store, tmp_path / "parts")
    teach(TeachConfig(parts, task="segmentation", **short))
    name = "module-own_encoders-Own"
    meta = json.loads((store / "teachers" / name / "teacher.json").read_text())
    weights = ImageEncoder(OWN).weights
    assert (meta["settings"]["encoder_weights"], meta["licence"]) == (weights, "mine")
    assert [p.name for p in (store / "features").iterdir()] == [f"{name}-{weights[:8]}"]
    found = map_output(Store(store), name, "features", np.array([7]))[:][0]
    expected = ImageEncoder(OWN)(torch.from_numpy(Store(store).views(7)))
    assert np.allclose(found, expected.detach().numpy(), rtol=2e-3, atol=1e-4)


def test_other_weights_are_noticed(tiny_store, tmp_path, monkeypatch):
    store = copy_store(tiny_store, tmp_path / "store")
    config = {"store": store, "teacher": OWN, "device": "cpu", "epochs": 1}
    first = teach(TeachConfig(**config, task="features"))
    before = map_output(Store(store), first.name, "descriptors", np.arange(18))[:]
    init = own_encoders.Own.__init__
    monkeypatch.setattr(own_encoders.Own, "__init__", lambda self: init(self, gain=3.0))
    with pytest.raises(StoreError, match="made with other weights of the encoder; give --name"):
        teach(TeachConfig(**config, task="features"))
    second = teach(TeachConfig(**config, name="second"))
    features = map_output(Store(store), second.name, "features", np.arange(18))[:]
    assert len(list((store / "features").iterdir())) == 2
    monkeypatch.setattr(own_encoders.Own, "__init__", init)
    teach(TeachConfig(**config, name="third"))
    plain = map_output(Store(store), "third", "features", np.arange(18))[:]
    assert np.allclose(features, 3 * plain, rtol=5e-3, atol=1e-3)
    assert (map_output(Store(store), first.name, "descriptors", np.arange(18))[:] == before).all()


def test_another_store_is_described_by_the_same_weights_or_not_at_all(
    tiny_store, parts_store, tmp_path, monkeypatch
):
    store = copy_store(tiny_store, tmp_path / "store")
    other = Store(copy_store(parts_store, tmp_path / "other"))
    folder = teach(TeachConfig(store, teacher=OWN, task="features", device="cpu"))
    found = np.concatenate([*describe_shapes(folder, other, torch.device("cpu"))])
    assert found.shape == (len(other.shapes), 3, 6)
    monkeypatch.setattr(own_encoders.Own, "std", (1.0, 1.0, 1.0), raising=False)
    with pytest.raises(StoreError, match="made with other weights of module:own_encoders:Own"):
        next(describe_shapes(folder, other, torch.device("cpu")))


def test_the_command_that_makes_it():
    config = TeachConfig("store", teacher=OWN, task="features")
    assert (
        command_for(teacher_name(LESSONS.get("features"), config))
        == f"--teacher {OWN} --task features"
    )
