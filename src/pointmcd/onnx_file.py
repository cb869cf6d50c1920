"""Write a torch module as an ONNX file, and run it with ONNX Runtime on the CPU (an extra)."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pointmcd.errors import ConfigError, first_line
from pointmcd.extras import import_extra

EXTRA = "onnx"


def require_onnx(what: str) -> None:
    """Refuse to begin `what` without the packages that write an ONNX file and run it.

    Raises:
        ConfigError: when the extra is absent.
    """
    for name in ("onnx", "onnxscript", "onnxruntime"):
        import_extra(name, EXTRA, what)


def write_onnx(
    module: nn.Module,
    examples: tuple[Tensor, ...],
    path: Path,
    what: str,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    sizes: tuple[Mapping[int, Any], ...] | None = None,
    translations: Mapping[Callable[..., Any], Callable[..., Any]] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a module, in evaluation, as an ONNX file that takes any number of rows.

    Args:
        module: its `forward` takes the tensors in `examples`.
        examples: inputs [n, ...], n at least 2; only n may differ later, but for `sizes`.
        path: the file; of weights beyond 2 GB a second one stands beside it.
        what: what asks for it, for error texts.
        inputs: their names in the file; by default the exporter's own.
        outputs: the same for what comes out.
        sizes: of each input the dimensions that may differ, `{dimension: torch.export.Dim}`.
        translations: operations of our own in ONNX Script.
        metadata: kept in the file under these names.

    Raises:
        ConfigError: when the extra is absent, or the module has what ONNX cannot express.
    """
    require_onnx(what)
    rows = torch.export.Dim("rows")
    dynamic: Any = sizes or tuple({0: rows} for _ in examples)
    try:
        with _quiet(), torch.no_grad():
            # Apart from the export to ONNX, which would fix a size that it cannot leave open.
            traced = torch.export.export(
                module.eval(), examples, dynamic_shapes=dynamic, strict=False
            )
            program = torch.onnx.export(
                traced,
                dynamo=True,
                optimize=False,
                verbose=False,
                input_names=inputs,
                output_names=outputs,
                custom_translation_table=dict(translations or {}),
            )
            assert program is not None
            _simplify(program.model)
    except Exception as error:  # of the tracer, the exporter or the module
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise ConfigError(f"{what}: cannot be exported to ONNX: {first_line(cause)}") from error
    program.model.metadata_props.update(metadata or {})
    program.save(str(path))


def _simplify(model: Any) -> None:
    """Fold constants and drop what nothing reads, in place.

    The exporter's own optimisation also tries pairs of nodes, which takes minutes for a large model
    and gains nothing that ONNX Runtime does not find.
    """
    from onnxscript import optimizer

    optimizer.inline(model)
    optimizer.fold_constants(model)
    optimizer.remove_unused_nodes(model)


class OnnxModule:
    """An ONNX file with one output, run on as many CPU threads as torch uses.

    The file may go once this is made; errors are led by `what`, which asks for it.

    Raises:
        ConfigError: when ONNX Runtime is absent.
    """

    def __init__(self, path: Path, what: str) -> None:
        runtime = import_extra("onnxruntime", EXTRA, what)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        self._session = runtime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = [value.name for value in self._session.get_inputs()]

    def __call__(self, *rows: Tensor) -> Tensor:
        """Tensors [n, ...] on the CPU, one for each input -> the output [n, ...]."""
        arrays = (tensor.contiguous().numpy() for tensor in rows)
        (result,) = self._session.run(None, dict(zip(self._inputs, arrays, strict=True)))
        return torch.from_numpy(result)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's warnings, log lines and graphs."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
