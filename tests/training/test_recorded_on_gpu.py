"""Steps recorded on a GPU, held to plain ones; skipped where there is none."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pointmcd.students.registry import create_student
from pointmcd.tasks.classification import Classifier
from pointmcd.tasks.task import Labels, get_task
from pointmcd.training.capture import WARM_UP, CapturedStep, GraphRecorder, optimizer_moments

STEPS = WARM_UP + 4


def trained(model, points, labels, recorded):
    """The parameters after some steps over a schedule, and whether recording was given up."""
    rate = torch.tensor(0.0, device=points.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, fused=True)

    def step(batch, weight):
        loss = weight * F.cross_entropy(model(batch["points"]), batch["labels"])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return {"loss": loss.detach()}

    call = step
    if recorded:
        state = [*model.parameters(), *model.buffers()]
        call = CapturedStep(
            step,
            lambda: state,
            GraphRecorder(),
            points.device,
            lambda: optimizer_moments(optimizer),
        )
    losses = []
    for number in range(STEPS):
        rate.fill_(0.01 / (1 + number))
        batch = {"points": points.roll(number, 0), "labels": labels.roll(number, 0)}
        losses.append(call(batch, 1.0 / (1 + number))["loss"].clone())
    weights = torch.cat([one.detach().flatten() for one in model.parameters()])
    return weights, torch.stack(losses), recorded and call.fails


# CurveNet's walks choose otherwise where scores differ by rounding: losses of two plain trainings
# from weights 1e-6 apart differ most with it (python -m benchmarks.speed.divergence).
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(
    ("student", "loss", "way"),
    [
        ("pointnet", 0.02, 0.1),
        ("dgcnn", 0.02, 0.1),
        ("pointnet2", 0.02, 0.1),
        ("curvenet", 0.3, 0.5),
    ],
)
def test_replays_equal_plain_steps_over_a_schedule(student, loss, way):
    torch.manual_seed(0)
    model = Classifier(create_student(student), 4).cuda().train()
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    points = F.normalize(torch.randn(8, 256, 3, device="cuda"), dim=2)
    labels = torch.arange(8, device="cuda") % 4
    start = torch.cat([one.detach().flatten() for one in model.parameters()])
    plain, losses, _ = trained(copy.deepcopy(model), points, labels, recorded=False)
    replayed, found, fails = trained(model, points, labels, recorded=True)
    assert not fails
    torch.testing.assert_close(found, losses, rtol=loss, atol=1e-4)
    assert (replayed - plain).norm() < way * (plain - start).norm()


class OfOneClass(nn.Module):
    """The parts of shapes of one class, averaged over the points: [B, N, 3] -> [B, P]."""

    def __init__(self):
        super().__init__()
        parts = Labels(["cup"], {"cup": ["rim", "body", "base", "handle"]})
        self.model = get_task("segmentation").build_model("pointnet", parts)

    def forward(self, points):
        ids = torch.zeros(len(points), dtype=torch.long, device=points.device)
        return self.model(points, ids).mean(dim=1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_model_with_a_mask_among_its_buffers_is_recorded():
    torch.manual_seed(0)
    points = F.normalize(torch.randn(4, 128, 3, device="cuda"), dim=2)
    labels = torch.arange(4, device="cuda")
    assert not trained(OfOneClass().cuda().train(), points, labels, recorded=True)[2]
