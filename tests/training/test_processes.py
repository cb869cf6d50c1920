"""`accelerate launch`: two processes train as one does, one of them writes, and all end together.

The student compared draws no noise while it trains. By SGD in small steps rounding grows little:
measured, records differ by 2e-7, weights and momentum by 1.4e-5. The first steps of AdamW, of one
size whatever the gradient's, would bring it into the leading digits. Without synchronised norms
both differ by more than all.
"""

import shutil

import pytest
import torch
from launching import launch, said

from pointmcd.checkpoint import load_checkpoint
from pointmcd.cli import main
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.run import Run

pytestmark = pytest.mark.slow
HEAD = "classification,head=single"
#: Two steps an epoch.
OPTIONS = ("--points", 64, "--batch-size", 4, "--device", "cpu")
#: Dropout is drawn by each process for itself: the head has none.
SGD = (*OPTIONS, "--optimizer", "sgd", "--lr", 0.001, "--epochs", 2, "--task", HEAD)
TINY = ("--student", "tiny_student:TinyStudent", "--no-distill")


@pytest.fixture(scope="module")
def alone(taught_store, tmp_path_factory):
    """The run of one process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    main([str(a) for a in ("train", taught_store, "--out", out, *SGD)])
    torch.set_num_threads(before)
    return Run(out)


@pytest.fixture(scope="module")
def launched(taught_store, tmp_path_factory):
    """One launch: a run that is refused, then that of two processes; what it printed, and where."""
    folder = tmp_path_factory.mktemp("launched")
    odd = ["train", taught_store, "--out", folder / "odd", *SGD, "--batch-size", 7]
    done = launch(odd, ["train", taught_store, "--out", folder / "run", *SGD])
    return done, folder


def record_error(run, other):
    """Largest relative difference of what two runs recorded, epoch by epoch."""
    assert [m["epoch"] for m in run.metrics()] == [m["epoch"] for m in other.metrics()]
    pairs = [
        (a[name], b[name])
        for a, b in zip(run.metrics(), other.metrics(), strict=True)
        for name in a.keys() - {"seconds"}
    ]
    return max(abs(a - b) / max(abs(b), 1e-9) for a, b in pairs)


def weight_error(run, other):
    """Largest difference of weights, statistics and momentum; of large entries, relative."""
    found, wanted = (load_checkpoint(r.checkpoint("last"))[0] for r in (run, other))
    assert found.keys() == wanted.keys()
    pairs = [(found[n].double(), wanted[n].double()) for n in wanted]
    return max(float((a - b).abs().max() / (1 + b.abs().max())) for a, b in pairs)


def test_two_processes_give_what_one_gives(alone, launched):
    done, folder = launched
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(folder / "run")]  # said once
    assert "Warning" not in done.stderr
    run = Run(folder / "run")
    assert {p.name for p in run.path.iterdir()} == {p.name for p in alone.path.iterdir()}
    assert run.meta == alone.meta
    assert record_error(run, alone) < 1e-5
    assert weight_error(run, alone) < 1e-3


def test_batches_that_cannot_be_shared_are_refused_once(launched):
    done, folder = launched
    assert said(done) == [
        "pointmcd: --batch-size 7: 2 processes cannot share a batch evenly; use 6"
    ]
    assert not (folder / "odd").exists()


@pytest.mark.parametrize("rank", [0, 1])
def test_only_training_takes_a_launcher(cli, monkeypatch, rank):
    for name, value in {"LOCAL_RANK": rank, "RANK": rank, "WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    status, out, err = cli("teach", "store")
    assert (status, out) == (1, "")
    line = "pointmcd: teach: runs in one process; start it without a launcher\n"
    assert err == ("" if rank else line)


@pytest.mark.slow
def test_statistics_of_each_process_alone_give_another_result(alone, taught_store, tmp_path):
    command = ["train", taught_store, "--out", tmp_path / "run", *SGD]
    assert launch(command, fault={"apart": True}).returncode == 0
    run = Run(tmp_path / "run")
    assert record_error(run, alone) > 0.1
    assert weight_error(run, alone) > 0.1


@pytest.mark.slow
def test_a_finished_run_is_kept_and_another_is_overwritten(taught_store, tmp_path, content):
    command = ["train", taught_store, "--out", tmp_path / "run", *OPTIONS, *TINY, "--epochs", 1]
    done = launch(command, command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "run")] * 2
    before = content(tmp_path / "run", seconds=True)
    other = [*command, "--lr", 0.02]
    refused = launch(other)
    assert refused.returncode != 0
    (line,) = said(refused)
    assert "holds a run that differs in lr" in line
    assert content(tmp_path / "run", seconds=True) == before
    done = launch([*other, "--overwrite"])
    assert done.returncode == 0, done.stderr
    assert Run(tmp_path / "run").meta["settings"]["lr"] == 0.02


@pytest.mark.slow
def test_killed_and_run_again(taught_store, tmp_path, content):
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    options = [*OPTIONS, *TINY, "--epochs", 4]
    assert launch(["train", taught_store, "--out", calm, *options]).returncode == 0
    command = ["train", taught_store, "--out", killed, *options]
    # config.yaml; its folder half-made; then metrics, perhaps best, and last in each epoch
    for number in (1, 2, 5, 3):
        done = launch(command, fault={"die": [0, number]})
        assert done.returncode != 0
        assert not (killed / "run.json").exists() or not Run(killed).finished
    done = launch(command)
    assert done.returncode == 0, done.stderr
    assert content(killed) == content(calm)
    assert [m["epoch"] for m in Run(killed).metrics()] == [1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("fault", [{"error": 0}, {"error": 1}, {"full": 0}])
def test_an_error_of_one_process_ends_both_and_is_said_once(taught_store, tmp_path, fault):
    command = ["train", taught_store, "--out", tmp_path / "run", *OPTIONS, *TINY]
    done = launch(command, fault=fault)
    assert done.returncode != 0
    assert said(done) == ["pointmcd: store: not on this machine"]
    assert "terminate called" not in done.stderr
    assert (tmp_path / "run").exists() == ("full" in fault)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_both_and_is_said_once(taught_store, tmp_path):
    done = launch(["train", taught_store, "--out", tmp_path / "run", *SGD, "--lr", 1e30])
    assert done.returncode != 0
    (line,) = said(done)
    assert "no longer finite" in line


UNUSED = """
from torch import nn
from tiny_student import TinyStudent


class Student(TinyStudent):
    def __init__(self):
        super().__init__()
        self.other_task = nn.Linear(3, 3)
"""


@pytest.mark.slow
def test_a_student_may_have_layers_that_a_task_leaves_alone(taught_store, tmp_path):
    (tmp_path / "unused.py").write_text(UNUSED)
    student = ["--student", "unused:Student", "--no-distill", "--epochs", 1]
    done = launch(["train", taught_store, "--out", "run", *OPTIONS, *student], cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "segmentation", "pretrain"])
def test_every_student_trains_for_every_task(taught_store, parts_store, tmp_path, task):
    store = parts_store if task == "segmentation" else taught_store
    options = [*OPTIONS, "--epochs", 1]
    options += ["--task", "pretrain,dense=true"] if task == "pretrain" else ["--task", task]
    options += [] if task == "pretrain" else ["--no-distill"]
    students = ("pointnet", "pointnet2-msg", "dgcnn", "curvenet")
    if task == "pretrain":
        store = shutil.copytree(taught_store, tmp_path / "store")
        teach(TeachConfig(store, task="features", device="cpu"))
    done = launch(
        *(["train", store, "--student", s, "--out", tmp_path / s, *options] for s in students)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / student) for student in students]
    assert all(Run(tmp_path / student).finished for student in students)
