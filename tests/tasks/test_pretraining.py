import numpy as np
import pytest
import torch
from tiny_student import TinyStudent
from torch.nn import functional as F

from pointmcd.data.dataset import Batch
from pointmcd.distill.objective import Objectives, Setup, read_terms
from pointmcd.distill.statistics import ChannelStatistics
from pointmcd.errors import ConfigError
from pointmcd.tasks.classification import Classifier
from pointmcd.tasks.pretraining import PretrainingModel
from pointmcd.tasks.task import Labels, get_task

DISTANCES = {
    "l1": F.l1_loss,
    "smooth_l1": F.smooth_l1_loss,
    "cosine": lambda a, b: (1 - F.cosine_similarity(a, b, dim=2)).mean(),
}


@pytest.fixture
def batches():
    """Three batches of unequal size: 3, 3 and 1 shapes."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for count in (3, 3, 1):
        points = torch.randn(count, 20, 3, generator=generator)
        visibility = torch.rand(count, 20, 4, generator=generator) < 0.4
        targets = torch.randn(count, 4, 8, generator=generator)
        made.append(
            Batch(points, torch.full((count,), -1), None, visibility, {"descriptors": targets})
        )
    return made


@pytest.fixture
def model():
    torch.manual_seed(1)
    return PretrainingModel(TinyStudent()).eval()


def test_there_is_a_student_and_nothing_else():
    torch.manual_seed(0)
    model = get_task("pretrain").build_model("pointnet", Labels([]))
    torch.manual_seed(0)
    classifier = get_task("classification").build_model("pointnet", Labels(list("abcde")))
    assert isinstance(classifier, Classifier)
    assert {name.partition(".")[0] for name in model.state_dict()} == {"student"}
    for name, tensor in model.student.state_dict().items():
        assert torch.equal(tensor, classifier.student.state_dict()[name]), name


def test_a_student_with_a_form_for_parts_is_made_in_that_form():
    plain = get_task("pretrain").build_model("dgcnn", Labels([])).student
    parts = get_task("pretrain,dense=true").build_model("dgcnn", Labels([])).student
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
def test_validation_metrics_are_means_over_shapes(model, batches, loss):
    torch.manual_seed(2)
    below = ChannelStatistics(np.zeros(8), np.ones(8), np.full(8, -1.0))
    setup = Setup(24, {"descriptors": (4, 8)}, lambda _: below, None)
    objectives = Objectives(read_terms([f"vafp:2,distance={loss}"]), setup).eval()
    distance, projection = DISTANCES[loss], objectives["vafp"].projection
    with torch.no_grad():
        found = get_task("pretrain").validate(model, batches, torch.device("cpu"), objectives)
        losses, agreements = [], []
        for batch in batches:
            for row in range(len(batch.points)):
                features = model.student(batch.points[row : row + 1])
                said = projection(features, batch.visibility[row : row + 1])
                wanted = batch.teacher["descriptors"][row : row + 1]
                losses.append(float(distance(said, wanted)))
                pairs = zip(said[0], wanted[0], strict=True)
                agreements.append(np.mean([float(F.cosine_similarity(a, b, 0)) for a, b in pairs]))
    assert found["val_loss"] == pytest.approx(np.mean(losses), abs=1e-6)
    assert found["val_agreement"] == pytest.approx(np.mean(agreements), abs=1e-6)


def test_nothing_is_labelled(model, batches):
    task = get_task("pretrain")
    logits, _ = model.with_features(batches[0].points)
    assert float(task.loss(logits, batches[0], 0.2)) == 0
    assert task.training_metrics(logits, batches[0]) == {}
    assert not task.labelled


def test_an_unknown_task():
    with pytest.raises(ConfigError, match="task dream: unknown; use one of"):
        get_task("dream")
