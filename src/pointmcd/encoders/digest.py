"""Which weights an encoder has: a hash of them, by which others under the same name are noticed."""

import hashlib

import torch
from torch import Tensor, nn


def weights_digest(network: nn.Module, *about: object) -> str:
    """16 hexadecimal digits over a network's state and what else decides its features.

    Args:
        network: its parameters and buffers count, by name, type, shape and value.
        about: normalisation, input size: anything whose text says what it is.
    """
    digest = hashlib.sha256(repr(about).encode())
    for name, tensor in sorted(network.state_dict().items()):
        if isinstance(tensor, Tensor):  # a module may keep other things there
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode())
            plain = tensor.detach().cpu().contiguous().flatten()
            digest.update(plain.view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
