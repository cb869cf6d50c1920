"""The part-segmentation teacher on a small labelled store."""

import json
import shutil

import numpy as np
import pytest
import torch
from store_copies import copy_store, edit_shapes, files_of

from pointmcd.checkpoint import load_checkpoint
from pointmcd.data.dataset import NO_LOGIT
from pointmcd.data.store import Store
from pointmcd.encoders import registry as encoders
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.encoders.registry import EncoderSpec, register_encoder
from pointmcd.errors import ConfigError, StoreError
from pointmcd.evaluation.evaluate import evaluate_teacher
from pointmcd.metrics.part_iou import pixel_iou, shape_ious
from pointmcd.teachers import teach as teach_module
from pointmcd.teachers import trained as trained_module
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lessons import segmentation
from pointmcd.teachers.lessons.segmentation import SegmentationLesson
from pointmcd.teachers.stored import map_output, read_teacher
from pointmcd.teachers.teach import teach

pytestmark = pytest.mark.usefixtures("one_thread")

SHORT = {"epochs": 2, "batch_size": 4, "views_per_step": 2, "device": "cpu"}


def config(store, **options):
    return TeachConfig(store, **({"task": "segmentation"} | SHORT | options))


@pytest.fixture
def store(parts_store, tmp_path):
    return copy_store(parts_store, tmp_path / "store")


@pytest.fixture(scope="module")
def taught(parts_store, tmp_path_factory):
    """A copy of the labelled store with a teacher of two epochs. To be read only."""
    path = copy_store(parts_store, tmp_path_factory.mktemp("taught-parts") / "store")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    teach(config(path))
    torch.set_num_threads(threads)
    return Store(path)


def lesson(parts_store, **options):
    settings = config(parts_store, **options)
    encoder = ImageEncoder(settings.teacher, settings.seed)
    return SegmentationLesson(Store(parts_store), settings, torch.device("cpu"), encoder)


def test_it_is_evaluated_as_a_row_of_its_student_would_be(taught):
    metrics = evaluate_teacher(taught.path / "teachers" / "lite0-segmentation")
    indices = taught.indices("test")
    truth, said = taught.part_labels(indices, taught.num_points), []
    for index in indices:
        logits = map_output(taught, "lite0-segmentation", "point_logits", np.array([index]))[:][0]
        shown = (logits > NO_LOGIT).any(axis=1)
        odds = torch.from_numpy(logits[shown]).float().softmax(1).sum(0)
        start, _ = taught.part_ranges[taught.labels(np.array([index]))[0]]
        said.append(start + np.where(shown, logits.argmax(axis=1), int(odds.argmax())))
    assert metrics.count == len(indices)
    assert metrics.point_accuracy == pytest.approx((np.stack(said) == truth).mean())
    ious = shape_ious(truth, np.stack(said), taught.labels(indices), taught.part_ranges)
    assert metrics.instance_miou == pytest.approx(ious.mean())


def unlabel(store, which):
    """Take the part labels of shapes away, as `prepare` leaves them without NAME.seg."""

    def bare(record):
        if which(record):
            record["unlabelled"] = True

    edit_shapes(store, bare)


def test_validation_shapes_without_labels_are_not_measured(store):
    unlabel(store, lambda record: record["split"] == "val" and record["class"] == "bed")
    meta = json.loads((teach(config(store)) / "teacher.json").read_text())
    assert meta["val_shapes"] == 2
    labelled = [i for i in Store(store).indices("val") if Store(store).is_labelled(int(i))]
    assert len(labelled) == 2


def test_without_any_label_nothing_is_trained(store):
    unlabel(store, lambda record: True)
    with pytest.raises(StoreError, match="no train shape has a point with a label of its part"):
        teach(config(store))
    assert not (store / "teachers").exists()


def test_descriptors_of_every_view_are_exported(taught):
    targets = map_output(taught, "lite0-segmentation", "descriptors", np.array([23, 0, 5]))[:]
    assert targets.shape == (3, 3, 512)
    assert np.isfinite(targets).all()
    assert targets.min() >= 0
    assert targets.std(axis=(0, 1)).max() > 0
    folder = taught.path / "teachers" / "lite0-segmentation"
    arrays = [np.load(folder / "descriptors" / f"{shard}.npy") for shard in taught.shards]
    assert [len(a) for a in arrays] == taught.meta["counts"]
    assert all(a.dtype == np.float16 for a in arrays)
    assert not (taught.path / "features").exists()
    with pytest.raises(StoreError, match="has no features; it has descriptors"):
        map_output(taught, "lite0-segmentation", "features", np.array([0]))[:]


def test_they_are_what_the_saved_network_says(taught):
    again = lesson(taught.path)
    path = taught.path / "teachers" / "lite0-segmentation" / "teacher.safetensors"
    again.teacher.load_state_dict(load_checkpoint(path)[0])
    again.teacher.eval()
    with torch.inference_mode():
        said = again.outputs(np.array([4, 9]))["descriptors"]
        scores = again.scores()
    exported = map_output(taught, "lite0-segmentation", "descriptors", np.array([4, 9]))[:]
    assert np.allclose(said.float().numpy(), exported, atol=2e-3)
    meta = read_teacher(taught, "lite0-segmentation")
    assert {name: meta[name] for name in scores} == scores


def test_it_says_what_it_is(taught):
    meta = read_teacher(taught, "lite0-segmentation")
    assert (meta["task"], meta["settings"]["task"]) == ("segmentation", "segmentation")
    assert (meta["name"], meta["val_shapes"]) == ("lite0-segmentation", 4)
    assert meta["parts"] == {"bed": ["low", "high"], "chair": ["legs", "seat", "back"]}
    assert 0 < meta["val_pixel_miou"] < 1
    assert 0 < meta["val_pixel_accuracy"] < 1


def test_scores_are_those_of_the_predictions(parts_store):
    parts = lesson(parts_store)
    truths, saids, overlaps = [], [], []
    scores = parts.scores()
    for index in parts.store.indices("val").tolist():
        with torch.inference_mode():
            truth, said = parts.store.pixel_labels(index), parts.predict(index)
        start, stop = (0, 2) if parts.store.shapes[index].label == "bed" else (2, 5)
        assert set(np.unique(said)) <= {-1, *range(start, stop)}
        overlaps.append(pixel_iou(truth, said, start, stop))
        truths.append(truth), saids.append(said)
    assert scores["val_pixel_miou"] == pytest.approx(np.mean(overlaps))
    shown = np.stack(truths) >= 0
    right = (np.stack(truths) == np.stack(saids))[shown].mean()
    assert scores["val_pixel_accuracy"] == pytest.approx(right)


def test_it_learns_the_train_part(parts_store):
    parts = lesson(parts_store)
    parts.teacher.train()
    optimizer = torch.optim.Adam(parts.teacher.parameters(), lr=0.01)
    shapes = parts.train[[0, 1, -2, -1]]
    losses = []
    for _ in range(30):
        loss = parts.loss(shapes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-3:]) < 0.2 * losses[0]
    parts.teacher.eval()
    with torch.inference_mode():
        said = np.stack([parts.predict(i) for i in shapes])
    truth = np.stack([parts.store.pixel_labels(i) for i in shapes])
    assert (said == truth).mean() > 0.9
    assert (said == truth)[truth >= 0].mean() > 0.7


def test_a_frozen_encoder_stands_still(parts_store):
    parts = lesson(parts_store)
    before = {name: tensor.clone() for name, tensor in parts.encoder.state_dict().items()}
    parts.teacher.train()
    parts.loss(parts.train[:3]).backward()
    assert all(p.grad is None and not p.requires_grad for p in parts.encoder.parameters())
    assert not any(m.training for m in parts.encoder.modules())
    assert all(torch.equal(t, before[n]) for n, t in parts.encoder.state_dict().items())
    assert all(p.grad is not None for p in parts.teacher.parameters())


def test_a_fine_tuned_encoder_learns_too(parts_store):
    parts = lesson(parts_store, finetune=True)
    parts.teacher.train()
    parts.loss(parts.train[:3]).backward()
    stem = parts.encoder.network.body.conv_stem.weight
    assert stem.grad.abs().max() > 0
    assert "encoder.network.body.conv_stem.weight" in parts.teacher.state_dict()


def test_drawn_pixels_have_the_labels_at_their_places():
    size = 9
    truth = torch.arange(2 * size * size).view(2, size, size)
    places, labels = segmentation._draw_pixels(truth)
    assert places.shape == (2, segmentation.PIXELS, 2)
    column, row = (((places + 1) * size - 1) / 2).round().long().unbind(-1)
    assert torch.equal(labels, truth[torch.arange(2)[:, None], row, column])
    assert [len(of_view.unique()) for of_view in labels] == [size * size] * 2  # all are reached


def test_half_of_the_drawn_pixels_show_a_part():
    truth = torch.full((3, 32, 32), -1)
    truth[0, 5:7, 3:5] = 4
    truth[1] = 2
    _, labels = segmentation._draw_pixels(truth)
    share = (labels >= 0).float().mean(1)
    assert 0.5 <= share[0] < 0.52
    assert share[1:].tolist() == [1, 0]  # nothing but parts; and nothing to be seen


def test_more_views_than_there_are_takes_them_all(parts_store):
    parts = lesson(parts_store, views_per_step=100)
    views, truth = parts._shown((0, parts._draw_views()))
    assert views.shape == truth.shape == (3, 64, 64)
    order = [
        int((views == view).flatten(1).all(1).nonzero()[0])
        for view in torch.from_numpy(parts.store.views(0))
    ]
    assert np.array_equal(truth[order].numpy(), parts.store.pixel_labels(0))


def test_the_random_control(store):
    folder = teach(config(store, teacher="random:lite0", epochs=1))
    assert folder.name == "random-lite0-segmentation"
    targets = map_output(Store(store), folder.name, "descriptors", np.arange(24))[:]
    assert np.isfinite(targets).all()
    assert targets.std(axis=(0, 1)).max() > 0


def test_without_a_validation_part(store, tmp_path):
    def to_train(record):
        record["split"] = "train" if record["split"] == "val" else record["split"]

    folder = teach(config(copy_store(store, tmp_path / "x", to_train), epochs=1))
    said = json.loads((folder / "teacher.json").read_text())
    assert (said["val_pixel_miou"], said["val_pixel_accuracy"]) == (None, None)
    assert said["val_shapes"] == 0


def test_a_store_without_part_labels(tiny_store):
    with pytest.raises(StoreError, match="has no part labels") as caught:
        teach(config(tiny_store))
    assert "\n" not in str(caught.value)
    assert not (tiny_store / "teachers").exists()


def test_an_encoder_without_a_pyramid(store, monkeypatch):
    monkeypatch.setattr(encoders, "_SPECS", dict(encoders._SPECS))
    spec = EncoderSpec(lambda _: torch.nn.Identity(), 3, (0.0,) * 3, (1.0,) * 3, "mine")
    register_encoder("flat", spec)
    with pytest.raises(
        ConfigError,
        match=r"flat: gives no feature maps, .*; use one of lite0, lite1, lite2$",
    ):
        teach(config(store, teacher="flat"))


def test_finished_work_is_kept(taught, monkeypatch):
    monkeypatch.setattr(teach_module, "ImageEncoder", None)  # it would fail
    before = files_of(taught.path / "teachers")
    assert teach(config(taught.path)).name == "lite0-segmentation"
    with pytest.raises(StoreError, match="other settings"):
        teach(config(taught.path, views_per_step=3))
    assert files_of(taught.path / "teachers") == before


@pytest.mark.slow
def test_an_interrupted_lesson_goes_on_where_it_stood(store, monkeypatch):
    calm = files_of(teach(config(store, epochs=3)))
    shutil.rmtree(store / "teachers")
    train_epoch, epochs = trained_module._train_epoch, []

    def until_the_second(*arguments):
        epochs.append(arguments[-1])
        if epochs == [0, 1, 2]:
            raise KeyboardInterrupt
        return train_epoch(*arguments)

    monkeypatch.setattr(trained_module, "_train_epoch", until_the_second)
    with pytest.raises(KeyboardInterrupt):
        teach(config(store, epochs=3))
    assert files_of(teach(config(store, epochs=3))) == calm
    assert epochs == [0, 1, 2, 2]
    assert [p.name for p in (store / "teachers").iterdir()] == ["lite0-segmentation"]


def test_points_that_no_view_sees_are_told_of(store, capsys, monkeypatch):
    monkeypatch.setattr(segmentation, "_MANY_UNSEEN", 0.0)
    teach(config(store, epochs=1))
    opened = Store(store)
    unseen = 1 - opened.visibility(opened.indices("train"), 128).any(axis=2).mean()
    assert f"note: no view sees {unseen:.0%} of the points" in capsys.readouterr().err
    monkeypatch.setattr(segmentation, "_MANY_UNSEEN", 1.0)
    teach(config(store, epochs=1, overwrite=True))
    assert "no view sees" not in capsys.readouterr().err


def test_the_command_tells_part_miou_as_train_does(store, cli):
    options = ("--epochs", 1, "--device", "cpu")
    status, out, error = cli("teach", store, "--task", "segmentation", *options)
    assert (status, len(out.splitlines())) == (0, 1)
    metrics = evaluate_teacher(store / "teachers" / "lite0-segmentation", "val")
    value = f"{metrics.part_miou:.1%}"
    told = f"note: the teacher's part mIoU on the points of the validation split is {value};"
    assert told in error


def test_the_command_with_a_lesson_of_parts_of_ones_own(store, cli, tmp_path):
    """No task is learnt from it, so its answers are compared with no student's."""
    own = tmp_path / "own_parts.py"
    own.write_text(
        "from pointmcd.teachers.lessons.segmentation import SegmentationLesson\n\n\n"
        "class OwnParts(SegmentationLesson):\n"
        '    """The same under another name."""\n'
    )
    options = ("--epochs", 1, "--device", "cpu", "--name", "own")
    status, out, error = cli("teach", store, "--task", f"{own}:OwnParts", *options)
    assert (status, len(out.splitlines())) == (0, 1)
    assert "its answers for points" not in error
    assert (store / "teachers" / "own" / "teacher.json").is_file()
