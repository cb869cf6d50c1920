import subprocess
import sys

import pytest
import torch

from pointmcd.ops import backend

LIMITED = """
import torch
torch.set_num_threads(1)
import numba
from pointmcd.ops.masked_max import max_over_points
max_over_points(torch.randn(2, 8, 3, requires_grad=True)).sum().backward()
print(torch.get_num_threads(), numba.get_num_threads())
"""


def test_the_first_kernel_does_not_lift_torch_s_limit():
    # Only a process that has not used numba yet shows it; torch's sums depend on its threads.
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "1"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="Triton starts where there is a GPU")
def test_where_triton_does_not_start_torch_serves_and_says_so(monkeypatch):
    pytest.importorskip("triton")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    backend._triton_starts.cache_clear()
    with pytest.warns(UserWarning, match="torch serves"):
        assert not backend._has_triton(torch.device("cuda"))
    assert not backend._has_triton(torch.device("cuda"))  # said once
    monkeypatch.setattr(backend, "_triton_starts", lambda: True)
    for capability, served in (((9, 0), True), ((8, 0), True), ((7, 5), False)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, c=capability: c)
        assert backend._has_triton(torch.device("cuda")) is served


def test_triton_serves_no_cpu_unless_interpreted(monkeypatch):
    pytest.importorskip("triton")
    floats = torch.zeros(1)
    assert not backend.triton_fits(floats)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert backend.triton_runs(floats, floats.half(), floats.bfloat16())
    assert not backend.triton_fits(floats)
    assert not backend.triton_runs(floats.double())
    monkeypatch.delenv("TRITON_INTERPRET")
    assert not backend.triton_runs(floats)


@backend.without_gradient
def direction(points):
    return points / points.norm()


class Constant(torch.nn.Module):
    def __init__(self, named=False):
        super().__init__()
        self.named = named

    def forward(self, points):
        with backend.full_precision(points):
            constant = direction(points=points) if self.named else direction(points)
            return (points * constant).sum()


def test_what_is_without_gradient_is_a_constant():
    points = torch.tensor([3.0, 4.0], requires_grad=True)
    assert not direction(points).requires_grad
    for module in (Constant(), Constant(named=True)):
        for each in (module, torch.compile(module, fullgraph=True, backend="eager")):
            (gradient,) = torch.autograd.grad(each(points), points)
            torch.testing.assert_close(gradient, torch.tensor([0.6, 0.8]))


def test_an_exported_program_is_one_piece():
    # Torch makes each context that it records a program of its own, and CurveNet had dozens.
    program = torch.export.export(Constant(), (torch.ones(2),), strict=False)
    assert all(isinstance(n.target, str | torch._ops.OpOverload) for n in program.graph.nodes)


def test_full_precision_turns_autocast_off():
    half, full = torch.ones(2, 2, dtype=torch.bfloat16), torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert (full @ full).dtype == torch.bfloat16
        with backend.full_precision(full):
            assert ((full @ full).dtype, (half @ half).dtype) == (torch.float32, torch.bfloat16)
