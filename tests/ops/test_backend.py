import subprocess
import sys

LIMITED = """
import torch
torch.set_num_threads(1)
from pointmcd.ops.masked_max import max_over_points
max_over_points(torch.randn(2, 8, 3, requires_grad=True)).sum().backward()
print(torch.get_num_threads())
"""


def test_the_first_kernel_does_not_lift_torch_s_limit():
    # Only a process that has not used numba yet shows it; torch's sums depend on its threads.
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1"
