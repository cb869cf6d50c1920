import logging
import sys
from functools import partial

import pytest
import torch
from torch import nn

from pointmcd.errors import ConfigError
from pointmcd.extras import import_extra
from pointmcd.onnx_file import OnnxModule, write_onnx


class Scaled(nn.Module):
    """Two inputs, dropout that must be off, and as many rows as come."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(4, 3)

    def forward(self, rows, scales):
        return self.linear(self.dropout(rows)) * scales[:, None]


class Undecided(nn.Module):
    def forward(self, rows):
        return rows if rows.sum() > 0 else -rows


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    module, path = Scaled(), tmp_path_factory.mktemp("onnx") / "scaled.onnx"
    examples = (torch.zeros(2, 4), torch.zeros(2))
    write_onnx(module, examples, path, "--to onnx", ["points", "scales"], ["sizes"])
    return module, path


def test_the_file_is_valid_and_names_what_goes_in_and_out(written):
    import onnx

    model = onnx.load(written[1])
    onnx.checker.check_model(model)
    assert [value.name for value in model.graph.input] == ["points", "scales"]
    assert [value.name for value in model.graph.output] == ["sizes"]
    assert [path.name for path in written[1].parent.iterdir()] == ["scaled.onnx"]


@pytest.mark.parametrize("rows", [0, 1, 2, 7])
def test_it_computes_the_same_for_any_number_of_rows(written, rows):
    import onnxruntime

    module, path = written
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    points, scales = torch.randn(rows, 4), torch.randn(rows)
    (found,) = session.run(["sizes"], {"points": points.numpy(), "scales": scales.numpy()})
    assert torch.allclose(torch.from_numpy(found), module(points, scales), atol=1e-6)


def test_it_runs_without_its_file_on_the_threads_of_torch(tmp_path):
    module, path = nn.Linear(4, 3), tmp_path / "linear.onnx"
    write_onnx(module, (torch.zeros(2, 4),), path, "x")
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        run = OnnxModule(path, "x")
    finally:
        torch.set_num_threads(before)
    path.unlink()
    assert run._session.get_session_options().intra_op_num_threads == before + 1
    rows = torch.randn(4, 5).T  # not contiguous
    assert torch.allclose(run(rows), module(rows), atol=1e-6)


def test_what_cannot_be_exported_is_refused_in_one_line_and_quietly(tmp_path, capfd, recwarn):
    with pytest.raises(ConfigError, match=r"^--to onnx: cannot be exported to ONNX: \S") as caught:
        write_onnx(Undecided(), (torch.ones(2, 4),), tmp_path / "x.onnx", "--to onnx")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    assert logging.root.manager.disable == logging.NOTSET
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["onnx", "onnxscript", "onnxruntime"])
def test_without_the_extra_the_install_line(name, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, name, None)
    use = partial(write_onnx, nn.ReLU(), (torch.ones(2, 4),))
    if name == "onnxruntime":
        use = OnnxModule
    with pytest.raises(ConfigError, match=rf"--x: needs {name}; pip install 'pointmcd\[onnx\]'"):
        use(tmp_path / "x.onnx", "--x")


def test_an_extra_that_is_broken_says_why(monkeypatch, tmp_path):
    (tmp_path / "broken_extra.py").write_text("raise ImportError('built for\\nanother Python')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"--x: broken_extra cannot be imported: built for$"):
        import_extra("broken_extra", "onnx", "--x")
