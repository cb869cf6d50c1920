"""Two processes with half a batch each do what one does with the whole: the layers."""

import os
import subprocess
import sys

import pytest
import synced_cases
import torch
from synced_cases import BATCH, outcome, variants
from torch import nn

from pointmcd.ops.batch_norm import SyncedBatchNorm, synchronise

LAYERS, STUDENTS = variants("layers"), variants("students")


def run_halves(kind, folder):
    """What the two processes found, each case by name."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, synced_cases.__file__, kind]
    started = [
        subprocess.Popen([*command, str(rank), str(folder)], env=environment) for rank in (0, 1)
    ]
    assert [process.wait(timeout=300) for process in started] == [0, 0]
    return [torch.load(folder / f"{rank}.pt") for rank in (0, 1)]


@pytest.fixture(scope="module")
def layer_halves(tmp_path_factory):
    return run_halves("layers", tmp_path_factory.mktemp("layers"))


@pytest.fixture(scope="module")
def student_halves(tmp_path_factory):
    return run_halves("students", tmp_path_factory.mktemp("students"))


def together(first, second):
    """Values joined, gradients of parameters summed, buffers of the first process."""
    joined = {name: torch.cat([first[name], second[name]]) for name in ("value", "inputs")}
    grads = {n: g + second[n] for n, g in first.items() if n.startswith("grad ")}
    return first | joined | grads


def largest_error(found, wanted):
    assert found.keys() == wanted.keys()
    pairs = [(found[name].double(), wanted[name].double()) for name in wanted]
    return max(float((a - b).abs().max() / (1 + b.abs().max())) for a, b in pairs)


def assert_like_one_process(halves, name, case, dtype, tolerance):
    wanted = outcome(case, dtype, slice(BATCH))
    found = [half[f"{name} True"] for half in halves]
    assert largest_error(together(*found), wanted) < tolerance
    running = [n for n in wanted if "running" in n]
    assert all(torch.equal(found[0][n], found[1][n]) for n in running)
    # The control: statistics of half the batch are far from those of the whole.
    apart = together(*[half[f"{name} False"] for half in halves])
    assert largest_error(apart, wanted) > 0.01


@pytest.mark.parametrize("name", LAYERS)
def test_two_processes_do_what_one_does_with_the_whole_batch(layer_halves, name):
    case, dtype = LAYERS[name]
    tolerance = 1e-9 if dtype is torch.float64 else 1e-4
    assert_like_one_process(layer_halves, name, case, dtype, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDENTS)
def test_whole_students_do(student_halves, name):
    case, dtype = STUDENTS[name]
    assert_like_one_process(student_halves, name, case, dtype, 1e-6)


def test_only_torchs_own_norms_change_and_nothing_else_does():
    class Own(nn.BatchNorm1d):
        pass

    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), Own(4), nn.LayerNorm(4))
    kinds, before = [type(part) for part in module], {k: id(v) for k, v in named(module)}
    synchronise(module)
    assert [type(part) for part in module] == [kinds[0], SyncedBatchNorm, *kinds[2:]]
    assert {k: id(v) for k, v in named(module)} == before


def named(module):
    return [*module.named_parameters(), *module.named_buffers()]


@pytest.mark.parametrize("tracked", [True, False])
def test_evaluation_is_torchs_own(tracked):
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3, track_running_stats=tracked).eval()
    images = torch.randn(2, 3, 4, 4)
    wanted = norm(images)
    synchronise(norm)
    assert torch.equal(norm(images), wanted)
