"""Triton's kernels, compiled to machine code for GPUs that need not be there.

The interpreter, which runs the kernels where there is no GPU, forgives what the compiler does not.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

#: Bytes of shared memory that every GPU of capability 8.0 or later gives a program.
SHARED = 99 * 1024
KERNELS = ["pack", "max", "spread", "pool", "unpool", "extreme", "members", "weight"]
#: Those that take float32 alone.
FULL_KERNELS = ["forward", "backward", "farthest", "query", "group", "nearest", "farthest_tiles"]


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("capability", "case"),
    [
        *((80, case) for case in ("widest", "odd", "ones", "half")),
        *((capability, case) for capability in (90, 100) for case in ("widest", "odd", "half")),
    ],
)
def test_every_launch_compiles(capability, case, tmp_path):
    # In a process of its own: there, kernels are not the interpreter's; and a cache of its own.
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, __file__, str(capability), case],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    names = KERNELS if case == "half" else KERNELS + FULL_KERNELS
    assert {f"{name}_kernel" for name in names} == set(made)
    assert all(kernel["bytes"] > 0 for kernel in made.values())
    assert all(kernel["shared"] <= SHARED for kernel in made.values()), made


def compile_launches(capability):
    """From here on, launching a kernel compiles it as that launch would, and runs nothing."""
    import torch
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    made = {}

    def launch(kernel, *args, grid, warmup, **options):
        signature, constants, aligned = {}, {}, {}
        for place, (parameter, value) in enumerate(zip(kernel.params, args, strict=True)):
            name, is_tensor = parameter.name, isinstance(value, torch.Tensor)
            if parameter.is_constexpr or (not is_tensor and value == 1):
                signature[name], constants[name] = "constexpr", value
                continue
            signature[name] = triton.runtime.jit.mangle_type(value)
            if (value.data_ptr() if is_tensor else value) % 16 == 0:
                aligned[(place,)] = [["tt.divisibility", 16]]
        source = ASTSource(kernel, signature, constants, aligned)
        target = GPUTarget("cuda", capability, 32)
        compiled = triton.compile(source, target=target, options=options)
        made[kernel.__name__] = {
            "shared": compiled.metadata.shared,
            "bytes": len(compiled.asm["cubin"]),
        }

    triton.JITFunction.run = launch
    return made


def launch_all(batch, count, k, views, narrow, wide, dtype):
    """Forward and backward of every operation, as the library calls them."""
    import torch

    from pointmcd.ops.gpu import (
        ball_query,
        edge_layer,
        farthest,
        group_max,
        masked_max,
        nearest,
        neighbours,
    )

    values = torch.zeros(batch, count, narrow, dtype=dtype)
    seen = torch.ones(batch, count, views, dtype=torch.bool)
    index = torch.zeros(batch, count, k, dtype=torch.int64)
    pooled, argmax = masked_max.forward(values, seen)
    masked_max.backward(pooled, argmax, count)
    most, where = neighbours.forward(values, index)
    neighbours.backward(most, index, where, count)
    weight, sign = torch.zeros(wide, narrow), torch.ones(wide)
    most, where = group_max.forward(values, weight)
    group_max.backward(most, values, weight, where, values.float())
    if dtype is not torch.float32:
        return
    extreme, where, mean, covariance = edge_layer.forward(values, values, index, weight, sign, 0.2)
    saved = (values, values, index, weight, where, mean)
    edge_layer.backward(saved, extreme, covariance, mean, 0.2)
    points, order = values[:, :, :1].expand(-1, -1, 3), index[:, :, 0].contiguous()
    farthest.sample(points, order)
    farthest.sample(points[:1, :1].expand(1, farthest.MOST_POINTS + 1, -1), order)
    for first in (True, False):
        ball_query.query(points, points, 0.25, k, first)
    nearest.nearest(values, values[:, :, 0], k)


if __name__ == "__main__":
    import torch

    made = compile_launches(int(sys.argv[1]))
    cases = {
        "odd": (2, 96, 20, 12, 20, 30, torch.float32),
        "ones": (1, 1, 1, 1, 1, 1, torch.float32),
        "half": (2, 96, 20, 12, 64, 64, torch.bfloat16),
        "widest": (2, 96, 40, 12, 64, 128, torch.float32),
    }
    launch_all(*cases[sys.argv[2]])
    print(json.dumps(made))
