"""A frozen image encoder computed by ONNX Runtime: the same features but for rounding."""

from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor, nn

from pointmcd.onnx_file import OnnxModule, import_extra, write_onnx
from pointmcd.teachers.encoders import ImageEncoder

WHAT = "--runtime onnx"


def run_on_onnx(encoder: ImageEncoder) -> None:
    """Let ONNX Runtime compute the encoder's features from here on; it cannot be trained then.

    On the CPU alone. Features differ from torch's by less than 1e-4 of the largest.

    Raises:
        ConfigError: when the extra `onnx` is absent.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        import_extra(name, WHAT)
    encoder.fold()
    encoder.network = OnnxNetwork(encoder.network)


class OnnxNetwork(nn.Module):
    """Stands in for a network: images [n, 3, S, S] -> features [n, F].

    The network is exported when the first images of a size come: it takes seconds, which are
    spared where every feature stands in the store already.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._by_size: dict[int, OnnxModule] = {}

    def forward(self, images: Tensor) -> Tensor:
        """Without gradients, on the CPU.

        Raises:
            ConfigError: when the network cannot be exported.
        """
        size = images.shape[-1]
        if size not in self._by_size:
            self._by_size[size] = self._export(images)
        return self._by_size[size](images)

    def _export(self, images: Tensor) -> OnnxModule:
        example = images.new_zeros((2, *images.shape[1:]))
        with TemporaryDirectory() as folder:
            path = Path(folder) / "encoder.onnx"
            write_onnx(self.network, (example,), path, WHAT)
            return OnnxModule(path, WHAT)
