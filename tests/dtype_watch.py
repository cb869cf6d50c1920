"""Devices that are not here: modes that refuse what they could not do, and the paths they take."""

import sys

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pointmcd.ops import backend


class NoDoubles(TorchDispatchMode):
    """Refuse every operation that gives float64, which MPS has not."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if any(isinstance(x, torch.Tensor) and x.dtype == torch.float64 for x in tree_leaves(out)):
            raise AssertionError(f"{func} gives float64")
        return out


class NoRounding(TorchDispatchMode):
    """Refuse that coordinates, [B, N, 3] or [B, 3, N], become less than float32."""

    def __init__(self, clouds, points):
        super().__init__()
        self.shapes = {(clouds, points, 3), (clouds, 3, points), (clouds * points, 3)}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._to_copy.default and out.dtype in (torch.bfloat16, torch.half):
            shape = tuple(args[0].shape)
            if shape in self.shapes:
                raise AssertionError(f"coordinates {shape} are rounded to {out.dtype}")
        return out


def without_kernels(monkeypatch, doubles=True):
    """Let the CPU take the paths of a device without kernels, and, say, without float64."""
    for name, module in list(sys.modules.items()):
        if name.startswith("pointmcd.") and hasattr(module, "numba_fits"):
            monkeypatch.setattr(module, "numba_fits", lambda *_: False)
    if not doubles:
        monkeypatch.setattr(backend, "DEVICES_WITHOUT_DOUBLE", ["mps", "cpu"])
