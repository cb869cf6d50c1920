"""Checkpoints: tensors and a JSON state in one safetensors file, replaced atomically."""

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pointmcd.errors import RunError
from pointmcd.files import replacing

_CHECKPOINT_FORMAT = 1
#: Seconds between the checkpoints of a training, at the least: short epochs, such as those of a
#: small set on a GPU, would otherwise wait for the disk most of the time. What is killed repeats
#: the epochs that it lost.
SAVE_EVERY = 1.0


def weights_digest(tensors: Mapping[str, Tensor], about: bytes = b"") -> str:
    """Return 16 hexadecimal digits over tensors by name, and over `about` before them."""
    digest = hashlib.sha256(about)
    for name, tensor in sorted(tensors.items()):
        plain = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(name.encode() + plain.numpy().tobytes())
    return digest.hexdigest()[:16]


class SaveTimer:
    """Tells after which epochs a checkpoint is written: the last one, and once in `SAVE_EVERY`."""

    def __init__(self) -> None:
        self.written()

    def is_due(self, last: bool) -> bool:
        """Return whether to write now; `last`: nothing follows."""
        return last or time.perf_counter() - self._start >= SAVE_EVERY

    def written(self) -> None:
        """Begin anew."""
        self._start = time.perf_counter()


def save_checkpoint(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write `tensors` and `state` (JSON) to `path`; an older file there stays whole until then."""
    # Copies: two layers may share a weight, which safetensors refuses.
    whole = torch.contiguous_format
    copies = {name: t.detach().cpu().clone(memory_format=whole) for name, t in tensors.items()}
    header = {"pointmcd": json.dumps({"format": _CHECKPOINT_FORMAT, **state})}
    with replacing(path) as temporary:
        # safetensors' own writer hides a full disk behind an error of another type.
        temporary.write_bytes(save(copies, metadata=header))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_checkpoint` wrote.

    Raises:
        RunError: when the file is absent, damaged, not ours, or of another format.
    """
    try:
        with safe_open(path, framework="pt") as file:
            # Copies: Windows replaces no file that tensors are mapped from.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            header = json.loads((file.metadata() or {}).get("pointmcd", "{}"))
    except FileNotFoundError as error:
        raise RunError(f"{path}: does not exist; train the run first") from error
    except (OSError, ValueError, SafetensorError) as error:
        raise RunError(f"{path}: not a readable checkpoint; is it damaged? train again") from error
    if header.get("format") != _CHECKPOINT_FORMAT:
        raise RunError(
            f"{path}: checkpoint format {header.get('format')}, this version reads"
            f" {_CHECKPOINT_FORMAT}; train again"
        )
    return tensors, header


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with names under `prefix.`."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names are under `prefix.`, without it."""
    start = f"{prefix}."
    return {n[len(start) :]: t for n, t in tensors.items() if n.startswith(start)}


def load_module(module: torch.nn.Module, tensors: dict[str, Tensor], what: str) -> None:
    """Load tensors into a module.

    A part of it may state `former_names`, {name of a module: its name now}, both within the part:
    tensors saved under the former are taken too.

    Raises:
        RunError: naming the first that is missing, left over, or of another shape.
    """
    wanted = module.state_dict()
    tensors = _renamed(module, tensors)
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors or name not in wanted:
            raise RunError(f"{what}: made for another model: {name} has no counterpart")
        if wanted[name].shape != tensors[name].shape:
            raise RunError(
                f"{what}: made for another model or number of classes: {name} is"
                f" {list(tensors[name].shape)}, expected {list(wanted[name].shape)}"
            )
    module.load_state_dict(tensors)


def _renamed(module: torch.nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    names: dict[str, str] = {}
    for path, part in module.named_modules():
        start = f"{path}." if path else ""
        former: dict[str, str] = getattr(part, "former_names", {})
        names |= {f"{start}{old}": f"{start}{new}" for old, new in former.items()}
    renamed = {}
    for name, tensor in tensors.items():
        owner, dot, last = name.rpartition(".")
        renamed[f"{names.get(owner, owner)}{dot}{last}"] = tensor
    return renamed


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return momentum and other buffers, named `<parameter number>.<buffer>`."""
    return {
        f"{number}.{name}": torch.as_tensor(value)
        for number, buffers in optimizer.state_dict()["state"].items()
        for name, value in buffers.items()
        if value is not None
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load buffers named by `optimizer_tensors`; learning rates are left alone."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
