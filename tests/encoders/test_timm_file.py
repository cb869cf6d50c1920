"""Weights of timm models from files: written here with random weights, read by timm's own code."""

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from store_copies import copy_store

from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.encoders.timm import import_timm
from pointmcd.errors import ConfigError, StoreError
from pointmcd.files import read_json
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.describe import describe_shapes
from pointmcd.teachers.stored import map_output
from pointmcd.teachers.teach import teach

pytestmark = pytest.mark.usefixtures("one_thread", "importable_timm")

MODEL = "test_resnet"
NAME = f"timm:{MODEL}"


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 64, 64), generator=generator, dtype=torch.uint8)


def tensors_of(model=MODEL, seed=5, **options):
    """A timm model with random weights, as its checkpoints are: with the classifier."""
    torch.manual_seed(seed)
    return import_timm(NAME).create_model(model, **options).state_dict()


def write(path, content):
    save_file(content, path) if path.suffix == ".safetensors" else torch.save(content, path)
    return path


@torch.inference_mode()
def look(encoder, views):
    return encoder.eval()(views)


@pytest.mark.parametrize("model", ["test_resnet", "test_vit", "test_convnext"])
def test_the_network_is_timms_with_these_weights(model, views, tmp_path):
    timm = import_timm(NAME)
    file = write(tmp_path / "weights.safetensors", tensors_of(model))
    encoder = ImageEncoder(f"timm:{model}", weights=file)
    control = ImageEncoder(f"random:timm:{model}", seed=1)
    body = timm.create_model(model, num_classes=0)
    assert not timm.models.load_checkpoint(body, str(file), strict=False).missing_keys
    control.network.body = body
    assert torch.equal(look(encoder, views), look(control, views))
    assert "state_dict" not in encoder.network.body.pretrained_cfg
    assert encoder.licence == "not stated"


def test_the_same_weights_are_the_same_in_any_file(views, tmp_path):
    tensors = tensors_of()
    headless = {name: value for name, value in tensors.items() if not name.startswith("fc.")}
    parallel = {f"module.{name}": value for name, value in tensors.items()}
    contents = {
        "a.safetensors": tensors,
        "a.pth": tensors,
        "headless.pth": headless,
        "other_classes.pth": tensors_of(num_classes=7) | headless,
        "training.pth.tar": {"epoch": 3, "state_dict": parallel, "arch": MODEL},
        "averaged.pt": {"state_dict": tensors_of(seed=9), "state_dict_ema": tensors},
    }
    encoders = [
        ImageEncoder(NAME, weights=write(tmp_path / name, content))
        for name, content in contents.items()
    ]
    assert len({encoder.weights for encoder in encoders}) == 1
    first, *others = (look(encoder, views) for encoder in encoders)
    assert all(torch.equal(first, other) for other in others)
    other = ImageEncoder(NAME, weights=write(tmp_path / "b.pth", tensors_of(seed=6)))
    assert other.weights != encoders[0].weights
    assert not torch.allclose(look(other, views), first)


class _Evil:
    def __reduce__(self):
        return (pytest.fail, ("code in a checkpoint was run",))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "cut.safetensors").write_bytes(
        write(tmp_path / "whole.safetensors", tensors_of()).read_bytes()[:5000]
    )
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"conv1.0.weight": _Evil()}))
    torch.save({"conv1.0.weight": _Evil()}, tmp_path / "evil.pt")
    for name in ("text.pth", "empty.safetensors", "cut.safetensors", "evil.pth", "evil.pt"):
        with pytest.raises(ConfigError, match=rf"^--weights .*{name}: cannot be read as weights"):
            ImageEncoder(NAME, weights=tmp_path / name)
    for absent in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(ConfigError, match=rf"^--weights {absent}: no such file$"):
            ImageEncoder(NAME, weights=absent)


@pytest.mark.parametrize("content", [{}, {"conv1": 3}, {"model": {"lr": 0.1}}])
def test_files_of_something_else(content, tmp_path):
    file = write(tmp_path / "other.pth", content)
    with pytest.raises(ConfigError, match="holds something else than named tensors"):
        ImageEncoder(NAME, weights=file)


def test_weights_of_another_model_are_one_line(tmp_path):
    tensors = tensors_of()
    lacking = {n: v for n, v in tensors.items() if n not in ("bn1.bias", "layer1.0.conv1.weight")}
    wrong = tensors | {"layer1.0.conv1.weight": torch.zeros(2, 2)}
    for content, text in (
        (tensors_of("test_vit"), "not weights of test_resnet: lacks .* and .* more tensors"),
        (lacking, "lacks bn1.bias and 1 more tensors"),
        (wrong, r"size mismatch for layer1.0.conv1.weight: .*torch.Size\(\[2, 2\]\)"),
    ):
        with pytest.raises(ConfigError, match=text) as caught:
            ImageEncoder(NAME, weights=write(tmp_path / "w.pth", content))
        assert len(str(caught.value).splitlines()) == 1
    load = torch.nn.Module.load_state_dict
    assert load.__module__ == "torch.nn.modules.module"  # put back after every failure


def test_weights_are_for_timm_alone(cli, tmp_path):
    for teacher in ("lite0", f"random:{NAME}", "module:own_encoders:Own"):
        status, out, err = cli("teach", tmp_path, "--teacher", teacher, "--weights", "w.pth")
        assert (status, out) == (1, "")
        assert err == f"pointmcd: --weights: is for --teacher timm:MODEL, not {teacher}\n"


def test_a_teacher_knows_which_weights_it_has(tiny_store, parts_store, tmp_path):
    store = copy_store(tiny_store, tmp_path / "store")
    one, two = (write(tmp_path / f"{s}.safetensors", tensors_of(seed=s)) for s in (1, 2))
    config = {"store": store, "teacher": NAME, "device": "cpu", "epochs": 1}
    folder = teach(TeachConfig(**config, weights=one))
    meta = read_json(folder / "teacher.json")
    assert meta["weights_file"] == str(one)
    assert teach(TeachConfig(**config, weights=one)) == folder
    moved = one.rename(tmp_path / "moved.safetensors")
    assert teach(TeachConfig(**config, weights=moved)) == folder
    with pytest.raises(StoreError, match="other weights of the encoder; give --name"):
        teach(TeachConfig(**config, weights=two))
    second = teach(TeachConfig(**config, weights=two, name="two"))
    assert read_json(second / "teacher.json")["fingerprint"] != meta["fingerprint"]
    for name, file in ((folder.name, moved), ("two", two)):
        found = map_output(Store(store), name, "features", np.array([3]))[:][0]
        expected = look(ImageEncoder(NAME, weights=file), torch.from_numpy(Store(store).views(3)))
        assert np.allclose(found, expected.numpy(), rtol=2e-3, atol=2e-3)


def test_another_store_is_described_with_the_same_file(tiny_store, parts_store, tmp_path):
    store = copy_store(tiny_store, tmp_path / "store")
    other = Store(copy_store(parts_store, tmp_path / "other"))
    file = write(tmp_path / "w.safetensors", tensors_of())
    config = TeachConfig(store, teacher=NAME, weights=file, task="features", device="cpu")
    folder = teach(config)
    found = np.concatenate([*describe_shapes(folder, other, torch.device("cpu"))])
    assert found.shape == (len(other.shapes), 3, 96)
    write(file, tensors_of(seed=8))
    with pytest.raises(StoreError, match=f"made with other weights of {NAME} than are found now"):
        next(describe_shapes(folder, other, torch.device("cpu")))
    file.unlink()
    with pytest.raises(ConfigError, match="no such file"):
        next(describe_shapes(folder, other, torch.device("cpu")))
