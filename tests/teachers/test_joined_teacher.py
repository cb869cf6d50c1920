"""Teachers of several encoders: views described once by each, logits averaged."""

import json

import numpy as np
import pytest
import torch
from store_copies import copy_store, files_of

from pointmcd.checkpoint import load_checkpoint, under_prefix
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError
from pointmcd.files import remove
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lessons.views_network import MultiViewHeads
from pointmcd.teachers.settings import command_for
from pointmcd.teachers.stored import map_output
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")
OWN = "module:own_encoders:Means"
NAME = "lite0+module-own_encoders-Means"


@pytest.fixture
def store(taught_store, tmp_path):
    """A copy of the taught store, which has the features of lite0."""
    return copy_store(taught_store, tmp_path / "store")


def joined(store, **options):
    own = {"epochs": 2, "batch_size": 4, "device": "cpu"} | options
    return TeachConfig(store, **({"teacher": f"lite0+{OWN}"} | own))


def test_what_one_encoder_described_is_not_described_again(store, monkeypatch):
    before = files_of(store / "features" / "lite0")
    described = []

    def encode(store, indices, encoder, device, reach):
        described.extend([encoder.name] * len(indices))
        return np.zeros((len(indices), 3, encoder.num_features), np.float16)

    monkeypatch.setattr("pointmcd.teachers.features.encode_shapes", encode)
    folder = teach(joined(store))
    assert described == [OWN] * 18
    assert files_of(store / "features" / "lite0") == before
    assert len(list((store / "features").iterdir())) == 2  # each of its own, none of both
    teach(joined(store, epochs=3, name="again"))
    assert described == [OWN] * 18
    assert folder.name == NAME


def test_outputs_have_the_widths_of_both(store):
    folder = teach(joined(store))
    opened = Store(store)
    every = np.arange(18)
    assert map_output(opened, NAME, "descriptors", every).shape == (18, 3, 1024)
    assert map_output(opened, NAME, "logits", every).shape == (18, 3)
    features = map_output(opened, NAME, "features", every)
    assert features.shape == (18, 3, 1280 + 3)
    (own,) = (store / "features").glob("module-*")
    for columns, place in ((slice(1280), store / "features" / "lite0"), (slice(1280, None), own)):
        wanted = np.concatenate([np.load(place / f"{shard}.npy") for shard in opened.shards])
        assert np.array_equal(features[:][..., columns], wanted.astype(np.float32))
    assert features[every[:0]].shape == (0, 3, 1283)
    (own / "00001.npy").unlink()
    again = files_of(folder)
    teach(joined(store))  # what is lacking is made again
    assert (own / "00001.npy").exists()
    assert files_of(folder) == again


def test_its_logits_are_the_mean_of_those_that_each_encoder_gives_alone(store):
    """Heads of the first encoder, which starts from the same draws, are to the bit its own."""
    folder = teach(joined(store))
    alone = teach(TeachConfig(store, name="alone", epochs=2, batch_size=4, device="cpu"))
    tensors, _ = load_checkpoint(folder / "teacher.safetensors")
    own, _ = load_checkpoint(alone / "teacher.safetensors")
    first = under_prefix("heads.members.0", tensors)
    assert first.keys() == under_prefix("heads", own).keys()
    assert all(torch.equal(first[name], own[f"heads.{name}"]) for name in first)
    opened, each = Store(store), []
    for number, size in enumerate((1280, 3)):
        heads = MultiViewHeads(size, 3).eval()
        heads.load_state_dict(under_prefix(f"heads.members.{number}", tensors))
        features = map_output(opened, NAME, "features", np.arange(18))[:]
        part = features[..., :1280] if number == 0 else features[..., 1280:]
        with torch.no_grad():
            each.append(heads(torch.from_numpy(part)))
    for place, name in enumerate(("descriptors", "shape", "logits", "view_logits")):
        found = map_output(opened, NAME, name, np.arange(18))[:]
        both = [output[place] for output in each]
        wanted = torch.cat(both, dim=-1) if place < 2 else torch.stack(both).mean(dim=0)
        assert np.allclose(found, wanted.numpy(), rtol=2e-3, atol=2e-3)


def test_its_classifier_gives_logits_of_its_descriptors(store):
    """As objectives that read it expect."""
    folder = teach(joined(store))
    opened, every = Store(store), np.arange(18)
    tensors, _ = load_checkpoint(folder / "teacher.safetensors")
    classifier = tensors["heads.classifier.weight"].numpy()
    for rows, logits in (("descriptors", "view_logits"), ("shape", "logits")):
        wanted = map_output(opened, NAME, logits, every)[:]
        found = map_output(opened, NAME, rows, every)[:] @ classifier.T
        assert np.allclose(found, wanted, rtol=5e-3, atol=5e-3)


def test_killed_between_epochs_it_ends_the_same(store, monkeypatch):
    whole = files_of(teach(joined(store, name="whole")))
    from pointmcd.teachers import trained

    save, calls = trained._save, []

    def once(*arguments):
        save(*arguments)
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(trained, "_save", once)
    with pytest.raises(KeyboardInterrupt):
        teach(joined(store, name="cut"))
    cut = files_of(teach(joined(store, name="cut")))
    assert calls == [1, 1]
    for files in (whole, cut):
        files.pop("teacher.json")  # has the name
    assert cut == whole


def test_a_student_learns_from_it(store, tmp_path):
    teach(joined(store))
    out = tmp_path / "run"
    options = {"epochs": 1, "points": 64, "batch_size": 4, "device": "cpu"}
    objectives = ("vafp:1", "logits:9", "view_logits:1")
    train(TrainConfig(store, out, teacher=NAME, objective=objectives, **options))
    assert Run(out).meta["teacher"]["name"] == NAME


def test_features_lesson_joins_too(store):
    folder = teach(TeachConfig(store, f"lite0+{OWN}", task="features", device="cpu"))
    assert folder.name == f"{NAME}-features"
    opened = Store(store)
    found = map_output(opened, folder.name, "descriptors", opened.indices("train"))[:]
    assert found.shape == (9, 3, 1283)
    flat = torch.from_numpy(found).flatten(0, 1)
    assert flat.mean(dim=0).abs().max() < 1e-2
    made = json.loads((folder / "teacher.json").read_text())
    assert made["command"] == f"--teacher lite0+{OWN} --task features"
    remove(folder)


@pytest.mark.parametrize("teacher", ["lite0+lite1+lite2", f"random:lite0+timm:resnet18+{OWN}"])
def test_the_command_that_makes_a_name(teacher):
    name = teacher.replace(":", "-")
    assert command_for(f"{name}-0.1-s2") == f"--teacher {teacher} --label-fraction 0.1 --seed 2"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"finetune": True}, "--finetune: trains one encoder; joined ones stay frozen"),
        ({"task": "autoencoder"}, "gives no feature maps, which --task autoencoder needs"),
        ({"weights": "w.pth"}, "--weights: is for --teacher timm:MODEL, not lite0\\+random:lite0"),
        ({"teacher": "lite0+lite0"}, "joins an encoder with itself"),
    ],
)
def test_settings_that_cannot_be_meant(tiny_store, options, text):
    with pytest.raises(ConfigError, match=text):
        teach(TeachConfig(tiny_store, **({"teacher": "lite0+random:lite0"} | options)))
