"""torch.compile goes through students in one piece."""

import pytest
import torch

from pointmcd.inference.pretrained import create_model


@pytest.mark.parametrize("student", ["pointnet", "pointnet-vanilla"])
@pytest.mark.parametrize("training", [True, False])
def test_students_compile_without_a_break(student, training):
    torch.manual_seed(0)
    model = create_model(student, num_classes=3).train(training)
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    points = torch.randn(4, 32, 3)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(points), model(points), rtol=1e-3, atol=1e-4)
