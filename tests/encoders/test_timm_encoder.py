"""Teachers from timm, by their smallest models and without weights: nothing is downloaded."""

import sys

import numpy as np
import pytest
import torch
from store_copies import copy_store

from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.encoders.timm import TimmNetwork, import_timm
from pointmcd.errors import ConfigError
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lesson import LESSONS
from pointmcd.teachers.settings import command_for, teacher_name
from pointmcd.teachers.stored import map_output
from pointmcd.teachers.teach import teach

pytestmark = pytest.mark.usefixtures("one_thread", "importable_timm")

NAMES = ("timm:test_resnet", "timm:test_vit", "timm:mobilenetv3_small_050")


@pytest.fixture
def views():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, 64, 64), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("name", ["test_resnet", "random:test_resnet", "test_vit.r160_in1k"])
def test_a_model_of_timm_is_proposed(name):
    meant = f"timm:{name.removeprefix('random:')}"
    with pytest.raises(ConfigError, match=rf"teacher {name}: unknown; did you mean {meant}\?"):
        ImageEncoder(name)


@pytest.mark.parametrize("name", NAMES)
def test_features_are_timms_own_of_images_as_its_weights_expect(name, views):
    timm = import_timm(name)
    encoder = ImageEncoder(f"random:{name}", seed=3).eval()
    with torch.inference_mode():
        features = encoder(views)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = timm.create_model(name.removeprefix("timm:"), num_classes=0).eval()
    config = timm.data.resolve_model_data_config(model)
    images = (views[:, None] / 255).expand(-1, 3, -1, -1)
    side = config["input_size"][1]
    resized = torch.nn.functional.interpolate(
        images, (side, side), mode="bilinear", antialias=True, align_corners=False
    )
    mean, std = (torch.tensor(config[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        expected = model((resized - mean) / std)
    assert features.shape == expected.shape == (3, encoder.num_features)
    assert torch.allclose(features, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("name", "features", "size"),
    [
        ("test_resnet", 96, (160, 160)),  # convolutions, averaged
        ("mobilenetv3_small_050", 1024, (224, 224)),  # features behind a hidden layer
        ("test_mambaout", 256, (160, 160)),  # features behind a norm and a hidden layer
        ("vit_tiny_patch16_384", 192, (384, 384)),  # CLS, at its fixed size alone
        ("vit_tiny_patch16_dinov3_qkvb", 192, (256, 256)),  # rotary, with registers
        ("crossvit_tiny_240", 288, (240, 240)),  # two CLS of two branches
        ("test_maxvit", 128, (160, 160)),  # windows that want their fixed size
        ("test_nfnet", 192, (160, 160)),
    ],
)
@torch.inference_mode()
def test_any_kind_of_model_says_its_features_and_size(name, features, size, views):
    encoder = ImageEncoder(f"random:timm:{name}").eval()
    assert encoder.network.size == size
    found = encoder(views[:2])
    assert found.shape == (2, encoder.num_features) == (2, features)
    assert torch.isfinite(found).all()
    assert not torch.equal(found[0], found[1])


@torch.inference_mode()
def test_tokens_are_pooled_as_the_model_has_it(views):
    """The CLS token of one, the mean of the patches of another."""
    for name, pool in (("vit_tiny_patch16_224", "token"), ("test_vit2", "avg")):
        network = ImageEncoder(f"random:timm:{name}").eval().network
        images = torch.randn(2, 3, *network.size)
        tokens = network.body.forward_features(images)
        prefix = network.body.num_prefix_tokens
        pooled = tokens[:, 0] if pool == "token" else tokens[:, prefix:].mean(1)
        assert network.body.global_pool == pool
        assert torch.allclose(network(images), network.body.fc_norm(pooled), atol=1e-5)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "swin_s3_tiny_224"])
@torch.inference_mode()
def test_a_model_that_does_not_pool_is_averaged(name):
    """Its patches, without tokens of another kind, or its map, wherever the channels are."""
    network = ImageEncoder(f"random:timm:{name}").eval().network
    images = torch.randn(2, 3, *network.size)
    unpooled = network.body.forward_features(images)
    network.body.reset_classifier(0, "")
    if unpooled.ndim == 3:
        expected = unpooled[:, network.body.num_prefix_tokens :].mean(1)
    else:
        expected = unpooled.mean((1, 2) if name.startswith("swin") else (2, 3))
    assert network(images).shape == (2, network.num_features)
    assert torch.allclose(network(images), expected, atol=1e-5)


@torch.inference_mode()
def test_a_model_of_oblong_images_sees_views_stretched(monkeypatch, views):
    timm = import_timm("timm:test_resnet")
    config = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "input_size": (3, 96, 64)}
    monkeypatch.setattr(timm.data, "resolve_model_data_config", lambda _: config)
    encoder = ImageEncoder("random:timm:test_resnet").eval()
    seen = []
    monkeypatch.setattr(encoder.network.body, "forward", lambda x: seen.append(x) or x.mean((2, 3)))
    encoder(views)
    assert seen[0].shape == (3, 3, 96, 64)


def test_another_seed_gives_other_random_weights(views):
    one, two, again = (ImageEncoder("random:timm:test_resnet", s).eval()(views) for s in (0, 1, 0))
    assert torch.equal(one, again)
    assert not torch.allclose(one, two)


def test_it_teaches_without_labels(tiny_store, tmp_path):
    store = copy_store(tiny_store, tmp_path / "store")
    config = TeachConfig(store, teacher="random:timm:test_resnet", task="features", device="cpu")
    folder = teach(config)
    assert folder.name == "random-timm-test_resnet-features"
    found = map_output(Store(store), folder.name, "descriptors", np.arange(18))[:]
    assert found.shape == (18, 3, 96)
    assert np.isfinite(found).all()


def test_the_command_that_makes_it():
    for name in ("timm:test_resnet", "random:timm:test_vit"):
        config = TeachConfig("store", teacher=name, task="features")
        assert (
            command_for(teacher_name(LESSONS.get("features"), config))
            == f"--teacher {name} --task features"
        )


def test_an_unknown_model_is_refused_with_its_like():
    with pytest.raises(ConfigError, match=r"timm has no such model; like it are .*resnet18"):
        TimmNetwork("timm:resnet81", pretrained=False)
    with pytest.raises(ConfigError, match=r"no such model; timm.list_models\(\) has their names"):
        TimmNetwork("timm:qqqqqqqqqqqq", pretrained=False)


def test_weights_that_cannot_be_had(monkeypatch):
    timm = import_timm("timm:test_resnet")

    def create_model(*_, **options):
        assert options["pretrained"]
        raise OSError("not in the cache\nand no network")

    monkeypatch.setattr(timm, "create_model", create_model)
    with pytest.raises(ConfigError, match=r"cannot be made: not in the cache; .*random:timm:t"):
        ImageEncoder("timm:test_resnet")


def test_without_timm_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"pip install 'pointmcd\[timm\]'"):
        ImageEncoder("timm:test_resnet")


def test_it_has_no_maps_for_segmentation():
    encoder = ImageEncoder("random:timm:test_resnet")
    with pytest.raises(ConfigError, match="gives no feature maps"):
        encoder.pyramid(torch.zeros(1, 64, 64, dtype=torch.uint8))
