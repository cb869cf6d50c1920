import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from pointmcd.encoders import registry as encoders
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.encoders.registry import EncoderSpec, list_encoders, register_encoder
from pointmcd.errors import ConfigError


@pytest.fixture(scope="module")
def lite0():
    return ImageEncoder("lite0").eval()


@pytest.fixture
def views():
    """Four small pictures: noise, a square, black and white."""
    pictures = torch.full((4, 64, 64), 255, dtype=torch.uint8)
    pictures[0] = torch.randint(256, (64, 64), generator=torch.Generator().manual_seed(0)).byte()
    pictures[1, 20:40, 10:50] = 90
    pictures[2] = 0
    return pictures


@torch.inference_mode()
def look(encoder, views):
    return encoder(views)


def test_one_feature_vector_per_picture(lite0, views):
    features = look(lite0, views)
    assert features.shape == (4, lite0.num_features) == (4, 1280)
    assert features.std(dim=0).max() > 0.1


def test_pictures_do_not_disturb_each_other(lite0, views):
    together = look(lite0, views)
    alone = torch.cat([look(lite0, view[None]) for view in views])
    assert torch.allclose(together, alone, atol=1e-4)


def test_grey_is_normalised_as_the_weights_expect():
    encoder = ImageEncoder("lite0")
    seen = []
    encoder.network = nn.Module()
    encoder.network.forward = lambda images: seen.append(images) or images
    encoder(torch.tensor([[[0, 127], [255, 63]]], dtype=torch.uint8))
    expected = (torch.tensor([[0.0, 127.0], [255.0, 63.0]]) - 127) / 128
    assert seen[0].shape == (1, 3, 2, 2)
    assert all(torch.allclose(seen[0][0, c], expected, atol=1e-6) for c in range(3))


@pytest.mark.parametrize("name", ["lite0", "random:lite0"])
def test_folding_keeps_the_values(name, views):
    plain = ImageEncoder(name).eval()
    folded = copy.deepcopy(plain)
    folded.fold()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    folded.fold()  # once more does nothing
    before, after = look(plain, views), look(folded, views)
    assert torch.allclose(before, after, rtol=1e-3, atol=1e-3 * float(before.abs().max()))


@pytest.mark.parametrize("size", [8, 31, 32, 33, 65, 100])
@torch.inference_mode()
def test_a_pyramid_halves_five_times(lite0, size):
    maps = lite0.pyramid(torch.zeros((2, size, size), dtype=torch.uint8))
    assert tuple(m.shape[1] for m in maps) == lite0.pyramid_channels == (16, 24, 40, 112, 1280)
    sides = [m.shape[2] for m in maps]
    assert all(m.shape == (2, m.shape[1], side, side) for m, side in zip(maps, sides, strict=True))
    expected = max(size, 32)
    for side in sides:
        assert side in (expected // 2, (expected + 1) // 2)
        expected = side


@pytest.mark.parametrize("size", [8, 64, 75])
@torch.inference_mode()
def test_the_deepest_map_is_the_one_that_is_pooled(lite0, views, size):
    cut = views[:, :size, :size]
    pooled = lite0.pyramid(cut)[-1].mean(dim=(2, 3))
    assert torch.allclose(pooled, look(lite0, cut), atol=1e-5)


@pytest.mark.parametrize("trained", [True, False])
def test_a_pyramid_is_what_the_whole_network_computes_on_its_way(views, trained):
    """Also while it is trained, where layers are dropped."""
    encoder = ImageEncoder("lite0").train(trained)
    pooled = []
    for glance in (lambda: encoder(views), lambda: encoder.pyramid(views)[-1].mean((2, 3))):
        torch.manual_seed(0)
        pooled.append(glance())
    assert torch.allclose(*pooled, atol=1e-5)


@torch.inference_mode()
def test_folding_keeps_the_pyramid(lite0, views):
    folded = copy.deepcopy(lite0)
    folded.fold()
    for before, after in zip(lite0.pyramid(views), folded.pyramid(views), strict=True):
        assert torch.allclose(before, after, rtol=1e-3, atol=1e-3 * float(before.abs().max()))


@torch.inference_mode()
def test_views_looked_at_a_few_at_a_time_keep_their_order(lite0, views):
    many = torch.cat([views, views.flip(0), views[:1]])
    maps = lite0.pyramid(many)
    for number, view in enumerate(many):
        alone = lite0.pyramid(view[None])
        assert all(
            torch.allclose(m[number], a[0], atol=1e-4) for m, a in zip(maps, alone, strict=True)
        )
    assert look(lite0, views[:0]).shape == (0, 1280)


def test_random_weights_are_other_weights_for_the_same_network(lite0, views):
    control = ImageEncoder("random:lite0").eval()
    shapes = {name: value.shape for name, value in lite0.state_dict().items()}
    assert {name: value.shape for name, value in control.state_dict().items()} == shapes
    assert not torch.allclose(look(control, views), look(lite0, views), atol=0.1)


def test_random_features_are_neither_blank_nor_too_large_to_store(views):
    features = look(ImageEncoder("random:lite0").eval(), views)
    assert torch.isfinite(features.half()).all()
    assert not torch.allclose(features[0], features[1], rtol=0.01)


def test_random_weights_follow_their_seed_and_leave_the_global_one_alone(views):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (ImageEncoder("random:lite0", seed).eval() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(look(first, views), look(again, views))
    assert not torch.allclose(look(first, views), look(other, views), atol=1e-3)


def test_the_seed_does_not_change_pretrained_weights(lite0):
    other = ImageEncoder("lite0", seed=9)
    state = lite0.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in other.state_dict().items())


@pytest.mark.parametrize("name", ["lite9", "random:lite9", "random:", "random:random:lite0"])
def test_an_unknown_encoder_names_the_known_ones(name):
    with pytest.raises(ConfigError, match=rf"teacher {name}: unknown; use one of .*lite0.*random"):
        ImageEncoder(name)


def test_an_encoder_of_ones_own(monkeypatch, views):
    class Mean(nn.Module):
        def __init__(self, pretrained):
            super().__init__()
            self.gain = 2.0 if pretrained else 1.0

        def forward(self, images):
            return self.gain * images.mean(dim=(2, 3))

    monkeypatch.setattr(encoders, "_SPECS", dict(encoders._SPECS))
    spec = EncoderSpec(Mean, 3, (0.0,) * 3, (1.0,) * 3, "mine")
    register_encoder("mean", spec)
    register_encoder("mean", spec)
    assert list_encoders() == ["lite0", "lite1", "lite2", "mean"]
    encoder = ImageEncoder("mean")
    encoder.fold()  # there is nothing to fold
    for ask in (lambda: encoder.pyramid(views), lambda: encoder.pyramid_channels):
        with pytest.raises(
            ConfigError, match="teacher mean: gives no feature maps, which the lesson needs"
        ):
            ask()
    expected = 2 * views.float().mean(dim=(1, 2)) / 255
    assert torch.allclose(encoder(views), expected[:, None].expand(4, 3), atol=1e-5)
    assert torch.allclose(ImageEncoder("random:mean")(views)[:, 0], expected / 2, atol=1e-5)
    with pytest.raises(ConfigError, match="encoder mean: the name is taken already"):
        register_encoder("mean", replace(spec, licence="another"))
