"""Training the encoder of a classification teacher: memory, order, views, resuming."""

import numpy as np
import pytest
import torch
from store_copies import copy_store, files_of
from torch import nn

from pointmcd.checkpoint import load_checkpoint, under_prefix
from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.errors import ConfigError
from pointmcd.teachers import augment, trained
from pointmcd.teachers.augment import augment_views
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lessons import views_network
from pointmcd.teachers.lessons.classification import (
    ClassificationLesson,
    ClassificationOptions,
    FinetuneOptions,
)
from pointmcd.teachers.lessons.views_network import MultiViewTeacher, teacher_loss
from pointmcd.teachers.stored import map_output
from pointmcd.teachers.teach import teach

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
OWN = "module:own_encoders:Own"


@pytest.fixture
def store(tiny_store, tmp_path):
    return copy_store(tiny_store, tmp_path / "store")


def tuned(store, **options):
    own = {"epochs": 2, "batch_size": 4, "views_per_step": 2, "name": "tuned"} | options
    return TeachConfig(store, OWN, finetune=True, device="cpu", **own)


def encoder_with_norms():
    """An encoder of one convolution, a batch norm and a mean, and the views that it was given."""
    encoder, seen = ImageEncoder(OWN), []
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 6, 5, stride=3), nn.BatchNorm2d(6), nn.ReLU())
    encoder.network = nn.Sequential(layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    encoder.network.register_forward_pre_hook(lambda _, images: seen.append(len(images[0])))
    return encoder, seen


def views_of(count):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, count, 24, 24), generator=generator, dtype=torch.uint8)


def gradients(views):
    encoder, seen = encoder_with_norms()
    torch.manual_seed(3)
    teacher = MultiViewTeacher(encoder, 3, finetune=True).train()
    loss = teacher_loss(teacher(views), torch.tensor([0, 2]), 0.1)
    loss.backward()
    return {name: p.grad for name, p in teacher.named_parameters()}, seen, encoder


def test_few_views_at_once_give_the_gradient_of_all(monkeypatch):
    whole, seen, _ = gradients(views_of(5))
    assert seen == [10]
    monkeypatch.setattr(views_network, "_CPU_VIEWS", 4)
    few, seen, _ = gradients(views_of(5))
    assert max(seen) == 4  # so much is in memory
    assert sum(seen) == 20  # each once more for its gradient
    assert few.keys() == whole.keys()
    for name, wanted in whole.items():
        rounding = 1e-4 * float(wanted.abs().max())  # sums of another order: the processor's
        assert float((few[name] - wanted).abs().max()) <= rounding, name
    assert float(whole["encoder.network.0.0.weight"].abs().max()) > 0


def test_statistics_of_batch_norms_are_kept_unless_the_weights_are_random():
    _, _, encoder = gradients(views_of(3))
    norm = encoder.network[0][1]
    assert not norm.running_mean.any()
    assert not norm.training
    assert encoder.network.training
    random = ImageEncoder("random:lite0")
    teacher = MultiViewTeacher(random, 3, finetune=True).train()
    assert all(m.training for m in teacher.modules())


def test_mixed_precision_leaves_features_and_gradients_in_float32(monkeypatch):
    views = views_of(3)[0]
    encoder, _ = encoder_with_norms()
    with encoder._mixed_precision():
        assert not torch.is_autocast_enabled("cpu")
    plain = encoder(views).detach()
    half = torch.autocast("cpu", torch.bfloat16)
    monkeypatch.setattr(ImageEncoder, "_mixed_precision", lambda _: half)
    mixed = encoder(views).detach()
    assert mixed.dtype == torch.float32
    assert 0 < float((mixed - plain).abs().max()) < 0.02 * float(plain.abs().max())
    found, _, _ = gradients(views_of(3))
    assert all(gradient.dtype == torch.float32 for gradient in found.values())
    assert all(gradient.isfinite().all() for gradient in found.values())


@pytest.fixture
def short(monkeypatch):
    """The heads learn for four epochs."""

    def options(_, finetune):
        return FinetuneOptions() if finetune else ClassificationOptions(epochs=4)

    monkeypatch.setattr(ClassificationLesson, "default_options", classmethod(options))


@pytest.mark.usefixtures("short")
def test_heads_learn_first_and_a_rate_of_zero_leaves_them(store):
    frozen = teach(TeachConfig(store, OWN, name="frozen", device="cpu"))
    folder = teach(tuned(store, lr=0.0, final_lr=0.0, epochs=1))
    wanted, _ = load_checkpoint(frozen / "teacher.safetensors")
    found, _ = load_checkpoint(folder / "teacher.safetensors")
    for name, tensor in under_prefix("heads", wanted).items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(found[f"heads.{name}"], tensor), name
    assert any(name.startswith("encoder.") for name in found)
    assert not list(store.glob("teachers/.*"))  # no work is left behind


@pytest.mark.usefixtures("short")
def test_it_trains_the_encoder_and_exports_no_features(store, capsys):
    folder = teach(tuned(store, lr=1e-2))
    said = capsys.readouterr().err
    assert "heads (teacher) 4/4" in said
    assert "encoder (teacher) 2/2" in said
    tensors, _ = load_checkpoint(folder / "teacher.safetensors")
    before = ImageEncoder(OWN, seed=0).state_dict()
    changed = [n for n in before if not torch.equal(before[n], tensors[f"encoder.{n}"])]
    assert changed
    opened = Store(store)
    assert map_output(opened, "tuned", "logits", np.arange(18)).shape == (18, 3)
    assert not (folder / "features").exists()


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("saves", [2, 5])
def test_killed_in_either_part_it_ends_the_same(store, monkeypatch, saves):
    """The heads learn for 4 epochs, and the encoder for 2."""
    whole = files_of(teach(tuned(store)))
    save, calls = trained._save, []

    def some(*arguments):
        save(*arguments)
        calls.append(1)
        if len(calls) == saves:
            raise KeyboardInterrupt

    monkeypatch.setattr(trained, "_save", some)
    with pytest.raises(KeyboardInterrupt):
        teach(tuned(store, overwrite=True))
    assert files_of(teach(tuned(store, overwrite=True))) == whole
    assert len(calls) == 6
    assert not list(store.glob("teachers/.*"))


@pytest.mark.parametrize(("wanted", "drawn"), [(1, 1), (2, 2), (9, 3)])
def test_views_of_a_step(store, wanted, drawn):
    config = tuned(store, views_per_step=wanted, options={"augment": "false"})
    lesson = ClassificationLesson(Store(store), config, CPU, ImageEncoder(OWN))
    torch.manual_seed(0)
    views = lesson._drawn(np.array([4, 0]))
    assert views.shape == (2, drawn, 64, 64)
    for index, found in zip((4, 0), views, strict=True):
        own = [view.tobytes() for view in lesson.store.views(index)]
        assert len({own.index(view.numpy().tobytes()) for view in found}) == drawn
    again = lesson._drawn(np.array([4, 0]))
    assert drawn == 3 or not torch.equal(views, again)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"views_per_step": 0}, "--views-per-step 0: must be at least 1"),
        ({"options": {"augment": "much"}}, "--options augment: expected a value of type bool"),
    ],
)
def test_settings_that_cannot_be_meant(store, options, text):
    with pytest.raises(ConfigError, match=text):
        teach(tuned(store, **options))


def test_augmented_views_are_mirrored_or_not(monkeypatch):
    monkeypatch.setattr(augment, "SHIFT", 0)
    monkeypatch.setattr(augment, "SCALE", 0)
    views = views_of(20).flatten(0, 1)
    torch.manual_seed(0)
    found = augment_views(views)
    assert found.dtype == torch.uint8
    mirrored = [torch.equal(a, b.flip(1)) for a, b in zip(found, views, strict=True)]
    kept = [torch.equal(a, b) for a, b in zip(found, views, strict=True)]
    assert [a or b for a, b in zip(mirrored, kept, strict=True)] == [True] * 40
    assert 5 < sum(mirrored) < 35


def test_augmented_views_are_shifted_over_white(monkeypatch):
    monkeypatch.setattr(augment, "SCALE", 0)
    monkeypatch.setattr(torch, "rand", torch.ones)  # as far as it goes
    monkeypatch.setattr(torch, "randint", lambda _, shape: torch.zeros(shape))
    view = torch.randint_like(torch.zeros(1, 40, 40), 256).to(torch.uint8)
    wanted = torch.full_like(view, 255)
    wanted[:, :-2, :-2] = view[:, 2:, 2:]  # 5% of 40 pixels
    assert torch.equal(augment_views(view), wanted)


def test_augmented_views_follow_the_seed_and_each_its_own_draw():
    views = views_of(1)[0, :1].expand(30, -1, -1)
    torch.manual_seed(5)
    first, second = augment_views(views), augment_views(views)
    torch.manual_seed(5)
    assert torch.equal(augment_views(views), first)
    assert not torch.equal(first, second)
    assert len({view.numpy().tobytes() for view in first}) == 30
    white = torch.full((3, 16, 16), 255, dtype=torch.uint8)
    assert torch.equal(augment_views(white), white)
