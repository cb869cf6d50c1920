"""Devices that are not here: modes that refuse what they could not do, and the paths they take."""

import importlib
import pkgutil
import sys
from collections import Counter
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import torch
import yaml
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
    """Refuse that coordinates, [B, N, 3] or [B, 3, N], become less than float32.

    With them more channels, such as normals: 3 + F in all.
    """

    def __init__(self, clouds, points, channels=3):
        super().__init__()
        self.shapes = set()
        for c in (3, channels):
            self.shapes |= {(clouds, points, c), (clouds, c, points), (clouds * points, c)}

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
        monkeypatch.setattr(backend, "DEVICES_WITHOUT_DOUBLE", ["cuda", "mps", "cpu"])


class CountOperations(TorchDispatchMode):
    """Count what would be launches on a GPU: operations that make or change values.

    Attributes:
        launches: how often each came.
    """

    #: Operations that wait for the device, or whose results are of a size that only it knows.
    WAITS = ("_local_scalar_dense", "item", "nonzero", "bincount", "unique", "masked_select")

    def __init__(self):
        super().__init__()
        self.launches = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        if name.startswith(self.WAITS):
            raise AssertionError(f"{name} waits for the device")
        returned = [one.alias_info for one in func._schema.returns]
        view = any(alias is not None and not alias.is_write for alias in returned)
        if not view and name != "detach" and not name.startswith(("empty", "new_empty")):
            self.launches[name] += 1
        return func(*args, **(kwargs or {}))


class _Launch:
    """Stands for a Triton kernel; counts its launches."""

    def __init__(self, name, launches):
        self.name, self.launches = name, launches

    def __getitem__(self, grid):
        return self

    def __call__(self, *args, **options):
        self.launches[self.name] += 1


def like_a_gpu(monkeypatch, launches):
    """Let the meta device, which computes nothing, take a GPU's path; count Triton's launches."""
    from pointmcd.ops import gpu

    for found in pkgutil.iter_modules(gpu.__path__):
        module = importlib.import_module(f"{gpu.__name__}.{found.name}")
        for name in [name for name in vars(module) if name.endswith("_kernel")]:
            if name != "gpu_kernel":
                monkeypatch.setattr(module, name, _Launch(name, launches))
    monkeypatch.setattr(backend, "TRITON_DEVICES", ["cuda", "meta"])
    monkeypatch.setattr(backend, "_has_triton", lambda device: True)
    monkeypatch.setattr(backend, "DEVICES_WITHOUT_DOUBLE", ["cuda", "mps", "meta"])
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)


@cache
def mps_kernels():
    """Names of the operations that torch's own table gives to MPS, as `add.Tensor`."""
    folder = Path(importlib.import_module("torchgen").__file__).parent
    text = (folder / "packaged" / "ATen" / "native" / "native_functions.yaml").read_text()
    entries = {entry["func"].split("(")[0]: entry for entry in yaml.load(text, yaml.CSafeLoader)}

    def serves(entry):
        if "structured_delegate" in entry:
            return serves(entries[entry["structured_delegate"]])
        keys = ",".join(entry.get("dispatch", {"CompositeImplicitAutograd": ""})).split(",")
        return any(key.strip() == "MPS" or key.strip().startswith("Composite") for key in keys)

    return {name for name, entry in entries.items() if serves(entry)}


class OnMPS(NoDoubles):
    """Refuse float64, and every operation that torch has no kernel of for MPS."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        space, name = func._schema.name.split("::")
        name += f".{func._schema.overload_name}" if func._schema.overload_name else ""
        if space == "aten" and name not in mps_kernels():
            raise AssertionError(f"{name} is not there on MPS")
        return super().__torch_dispatch__(func, types, args, kwargs)
