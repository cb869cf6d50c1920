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
