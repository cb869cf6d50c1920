import numpy as np
import pytest
import torch
from tiny_student import TinyStudent
from torch.nn import functional as F

from pointmcd.data.dataset import Batch
from pointmcd.distill.distillation import ViewDistillation
from pointmcd.errors import ConfigError
from pointmcd.tasks.classification import Classifier
from pointmcd.tasks.pretraining import Pretrainee, PretrainingTask
from pointmcd.tasks.registry import build_model, get_task


@pytest.fixture
def batches():
    """Three batches of unequal size: 3, 3 and 1 shapes."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for count in (3, 3, 1):
        points = torch.randn(count, 20, 3, generator=generator)
        visibility = torch.rand(count, 20, 4, generator=generator) < 0.4
        targets = torch.randn(count, 4, 8, generator=generator)
        made.append(Batch(points, torch.full((count,), -1), None, visibility, targets))
    return made


@pytest.fixture
def model():
    torch.manual_seed(1)
    return Pretrainee(TinyStudent()).eval()


def test_there_is_a_student_and_nothing_else():
    torch.manual_seed(0)
    model = build_model("pretrain", "pointnet", 0)
    torch.manual_seed(0)
    classifier = build_model("classification", "pointnet", 5)
    assert isinstance(classifier, Classifier)
    assert {name.partition(".")[0] for name in model.state_dict()} == {"student"}
    for name, tensor in model.student.state_dict().items():
        assert torch.equal(tensor, classifier.student.state_dict()[name]), name


def test_a_student_with_a_form_for_parts_is_made_in_that_form():
    plain = build_model("pretrain", "dgcnn", 0).student
    parts = build_model("pretrain", "dgcnn", 0, pretrain_for="segmentation").student
    assert type(plain).__name__ == "DGCNN"
    assert type(parts).__name__ == "DGCNNSegmentation"


def test_its_output_is_the_pooled_embedding(model):
    points = torch.randn(2, 10, 3)
    embeddings = model.student(points).embeddings
    assert torch.equal(model(points), embeddings.amax(dim=1))
    logits, features = model.with_features(points)
    assert logits.shape == (2, 0)
    assert torch.equal(features.embeddings, embeddings)


@pytest.mark.parametrize("loss", ["l1", "smooth_l1", "cosine"])
def test_validation_figures_are_means_over_shapes(model, batches, loss):
    torch.manual_seed(2)
    branch = ViewDistillation(24, 8, loss, signed=True).eval()
    with torch.no_grad():
        found = PretrainingTask().validate(model, batches, torch.device("cpu"), branch)
        losses, agreements = [], []
        for batch in batches:
            for row in range(len(batch.points)):
                features = model.student(batch.points[row : row + 1])
                said = branch(features, batch.visibility[row : row + 1])
                losses.append(float(branch.distance(said, batch.targets[row : row + 1])))
                pairs = zip(said[0], batch.targets[row], strict=True)
                agreements.append(np.mean([float(F.cosine_similarity(a, b, 0)) for a, b in pairs]))
    assert found["val_loss"] == pytest.approx(np.mean(losses), abs=1e-6)
    assert found["val_agreement"] == pytest.approx(np.mean(agreements), abs=1e-6)


def test_nothing_is_labelled(model, batches):
    task = get_task("pretrain")
    rows, truth = task.pairs(model.with_features(batches[0].points)[0], batches[0])
    assert len(rows) == len(truth) == 0
    assert not task.labelled


def test_an_unknown_task():
    with pytest.raises(ConfigError, match="--task dream: use one of"):
        get_task("dream")
