"""Features by other runtimes: the encoder's own but for rounding, in stores that all may fill."""

import json
import sys

import numpy as np
import pytest
import torch
from store_copies import copy_store, files_of
from torch import nn

from pointmcd.encoders import registry as encoders
from pointmcd.encoders import runtimes
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.encoders.registry import EncoderSpec
from pointmcd.encoders.runtimes import use_runtime
from pointmcd.errors import ConfigError
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach

pytestmark = pytest.mark.usefixtures("one_thread", "importable_timm")


class Small(nn.Module):
    """A network that is exported in a moment."""

    def __init__(self, pretrained):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 5, stride=4)

    def forward(self, images):
        return self.conv(images).relu().mean(dim=(2, 3))


@pytest.fixture
def _small(monkeypatch):
    monkeypatch.setattr(encoders, "_SPECS", dict(encoders._SPECS))
    encoders.register_encoder("small", EncoderSpec(Small, 16, (0.5,) * 3, (0.2,) * 3, "ours"))


def views_of(size, count):
    generator = torch.Generator().manual_seed(size)
    views = torch.randint(0, 256, (count, size, size), generator=generator, dtype=torch.uint8)
    views[0] = 255
    return views


@torch.inference_mode()
def assert_same_features(encoder, by_onnx, size):
    views = views_of(size, 9)
    expected = encoder(views)
    for rows in (views, views[:1], views[:3], views[:0]):
        found = by_onnx(rows)
        assert found.dtype == torch.float32
        assert found.shape == (len(rows), encoder.num_features)
        assert (found - expected[: len(rows)]).abs().le(1e-4 * expected.abs().max()).all()


@pytest.mark.parametrize(
    "name", [pytest.param("lite0", marks=pytest.mark.slow), "random:timm:test_resnet"]
)
def test_the_features_are_those_of_torch_for_any_number_of_views(name):
    encoder, by_onnx = (ImageEncoder(name).eval() for _ in range(2))
    use_runtime(by_onnx, "onnx")
    assert_same_features(encoder, by_onnx, 64)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lite0", "random:lite0"])
def test_torch_prepares_an_encoder_of_ours_for_any_size_and_number(name, recwarn):
    encoder, prepared = (ImageEncoder(name).eval() for _ in range(2))
    use_runtime(prepared, "torch")
    for size in (8, 64, 75):
        assert_same_features(encoder, prepared, size)
    views = views_of(64, 9)
    with torch.inference_mode():  # to the last bit: interrupted work is taken up at any shape
        first = prepared(views)
        assert all(torch.equal(prepared(views), first) for _ in range(4))
        assert torch.equal(torch.cat([prepared(view[None]) for view in views]), first)
    assert not recwarn.list


def test_torch_leaves_alone_what_it_cannot_prepare():
    encoder = ImageEncoder("random:timm:test_resnet")
    network, before = encoder.network, list(encoder.modules())
    use_runtime(encoder, "torch")
    assert encoder.network is network
    assert list(encoder.modules()) == before


@pytest.mark.usefixtures("_small")
def test_each_size_of_views_is_exported_once(monkeypatch):
    written = []
    monkeypatch.setattr(
        *(runtimes, "write_onnx"),
        lambda *given, write=runtimes.write_onnx: written.append(given) or write(*given),
    )
    encoder, by_onnx = (ImageEncoder("small").eval() for _ in range(2))
    use_runtime(by_onnx, "onnx")
    assert not written
    for size in (32, 50, 32):
        assert_same_features(encoder, by_onnx, size)
    assert len(written) == 2


def features(store):
    return {path.name: np.load(path) for path in sorted((store / "features/small").glob("*.npy"))}


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize(
    "task", ["classification", pytest.param("features", marks=pytest.mark.slow)]
)
def test_one_runtime_goes_on_where_the_other_stopped(tiny_store, tmp_path, task):
    """The runtime is a place to compute, like the device: no part of what was made."""
    made = {}
    for first, second in (("torch", "onnx"), ("onnx", "torch")):
        store = copy_store(tiny_store, tmp_path / first)
        config = {"store": store, "teacher": "small", "task": task, "epochs": 1, "device": "cpu"}
        folder = teach(TeachConfig(**config, runtime=first))
        before, teacher = features(store), files_of(folder)
        assert teach(TeachConfig(**config, runtime=second)) == folder  # finished: kept
        assert files_of(folder) == teacher
        (store / "features/small/00001.npy").unlink()
        teach(TeachConfig(**config, runtime=second, overwrite=True))
        after = features(store)
        assert after.keys() == before.keys()
        for name, rows in after.items():
            # Their difference, 1e-6, at most moves a value to its neighbour in float16.
            close = {"rtol": 1e-3, "atol": 1e-5} if name == "00001.npy" else {"rtol": 0, "atol": 0}
            assert np.allclose(rows, before[name], **close)
        made[first] = before, json.loads(teacher["teacher.json"])
    (by_torch, said), (by_onnx, said_too) = made["torch"], made["onnx"]
    assert all(np.allclose(by_torch[n], by_onnx[n], rtol=1e-3, atol=1e-5) for n in by_torch)
    assert said["settings"] == said_too["settings"]


@pytest.mark.usefixtures("_small")
def test_nothing_is_exported_where_all_features_stand(tiny_store, tmp_path, monkeypatch):
    store = copy_store(tiny_store, tmp_path / "store")
    teach(TeachConfig(store, teacher="small", task="features", device="cpu"))
    monkeypatch.setattr(runtimes, "write_onnx", None)  # a call would fail
    teach(TeachConfig(store, teacher="small", task="features", whiten=True, runtime="onnx"))


@pytest.mark.usefixtures("_small")
@pytest.mark.parametrize("name", ["onnx", "onnxscript", "onnxruntime"])
def test_without_the_extra_nothing_is_begun(name, tiny_store, tmp_path, monkeypatch, cli):
    store = copy_store(tiny_store, tmp_path / "store")
    before = files_of(store)
    monkeypatch.setitem(sys.modules, name, None)
    status, out, err = cli("teach", store, "--teacher", "small", "--runtime", "onnx")
    assert (status, out) == (1, "")
    assert err == f"pointmcd: --runtime onnx: needs {name}; pip install 'pointmcd[onnx]'\n"
    assert files_of(store) == before


def test_a_network_that_onnx_cannot_express(monkeypatch):
    encoder = ImageEncoder("random:timm:test_resnet").eval()
    monkeypatch.setattr(encoder.network, "forward", lambda images: images if images.sum() else 0)
    use_runtime(encoder, "onnx")
    with pytest.raises(ConfigError, match="--runtime onnx: cannot be exported to ONNX: "):
        encoder(views_of(32, 2))
