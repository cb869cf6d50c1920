"""The unsupervised teacher on small stores, with classes and without."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from killing import run_killed
from store_copies import copy_store, edit_json, edit_shapes, files_of, turn_labels

from pointmcd.checkpoint import load_checkpoint
from pointmcd.data.store import Store
from pointmcd.encoders import registry as encoders
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.encoders.registry import EncoderSpec, register_encoder
from pointmcd.errors import ConfigError, StoreError
from pointmcd.teachers import trained as trained_module
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lessons.autoencoder import AutoencoderLesson, ViewDecoder
from pointmcd.teachers.maps import MapTeacher
from pointmcd.teachers.stored import map_output, read_teacher
from pointmcd.teachers.teach import teach

pytestmark = pytest.mark.usefixtures("one_thread")

NAME = "lite0-autoencoder"
SHORT = {"epochs": 2, "batch_size": 4, "views_per_step": 2, "device": "cpu"}


class _Pyramid(torch.nn.Module):
    """An encoder of a few numbers: five convolutions that halve."""

    def __init__(self, pretrained):
        super().__init__()
        sizes = zip((3, 4, 4, 4, 4), (4, 4, 4, 4, 6), strict=True)
        self.layers = torch.nn.ModuleList(
            torch.nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in sizes
        )

    def pyramid(self, images):
        maps = [images]
        for layer in self.layers:
            maps.append(layer(maps[-1]).relu())
        return maps[1:]


@pytest.fixture
def tiny_encoder(monkeypatch):
    """Name of a registered encoder that is fine-tuned in no time."""
    monkeypatch.setattr(encoders, "_SPECS", dict(encoders._SPECS))
    spec = EncoderSpec(_Pyramid, 6, (0.5,) * 3, (0.5,) * 3, "none", (4, 4, 4, 4, 6))
    register_encoder("tiny", spec)
    return "tiny"


def config(store, **options):
    return TeachConfig(store, **({"task": "autoencoder"} | SHORT | options))


def lesson(store, **options):
    settings = config(store, **options)
    encoder = ImageEncoder(settings.teacher, settings.seed)
    return AutoencoderLesson(Store(store), settings, torch.device("cpu"), encoder)


@pytest.fixture
def store(tiny_store, tmp_path):
    return copy_store(tiny_store, tmp_path / "store")


@pytest.fixture
def no_labels(monkeypatch):
    """Let every way to a class or part of a store fail."""

    def never(*_):
        raise AssertionError("a label was read")

    for name in ("labels", "part_labels", "pixel_labels"):
        monkeypatch.setattr(Store, name, never)
    for name in ("part_ranges", "part_names", "num_parts"):
        monkeypatch.setattr(Store, name, property(never))


@pytest.fixture(scope="module")
def taught(tiny_store, tmp_path_factory):
    """A copy of the small store with a teacher of two epochs. To be read only."""
    path = copy_store(tiny_store, tmp_path_factory.mktemp("taught-views") / "store")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    teach(config(path))
    torch.set_num_threads(threads)
    return Store(path)


def test_descriptors_of_every_view_are_exported(taught):
    targets = map_output(taught, NAME, "descriptors", np.arange(18))[:]
    assert targets.shape == (18, 3, 512)
    assert np.isfinite(targets).all()
    assert targets.min() >= 0
    assert targets.std(axis=(0, 1)).max() > 0
    folder = taught.path / "teachers" / NAME / "descriptors"
    arrays = [np.load(folder / f"{shard}.npy") for shard in taught.shards]
    assert [len(a) for a in arrays] == taught.meta["counts"]
    assert all(a.dtype == np.float16 for a in arrays)
    assert not (taught.path / "features").exists()
    with pytest.raises(StoreError, match="autoencoder: has no features; it has descriptors"):
        map_output(taught, NAME, "features", np.array([0]))[:]


def test_they_are_what_the_saved_network_says(taught):
    again = lesson(taught.path)
    path = taught.path / "teachers" / NAME / "teacher.safetensors"
    again.teacher.load_state_dict(load_checkpoint(path)[0])
    again.teacher.eval()
    with torch.inference_mode():
        said = again.outputs(np.array([4, 9]))["descriptors"]
        scores = again.scores()
    exported = map_output(taught, NAME, "descriptors", np.array([4, 9]))[:]
    assert np.allclose(said.float().numpy(), exported, atol=2e-3)
    meta = read_teacher(taught, NAME)
    assert {name: meta[name] for name in scores} == scores


def test_it_says_what_it_is(taught):
    meta = read_teacher(taught, NAME)
    assert (meta["task"], meta["settings"]["task"]) == ("autoencoder", "autoencoder")
    assert (meta["name"], meta["val_shapes"], meta["descriptor_size"]) == (NAME, 3, 512)
    assert 0 < meta["val_l1"] < 1


def test_the_score_is_the_mean_distance_of_all_validation_pixels(tiny_store):
    redraws = lesson(tiny_store)
    score = redraws.scores()["val_l1"]
    views = np.stack([redraws.store.views(int(i)) for i in redraws.store.indices("val")])
    views = torch.from_numpy(views).flatten(0, 1)
    with torch.inference_mode():
        drawn = redraws.teacher(redraws.encoder.pyramid(views), 64)
    assert score == pytest.approx(np.abs(drawn.numpy() - views.numpy() / 255).mean(), rel=1e-4)


def test_it_learns_to_redraw_the_train_part(tiny_store):
    redraws = lesson(tiny_store, views_per_step=3)
    shapes = redraws.train[:2]
    views = np.stack([redraws.store.views(int(i)) for i in shapes]) / 255
    constant = np.abs(views - np.median(views)).mean()  # no other grey is nearer
    redraws.teacher.train()
    optimizer = torch.optim.Adam(redraws.teacher.parameters(), lr=0.01)
    losses = []
    for _ in range(40):
        loss = redraws.loss(shapes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] < 2 * constant  # it starts from a light grey, not from noise
    assert np.mean(losses[-3:]) < 0.8 * constant


def test_no_label_is_needed_or_read(store, no_labels):
    edit_shapes(store, lambda record: record.update({"class": None}))
    edit_json(store / "store.json", lambda meta: meta.update(classes=[]))
    folder = teach(config(store, epochs=1))
    targets = map_output(Store(store), folder.name, "descriptors", np.arange(18))[:]
    assert np.isfinite(targets).all()
    assert read_teacher(Store(store), folder.name)["val_l1"] > 0


def test_other_labels_give_the_same_teacher(taught, tiny_store, tmp_path):
    turned = copy_store(tiny_store, tmp_path / "turned", turn_labels("train"))
    said = files_of(teach(config(turned)))
    calm = files_of(taught.path / "teachers" / NAME)
    about, about_calm = (json.loads(files.pop("teacher.json")) for files in (said, calm))
    assert said == calm
    assert about["store_fingerprint"] != about_calm["store_fingerprint"]
    assert about["val_l1"] == about_calm["val_l1"]


@pytest.mark.parametrize("size", [7, 50, 64, 75, 224])
def test_any_size_of_view(size):
    decoder = ViewDecoder(12)
    side = -(-size // 32)
    deepest = torch.randn(2, 12, side, side)
    assert decoder([deepest], size).shape == (2, size, size)
    assert decoder.describe(deepest).shape == (2, 512)


def test_any_size_of_view_from_the_encoder():
    encoder = ImageEncoder("random:lite0")
    teacher = MapTeacher(encoder, ViewDecoder(1280), finetune=True).eval()
    for size in (20, 50):
        views = torch.randint(256, (1, size, size), dtype=torch.uint8)
        with torch.inference_mode():
            assert teacher(views, size).shape == (1, size, size)


def test_a_trained_one_draws_between_black_and_white_and_can_learn_from_beyond():
    decoder = ViewDecoder(12)
    torch.nn.init.constant_(decoder.draw.bias, 1.5)
    deepest = torch.randn(2, 12, 2, 2)
    views = decoder([deepest], 64)
    assert views.min() > 1
    (views - 1).abs().mean().backward()
    assert decoder.draw.bias.grad.abs().min() > 0
    assert torch.equal(decoder.eval()([deepest], 64), torch.ones(2, 64, 64))


@pytest.mark.parametrize("trained", [True, False])
def test_the_descriptor_is_the_pooled_map_that_is_redrawn(trained):
    torch.manual_seed(0)
    decoder = ViewDecoder(12).train(trained)
    seen = []
    decoder.narrow.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    deepest = torch.randn(3, 12, 4, 4)
    decoder([deepest], 128)
    assert seen[0].shape == (3, 512, 4, 4)
    descriptors = decoder.describe(deepest)
    assert torch.allclose(descriptors, seen[0].flatten(2).sum(2) / 16, atol=1e-6)
    assert descriptors.min() >= 0
    assert descriptors.std() > 0
    assert len(seen) == 1  # to describe, nothing is redrawn


def test_all_that_is_redrawn_passes_the_bottleneck(tiny_store):
    redraws = lesson(tiny_store)
    redraws.teacher.eval()
    maps = redraws.encoder.pyramid(torch.from_numpy(redraws.store.views(0)))
    other = [*(torch.zeros_like(m) for m in maps[:-1]), maps[-1]]
    assert torch.equal(redraws.teacher(maps, 64), redraws.teacher(other, 64))
    blank = redraws.teacher.decoder.bottleneck.register_forward_hook(lambda *a: 0 * a[-1])
    views = redraws.teacher(maps, 64)
    blank.remove()
    assert torch.allclose(views, views[:1].expand(3, -1, -1), atol=1e-6)


def test_a_frozen_encoder_stands_still(tiny_store):
    redraws = lesson(tiny_store)
    before = {name: tensor.clone() for name, tensor in redraws.encoder.state_dict().items()}
    redraws.teacher.train()
    redraws.loss(redraws.train[:3]).backward()
    assert all(p.grad is None and not p.requires_grad for p in redraws.encoder.parameters())
    assert not any(m.training for m in redraws.encoder.modules())
    assert all(torch.equal(t, before[n]) for n, t in redraws.encoder.state_dict().items())
    assert all(p.grad is not None for p in redraws.teacher.parameters())


def test_a_fine_tuned_encoder_learns_too(tiny_store):
    redraws = lesson(tiny_store, finetune=True)
    redraws.teacher.train()
    redraws.loss(redraws.train[:3]).backward()
    stem = redraws.encoder.network.body.conv_stem.weight
    assert stem.grad.abs().max() > 0
    assert "encoder.network.body.conv_stem.weight" in redraws.teacher.state_dict()


def test_a_fine_tuned_tiny_one(store, tiny_encoder):
    folder = teach(config(store, teacher=tiny_encoder, finetune=True))
    assert folder.name == "tiny-autoencoder-finetuned"
    targets = map_output(Store(store), folder.name, "descriptors", np.arange(18))[:]
    assert np.isfinite(targets).all()
    saved = load_checkpoint(folder / "teacher.safetensors")[0]
    first = ImageEncoder(tiny_encoder).network.layers[0].weight
    assert not torch.equal(saved["encoder.network.layers.0.weight"], first)


def test_an_encoder_without_a_pyramid(store, monkeypatch):
    monkeypatch.setattr(encoders, "_SPECS", dict(encoders._SPECS))
    spec = EncoderSpec(lambda _: torch.nn.Identity(), 3, (0.0,) * 3, (1.0,) * 3, "mine")
    register_encoder("flat", spec)
    with pytest.raises(ConfigError, match="teacher flat: gives no feature maps"):
        teach(config(store, teacher="flat"))


def test_without_a_validation_part(store):
    edit_shapes(store, lambda r: r.update(split="train") if r["split"] == "val" else None)
    said = json.loads((teach(config(store, epochs=1)) / "teacher.json").read_text())
    assert (said["val_l1"], said["val_shapes"]) == (None, 0)


def test_every_view_is_drawn_where_more_are_asked_for(tiny_store, monkeypatch):
    redraws = lesson(tiny_store, views_per_step=100)
    seen = []
    monkeypatch.setattr(redraws, "_distance", seen.append)
    redraws.loss(redraws.train[:2])
    expected = [redraws.store.views(int(i)) for i in redraws.train[:2]]
    for views, truth in zip(seen[0].split(3), expected, strict=True):
        assert sorted(v.numpy().tobytes() for v in views) == sorted(v.tobytes() for v in truth)


def test_an_interrupted_lesson_goes_on_where_it_stood(store, tiny_encoder, monkeypatch):
    options = {"teacher": tiny_encoder, "epochs": 3}
    calm = files_of(teach(config(store, **options)))
    shutil.rmtree(store / "teachers")
    train_epoch, epochs = trained_module._train_epoch, []

    def until_the_second(*arguments):
        epochs.append(arguments[-1])
        if epochs == [0, 1, 2]:
            raise KeyboardInterrupt
        return train_epoch(*arguments)

    monkeypatch.setattr(trained_module, "_train_epoch", until_the_second)
    with pytest.raises(KeyboardInterrupt):
        teach(config(store, **options))
    assert files_of(teach(config(store, **options))) == calm
    assert epochs == [0, 1, 2, 2]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
@pytest.mark.parametrize("finetune", [False, True])
def test_a_killed_one_equals_one_left_in_peace(store, tmp_path, finetune):
    calm = copy_store(store, tmp_path / "calm")
    options = SHORT | {"task": "autoencoder", "finetune": finetune}
    teach(TeachConfig(calm, **options))
    # Training writes a file an epoch, the export one for the weights, one a shard and one more.
    kills = [("rename", 2), ("rename", 1), ("rename", 4)]
    assert run_killed("teach", options | {"store": store}, kills) == 3
    assert files_of(store) == files_of(calm)
