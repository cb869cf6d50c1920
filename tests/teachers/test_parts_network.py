import pytest
import torch
import torch.nn.functional as F

from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.teachers.lessons.parts_network import PartsDecoder
from pointmcd.teachers.maps import MapTeacher

CHANNELS = (4, 6, 8, 10, 12)


def random_maps(size, count=3):
    torch.manual_seed(size)
    sides = [-(-size // stride) for stride in (2, 4, 8, 16, 32)]
    return [torch.randn(count, c, s, s) for c, s in zip(CHANNELS, sides, strict=True)]


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    return PartsDecoder(CHANNELS, num_classes=3, num_parts=7)


def every_pixel(size):
    """The places [1, size * size, 2] of all pixels of a view, row by row."""
    centres = (2 * torch.arange(size) + 1) / size - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(1, -1, 2)


@pytest.mark.parametrize("size", [8, 33, 64, 75, 225])
def test_any_size_of_view(decoder, size):
    maps = random_maps(size)
    pixels = decoder(maps, torch.tensor([0, 2, 1]))
    side = -(-size // 4)
    assert decoder.describe(maps[-1]).shape == (3, 512)
    assert pixels.shape[0] == 3
    assert pixels.shape[2:] == (side, side)
    said = decoder.predict(pixels, size, 2, 5)
    assert said.shape == (3, size, size)
    assert set(said.unique().tolist()) <= {-1, 2, 3, 4}


@pytest.mark.parametrize("trained", [True, False])
def test_the_descriptor_is_the_pooled_bottleneck_and_never_negative(decoder, trained):
    decoder.train(trained)
    maps = random_maps(96)
    seen = []
    decoder.bottleneck.register_forward_hook(lambda *given: seen.append(given[-1]))
    descriptors = decoder.describe(maps[-1])
    expected = seen[0].flatten(2).sum(2) / maps[-1][0, 0].numel()
    assert torch.allclose(descriptors, expected, atol=1e-6)
    assert descriptors.min() >= 0
    assert descriptors.std() > 0
    decoder(maps, torch.tensor([0, 2, 1]))
    assert torch.equal(seen[0], seen[1])  # pixels come from the same map


def test_the_class_changes_pixels(decoder):
    decoder.eval()
    maps = random_maps(64)
    one, other = (decoder(maps, torch.tensor(c)) for c in ([0, 1, 2], [0, 2, 2]))
    same = [torch.equal(a, b) for a, b in zip(one, other, strict=True)]
    assert same == [True, False, True]


@pytest.mark.parametrize("size", [8, 30, 64])
def test_logits_at_places_are_those_of_the_upsampled_map(decoder, size):
    pixels = decoder(random_maps(size), torch.tensor([0, 2, 1]))
    whole = F.interpolate(decoder.classifier(pixels), (size, size), mode="bilinear")
    places = every_pixel(size).expand(3, -1, -1)
    assert torch.allclose(decoder.logits_at(pixels, places), whole.flatten(2), atol=1e-5)


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 3), (3, 7), (0, 7)])
def test_predictions_are_the_best_of_background_and_the_classs_parts(decoder, start, stop):
    pixels = decoder(random_maps(40), torch.tensor([0, 2, 1]))
    logits = F.interpolate(decoder.classifier(pixels), (40, 40), mode="bilinear")
    barred = [1 + p for p in range(7) if not start <= p < stop]
    logits[:, barred] = -torch.inf
    assert torch.equal(decoder.predict(pixels, 40, start, stop), logits.argmax(1) - 1)


def test_gradients_reach_every_parameter(decoder):
    pixels = decoder(random_maps(64), torch.tensor([0, 2, 1]))
    decoder.logits_at(pixels, every_pixel(16).expand(3, -1, -1)).square().sum().backward()
    assert [n for n, p in decoder.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_encoder_is_part_of_the_teacher_only_when_it_is_fine_tuned():
    views = torch.randint(0, 255, (2, 64, 64), dtype=torch.uint8)
    encoder, labels = ImageEncoder("lite0").eval(), torch.tensor([0, 1])
    torch.manual_seed(0)
    frozen, tuned = (
        MapTeacher(encoder, PartsDecoder(encoder.pyramid_channels, 2, 4), finetune).eval()
        for finetune in (False, True)
    )
    tuned.decoder.load_state_dict(frozen.decoder.state_dict())
    assert not any(name.startswith("encoder") for name, _ in frozen.named_parameters())
    assert any(name.startswith("encoder") for name, _ in tuned.named_parameters())
    maps = encoder.pyramid(views)
    assert torch.allclose(frozen(maps, labels), tuned(views, labels), atol=1e-5)
    assert torch.allclose(tuned.describe(views), frozen.describe(maps), atol=1e-5)
