"""Part segmentation with few labels: the teacher's pixels are carried to the points."""

import numpy as np
import pytest
import torch
from store_copies import copy_store
from trainers import trainer_of

from pointmcd.data.dataset import NO_LOGIT, POINT_LOGITS, ShapeDataset
from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.evaluation.evaluate import evaluate
from pointmcd.tasks.task import Labels, get_task
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.lessons.segmentation import SegmentationLesson
from pointmcd.teachers.stored import map_output
from pointmcd.teachers.teach import teach
from pointmcd.training.run import Run
from pointmcd.training.train import train
from pointmcd.views.places import project_points, stored_framing
from pointmcd.views.rig import Rig

pytestmark = pytest.mark.usefixtures("one_thread")
TEACH = {"task": "segmentation", "epochs": 1, "views_per_step": 1, "device": "cpu"}
FEW = {"task": "segmentation", "label_fraction": 0.34, "objective": (), "teacher": "lite0"}


@pytest.fixture(scope="module")
def store(parts_store, tmp_path_factory):
    path = copy_store(parts_store, tmp_path_factory.mktemp("few-parts") / "store")
    teach(TeachConfig(path, label_fraction=0.34, **TEACH))
    return path


NAME = "lite0-segmentation-0.34-s0"


@torch.inference_mode()
def test_logits_of_a_point_are_those_of_its_pixels_in_the_views_that_see_it(store):
    opened = Store(store)
    settings = TeachConfig(store, label_fraction=0.34, **TEACH)
    lesson = SegmentationLesson(opened, settings, torch.device("cpu"), ImageEncoder("lite0", 0))
    lesson.teacher.eval()
    rig = Rig.from_json(opened.rig)
    for index in (0, 20):
        row = np.array([index])
        (found,) = lesson.outputs(row)[POINT_LOGITS].float()
        start, stop = opened.part_ranges[opened.labels(row)[0]]
        places = project_points(opened.points(row, 128)[0], rig, stored_framing(opened, index))
        seen = opened.visibility(row, 128)[0]
        labels = torch.from_numpy(opened.labels(row))
        views = [
            lesson.teacher(lesson._inputs(torch.from_numpy(view[None])), labels)
            for view in opened.views(index)
        ]
        for point in range(0, 128, 7):
            each = []
            for number in np.flatnonzero(seen[point]):
                at = torch.tensor(2 * places[number, point] / rig.size - 1).float().view(1, 1, 2)
                each.append(lesson.decoder.logits_at(views[number], at)[0, 1 + start : 1 + stop, 0])
            if each:
                wanted = torch.stack(each).mean(dim=0)
                assert torch.allclose(found[point, : stop - start], wanted, atol=0.02)
                assert (found[point, stop - start :] == NO_LOGIT).all()
            else:
                assert (found[point] == NO_LOGIT).all()
    assert found.shape == (128, 3)  # the chair has three parts, the bed two


def test_a_batch_has_them_at_its_own_points_and_of_all_parts(store):
    opened = Store(store)
    indices = opened.indices("train")
    output = map_output(opened, NAME, POINT_LOGITS, indices)
    batch = ShapeDataset(opened, indices, 40, {POINT_LOGITS: output}).__getitems__([0, 11])
    said = batch.teacher[POINT_LOGITS].numpy()
    assert said.shape == (2, 40, 5)
    for row, place in enumerate((0, 11)):
        start, stop = opened.part_ranges[batch.labels[row]]
        assert np.array_equal(said[row, :, start:stop], output[[place]][0, :40, : stop - start])
        assert (np.delete(said[row], range(start, stop), axis=1) == NO_LOGIT).all()


def test_points_drawn_anew_have_their_own_logits(make, store):
    options = FEW | {"objective": ("point_logits",), "points": 20}
    config = make("a", store, resample=True, **options)
    dataset = trainer_of(config).unlabelled
    batch = dataset.__getitems__([3])
    stored = Store(store).points(dataset.indices[[3]], 128)[0]
    moved = batch.points[0].numpy()
    # Scaled and shifted along each axis alike: the order of x says which points they are.
    rows = dataset.draw([3]).chosen[0]
    assert np.array_equal(np.argsort(stored[rows, 0]), np.argsort(moved[:, 0]))
    start, stop = Store(store).part_ranges[batch.labels[0]]
    wanted = dataset.teacher[POINT_LOGITS][[3]][0, rows, : stop - start]
    assert np.array_equal(batch.teacher[POINT_LOGITS][0, :, start:stop].numpy(), wanted)


def test_part_labels_that_are_held_back_are_not_read(make, store, monkeypatch):
    opened, config = Store(store), make("a", store, **FEW)
    asked, read = [], Store.part_labels
    spied = lambda s, i, n: (asked.extend(np.array(i)), read(s, i, n))[1]  # noqa: E731
    monkeypatch.setattr(Store, "part_labels", spied)
    path = train(config)
    known = {*labelled_train(opened, 0.34, 0), *opened.indices("val")}
    assert set(asked) <= known
    assert len(known) < len(opened.indices("train"))
    monkeypatch.undo()
    found = evaluate(path, device="cpu")
    assert set(found) == {"last", "best", "teacher"}
    assert 0 <= found["teacher"].instance_miou <= 1


def test_the_default_objective_is_that_of_points(make, store):
    run = Run(train(make("b", store, **FEW)))
    assert run.config.objectives == ("point_logits:1",)
    assert run.meta["teacher"]["name"] == NAME
    assert all("point_logits_loss" in record for record in run.metrics())


def test_what_the_teacher_says_itself():
    known = Labels(["a", "b"], {"a": ["x", "y"], "b": ["u", "v", "w"]})
    answer = torch.full((2, 4, 3), NO_LOGIT)
    answer[0, 0, :2] = torch.tensor([0.0, 1.0])
    answer[0, 1, :2] = torch.tensor([0.0, 3.0])
    answer[0, 2, :2] = torch.tensor([2.0, 0.0])  # the last point is seen by no view
    answer[1, :, 2] = 0.0
    truth = {"truth": np.zeros((2, 4), np.int16)}
    found = get_task("segmentation").teacher_predictions(answer, np.array([0, 1]), known, truth)
    assert found["predictions"].tolist() == [[1, 1, 0, 1], [4, 4, 4, 4]]
