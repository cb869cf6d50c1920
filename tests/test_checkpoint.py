import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pointmcd.checkpoint import (
    load_checkpoint,
    load_module,
    load_optimizer,
    optimizer_tensors,
    save_checkpoint,
    under_prefix,
    weights_digest,
    with_prefix,
)
from pointmcd.errors import RunError


def test_tensors_and_state_come_back_exactly(tmp_path):
    tensors = {
        "float": torch.randn(3, 4),
        "turned": torch.randn(3, 4).T,
        "count": torch.tensor(7),
        "half": torch.randn(5).half(),
        "grown": nn.Parameter(torch.randn(2)),
        "empty": torch.zeros(0, 3),
    }
    state = {"epoch": 3, "best": 0.25, "settings": {"lr": 1e-3, "name": None}}
    save_checkpoint(tmp_path / "a.safetensors", tensors, state)
    loaded, header = load_checkpoint(tmp_path / "a.safetensors")
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor)
        assert loaded[name].dtype == tensor.dtype
    assert {k: header[k] for k in state} == state


def test_layers_that_share_a_weight(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    model[1].weight = model[0].weight
    save_checkpoint(tmp_path / "c", model.state_dict(), {})
    tensors, _ = load_checkpoint(tmp_path / "c")
    assert torch.equal(tensors["0.weight"], tensors["1.weight"])
    load_module(model, tensors, "c")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux tells its maps")
def test_tensors_do_not_hold_the_file(tmp_path):
    """Windows would not let the next checkpoint replace it."""
    path = tmp_path / "held.safetensors"
    save_checkpoint(path, {"weight": torch.rand(1000)}, {})
    tensors, _ = load_checkpoint(path)
    assert tensors["weight"].shape == (1000,)
    assert path.name not in Path("/proc/self/maps").read_text()


def test_same_content_same_bytes(tmp_path):
    tensors = {"b": torch.randn(3), "a": torch.randn(2)}
    for name in ("one", "two"):
        save_checkpoint(tmp_path / name, tensors, {"epoch": 1})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def damaged(content, how):
    cut = {"truncated": content[:-8], "only a header": content[:9], "empty": b""}
    if how in cut:
        return cut[how]
    if how == "header":
        return content[:20] + b"\xff" * 8 + content[28:]
    return b"PK\x03\x04" + bytes(200)


@pytest.mark.parametrize("how", ["truncated", "only a header", "empty", "header", "foreign"])
def test_a_damaged_file_is_named(tmp_path, how):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, {"a": torch.randn(100)}, {})
    path.write_bytes(damaged(path.read_bytes(), how))
    with pytest.raises(RunError, match=r"last\.safetensors: not a readable checkpoint"):
        load_checkpoint(path)


def test_absent_or_a_folder(tmp_path):
    with pytest.raises(RunError, match=r"last\.safetensors: does not exist; train"):
        load_checkpoint(tmp_path / "last.safetensors")
    with pytest.raises(RunError, match="not a readable checkpoint"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("metadata", [None, {"pointmcd": '{"format": 2}'}, {"other": "x"}])
def test_another_format_is_refused(tmp_path, metadata):
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors", metadata=metadata)
    with pytest.raises(RunError, match=r"x\.safetensors: checkpoint format (None|2), .*reads 1"):
        load_checkpoint(tmp_path / "x.safetensors")


def test_a_header_of_ours_that_is_no_json(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors", metadata={"pointmcd": "{"})
    with pytest.raises(RunError, match=r"x\.safetensors: not a readable checkpoint"):
        load_checkpoint(tmp_path / "x.safetensors")


def network(classes=3, width=4):
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.Linear(width, classes))


def test_a_module_of_the_same_make_is_filled():
    source, target = network(), network()
    load_module(target, source.state_dict(), "x")
    assert all(torch.equal(target.state_dict()[k], v) for k, v in source.state_dict().items())


def test_another_number_of_classes_is_told_apart():
    with pytest.raises(RunError, match=r"x: made for another model or number of classes: 2\.bias"):
        load_module(network(), network(classes=4).state_dict(), "x")


@pytest.mark.parametrize("change", ["less", "more"])
def test_another_model_is_named_by_its_first_strange_tensor(change):
    tensors = network().state_dict()
    if change == "less":
        del tensors["1.running_mean"]
    else:
        tensors["0.extra"] = torch.zeros(1)
    name = {"less": r"1\.running_mean", "more": r"0\.extra"}[change]
    module = network()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with pytest.raises(RunError, match=f"x: made for another model: {name} has no counterpart"):
        load_module(module, tensors, "x")
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_prefixes_part_what_they_joined():
    a, b = {"x": torch.zeros(1), "y.z": torch.ones(1)}, {"x": torch.full((1,), 2.0)}
    both = with_prefix("model", a) | with_prefix("models", b)
    assert under_prefix("model", both) == a
    assert under_prefix("models", both) == b
    assert under_prefix("x", both) == {}


@pytest.mark.parametrize("kind", ["sgd", "adamw", "adam"])
def test_an_optimizer_goes_on_as_if_never_stopped(tmp_path, kind):
    def make():
        torch.manual_seed(0)
        module = network()
        options = {"sgd": {"momentum": 0.9}, "adamw": {"weight_decay": 0.1}, "adam": {}}[kind]
        classes = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
        return module, classes[kind](module.parameters(), lr=0.1, **options)

    def step(module, optimizer, seed):
        x = torch.randn(8, 2, generator=torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        module(x).square().mean().backward()
        optimizer.step()

    calm, calm_optimizer = make()
    for seed in range(4):
        step(calm, calm_optimizer, seed)

    first, first_optimizer = make()
    for seed in range(2):
        step(first, first_optimizer, seed)
    tensors = with_prefix("model", first.state_dict())
    tensors |= with_prefix("optimizer", optimizer_tensors(first_optimizer))
    save_checkpoint(tmp_path / "x", tensors, {})

    loaded, _ = load_checkpoint(tmp_path / "x")
    second, second_optimizer = make()
    load_module(second, under_prefix("model", loaded), "x")
    load_optimizer(second_optimizer, under_prefix("optimizer", loaded))
    for seed in range(2, 4):
        step(second, second_optimizer, seed)
    assert all(torch.equal(second.state_dict()[k], v) for k, v in calm.state_dict().items())


def test_learning_rates_are_left_alone_when_buffers_come_back():
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    module(torch.randn(4, 2)).sum().backward()
    optimizer.step()
    other = torch.optim.SGD(module.parameters(), lr=0.5, momentum=0.9)
    load_optimizer(other, optimizer_tensors(optimizer))
    assert other.param_groups[0]["lr"] == 0.5


FULL = """
import resource, sys
from pathlib import Path
import torch
from pointmcd.checkpoint import save_checkpoint
from pointmcd.errors import PointMCDError
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    save_checkpoint(Path(sys.argv[1]), {"a": torch.randn(1000)}, {})
except PointMCDError as error:
    sys.stdout.write(str(error))
"""


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files")
def test_no_room_for_a_checkpoint_is_one_line_and_keeps_the_old_one(tmp_path):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, {"a": torch.zeros(3)}, {"epoch": 1})
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"{path}: cannot be written: {os.strerror(errno.EFBIG)}")
    assert load_checkpoint(path)[1]["epoch"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


def test_the_digest_of_weights_of_any_type():
    """As those that runs and teachers hold: the name and the bytes of each tensor, by name."""
    tensors = {"b": torch.arange(3), "a": torch.tensor(0.5), "c": torch.ones(2).bfloat16()}
    wanted = hashlib.sha256(b"about")
    for name in "abc":
        bits = tensors[name] if name != "c" else tensors[name].view(torch.int16)
        wanted.update(name.encode() + bits.numpy().tobytes())
    assert weights_digest(tensors, b"about") == wanted.hexdigest()[:16]
