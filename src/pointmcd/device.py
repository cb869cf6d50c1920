"""Choose the device to compute on, and send arrays there."""

import torch
from torch import Tensor

from pointmcd.errors import ConfigError
from pointmcd.typing import Array


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        ConfigError: when there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {name}: not available here; use auto or cpu") from error
    return device


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, such as NVIDIA H100, or of another kind of device, such as cpu."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def send(values: Array, device: torch.device) -> Tensor:
    """Send an array to a device; to a GPU from pinned memory, so that nothing waits for it."""
    tensor = torch.from_numpy(values)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def settle(device: torch.device) -> None:
    """Wait until a GPU has computed all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
