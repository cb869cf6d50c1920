"""Runtimes of a frozen image encoder: the same features but for rounding, in less time.

Features differ from those of the encoder as it is by less than 1e-4 of the largest.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from pointmcd.encoders.image_encoder import ImageEncoder
from pointmcd.onnx_file import OnnxModule, require_onnx, write_onnx

ONNX = "--runtime onnx"


def use_runtime(encoder: ImageEncoder, runtime: str) -> None:
    """Let a runtime compute the encoder's pooled features from here on; it cannot be trained then.

    The encoder is changed in place. Of "torch" and "onnx", the latter is for the CPU alone.

    Raises:
        ConfigError: when the extra `onnx` is absent.
    """
    encoder.fold()
    if runtime == "onnx":
        require_onnx(ONNX)
        encoder.network = OnnxNetwork(encoder.network)


class OnnxNetwork(nn.Module):
    """Stands in for a network on the CPU: images [n, 3, S, S] -> features [n, F], no gradients.

    It is exported, for any number of images [n, 3, S, S], when the first of a size come: that takes
    seconds, which are spared where the store has every feature already.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._by_size: dict[int, OnnxModule] = {}

    def forward(self, images: Tensor) -> Tensor:
        """Raises ConfigError when the network cannot be exported."""
        size = images.shape[-1]
        if size not in self._by_size:
            example = torch.zeros_like(images[:1]).expand(2, -1, -1, -1)
            self._by_size[size] = _export(
                self.network.eval(), example.contiguous(memory_format=torch.channels_last)
            )
        return self._by_size[size](images)


def _export(network: nn.Module, example: Tensor) -> OnnxModule:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "encoder.onnx"
        write_onnx(network, (example,), path, ONNX)
        return OnnxModule(path, ONNX)
