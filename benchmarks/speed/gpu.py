"""Steps, kernels, teachers, parity with the CPU and the tests, on one GPU: `make bench-gpu`.

    python -m benchmarks.speed.gpu [--device cuda] [--only PART...] [--out PAGE] [--small]

On one H100 it took 373 s: 193 s, and 180 s of tests, which were stopped then. Since then tests have
what the parts before leave of 350 s, which was not seen on a GPU (`--only tests --test-seconds 600`
gives them longer). It ends with 1 where a test fails or is stopped. Sections of the page that are
no part of it stay. `--small --device cpu` goes through all of it in seconds, to test the script:
its figures mean nothing.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.growth.synthetic_store import TEACHER, write_store
from benchmarks.shared.page import ROOT, machine, sections, table, write
from benchmarks.shared.steps import Inputs, make_module, random_batch
from benchmarks.speed.gpu_kernels import kernels
from benchmarks.speed.gpu_parity import parity
from benchmarks.speed.gpu_teachers import MODELNET40, teacher_rows
from benchmarks.speed.published.students import FORWARD, distilled
from pointmcd.device import settle
from pointmcd.ops.cross_entropy import smoothed_cross_entropy
from pointmcd.training.capture import CapturedStep, GraphRecorder, Logged, optimizer_moments
from pointmcd.training.config import TrainConfig
from pointmcd.training.inputs import find_teacher
from pointmcd.training.trainer import Trainer

PAGE = ROOT / "benchmarks" / "results" / "speed_gpu.md"
#: Student, batch and the milliseconds that a step of ours is to take at most.
STEPS = (
    ("pointnet", 32, 5.0),
    ("pointnet", 64, None),
    ("dgcnn", 24, 10.0),
    ("pointnet2", 24, 12.0),
    ("curvenet", 24, 25.0),
)
#: Steps or calls that are timed, shapes of the loader, seconds of everything, and processes.
REPEATS, SHAPES, SECONDS, TEST_PROCESSES = 20, 10_000, 350, 8
TESTS = [
    "tests/ops",
    "tests/students",
    "tests/training/test_recorded_on_gpu.py",
    "tests/training/test_capture.py::test_on_a_gpu_replays_are_near_plain_steps",
]
Step = Callable[..., Logged]


def timed(call: Callable[[], Any], device: torch.device, repeats: int) -> tuple[float, float]:
    """Return the median milliseconds of a call, after three, and its peak extra MiB (CUDA)."""
    for _ in range(3 if repeats > 1 else 1):
        call()
    settle(device)
    before = 0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        settle(device)
        times.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated(device) - before if device.type == "cuda" else 0
    return 1e3 * statistics.median(times), peak / 2**20


def reserved(device: torch.device) -> float:
    """Return the MiB that torch holds of a GPU's memory and cannot give back."""
    if device.type != "cuda":
        return 0.0
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved(device) / 2**20


def replayed(call: Callable[[], Any], device: torch.device, repeats: int) -> tuple[float, float]:
    """Time a call as `timed` does; on a GPU by replays of ten, as it comes in a recorded step."""
    if device.type != "cuda":
        return timed(call, device, repeats)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(10):
            call()
    milliseconds, peak = timed(graph.replay, device, repeats)
    return milliseconds / 10, peak


def plain_step(
    module: nn.Module,
    forward: Callable[..., tuple[Tensor, ...]],
    optimizer: torch.optim.Optimizer,
    precision: Callable[[], AbstractContextManager[Any]],
) -> Step:
    """Return what makes one distilled step on given inputs."""

    def step(inputs: Inputs) -> Logged:
        with precision():
            logits, descriptors, penalty = forward(inputs.points, inputs.seen)
        task = smoothed_cross_entropy(logits.float(), inputs.labels, 0.2)
        distance = F.l1_loss(descriptors.float(), inputs.targets)
        loss = task + distance + 0.001 * penalty.float()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return {"loss": loss.detach()}

    return step


def step_of(name: str, how: str, bf16: bool, device: torch.device) -> Step:
    """Return the step of a student: "published", "plain" (ours) or "recorded" (ours)."""
    module = make_module(name).to(device)
    forward: Any = partial(distilled, FORWARD[name], module) if how == "published" else module
    rate = torch.tensor(0.01, device=device)
    optimizer = torch.optim.SGD(module.parameters(), lr=rate, momentum=0.9, fused=True)
    precision: Any = partial(torch.autocast, device.type, torch.bfloat16) if bf16 else nullcontext
    step = plain_step(module, forward, optimizer, precision)
    if how != "recorded" or device.type != "cuda":
        return step
    state = [*module.parameters(), *module.buffers()]
    return CapturedStep(
        step, lambda: state, GraphRecorder(), device, lambda: optimizer_moments(optimizer)
    )


def step_rows(device: torch.device, small: bool) -> Iterator[list[object]]:
    """Time the steps of every student, published and ours, in float32 and bfloat16."""
    for name, batch, most in STEPS[:1] if small else STEPS:
        inputs = random_batch(4, 128) if small else random_batch(batch)
        inputs = Inputs(*(tensor.to(device) for tensor in inputs))
        row: list[object] = [f"{name}, {len(inputs.points)}"]
        for bf16 in (False, True):
            for how in ("published", "plain", "recorded"):
                held = reserved(device)
                call = partial(step_of(name, how, bf16, device), inputs)
                # A recorded step warms up three times, and is recorded in the fourth.
                call()
                time_taken, peak = timed(call, device, 1 if small else REPEATS)
                if how == "recorded":  # whose memory stays its own
                    peak = reserved(device) - held
                row.append(f"{time_taken:.1f} ({peak:,.0f})")
                del call
        yield [*row, "" if most is None else f"{most:g}"]


def busy(device: torch.device, small: bool) -> str:
    """Return the share of an epoch of PointNet in which the device computes.

    The yardstick is the time of as many steps on one batch that is there already.
    """
    shapes = 40 if small else SHAPES
    with TemporaryDirectory() as folder:
        store = write_store(Path(folder) / "store", shapes, 1024, 128 if small else 1024)
        config = TrainConfig(
            store.path,
            Path(folder) / "run",
            task="pretrain",
            student="pointnet",
            teacher=TEACHER,
            objective=("vafp:1",),
            points=128 if small else 1024,
            batch_size=8 if small else 32,
            epochs=1,
            device=str(device),
        )
        trainer = Trainer(config, store, find_teacher(config, store))
        trainer._train(0)
        settle(device)
        start = time.perf_counter()
        trainer._train(0)
        settle(device)
        epoch = time.perf_counter() - start
        batch = next(iter(trainer.loaders[0]))
        alone, _ = timed(
            lambda: trainer.make_step(batch, (0.0, 1.0)), device, 1 if small else REPEATS
        )
    share = trainer.steps * alone / 1e3 / epoch
    return (
        f"{trainer.steps} steps in {epoch:.2f} s; {alone:.2f} ms a step alone: busy {share:.0%}"
        " (goal: over 90%)."
    )


def tested(tests: Sequence[str], seconds: float) -> tuple[bool, str]:
    """Run tests where the GPU is; return whether all passed, and what they end with."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--no-header"]
    command += tests
    # Processes that each compute references on all cores would wait for each other.
    threads = max((os.cpu_count() or 1) // TEST_PROCESSES, 1)
    given = {"cwd": ROOT, "env": os.environ | {"OMP_NUM_THREADS": str(threads)}}
    try:
        done = subprocess.run(command, **given, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as stopped:
        said = stopped.stdout or b""
        return False, said.decode()[-2000:] + f"\nstopped after {seconds:.0f} s"
    lines = done.stdout.splitlines()
    faults = (line for line in lines if line.startswith(("FAILED", "ERROR")))
    return done.returncode == 0, "\n".join([*faults, *lines[-1:]])


def steps_part(device: torch.device, small: bool) -> list[str]:
    """Time train steps."""
    kinds = [
        f"{how}, {kind}"
        for kind in ("float32", "bf16")
        for how in ("published", "ours, plain", "ours, recorded")
    ]
    return [
        "## A train step",
        f"Milliseconds, median of {REPEATS} (peak extra MiB), of a distilled step: 1,024 points,"
        " 12 views, forward, both losses, backward, SGD; every student with the method's head, one"
        " layer of 512. In a plain step the GPU waits for Python, in bfloat16 longer than in"
        " float32.",
        table(["student, batch", *kinds, "at most"], step_rows(device, small)),
    ]


def kernels_part(device: torch.device, small: bool) -> list[str]:
    """Time kernels."""
    time_it = partial(replayed, device=device, repeats=1 if small else REPEATS)
    head = ["kernel, forward (and backward)", "torch, ms", "ours, ms", "ratio", "GB/s", "at most"]
    return ["## Kernels alone", table(head, kernels(device, small, time_it))]


def loader_part(device: torch.device, small: bool) -> list[str]:
    """Time an epoch."""
    return ["## The loader", busy(device, small)]


def teachers_part(device: torch.device, small: bool) -> list[str]:
    """Time teachers."""
    time_step = partial(timed, device=device, repeats=1 if small else 5)
    head = ["teacher, lite0", "views", "views a second", f"{MODELNET40:,} shapes, s", "MiB"]
    return [
        "## Teachers",
        f"Features of all views of the embedded furniture, again and again, and what"
        f" {MODELNET40:,} shapes of 12 views would take at that rate (goal: under 60 s).",
        table(head, teacher_rows(device, small, time_step)),
    ]


def parity_part(device: torch.device, small: bool) -> list[str]:
    """Hold the students to themselves on the CPU."""
    head = ["values and gradients on the device and the CPU", "embeddings and logits", "gradients"]
    return [
        "## Parity",
        "The largest difference, in units of the largest value. CurveNet's walks choose otherwise"
        " where two scores differ by rounding, and so do nearest neighbours. PointNet++ takes"
        " differences of near points: on one CPU, its gradients in float32 are 0.03 to 0.09 from"
        " those in float64 (`python -m benchmarks.speed.gpu_parity`).",
        table(head, parity(device, small)),
    ]


#: Times first, so that those are there whatever comes after.
PARTS = {
    "steps": steps_part,
    "kernels": kernels_part,
    "loader": loader_part,
    "teachers": teachers_part,
    "parity": parity_part,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write each part into the page once it is there; other parts stay."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--only", nargs="*", default=[*PARTS, "tests"], choices=[*PARTS, "tests"])
    parser.add_argument("--test-seconds", type=float, help=f"by default, what is left of {SECONDS}")
    parser.add_argument("--small", action="store_true")
    options, began, passed = parser.parse_args(arguments), time.monotonic(), True
    device, small = torch.device(options.device), options.small
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: there is no GPU here")
    head = (
        "# Speed on a GPU",
        f"Written by `make bench-gpu`{' in its small form: no figure counts' if small else ''};"
        " sections that are no part of it were written by hand.",
    )
    where = machine("triton") if device.type == "cuda" else machine()
    for name in options.only:
        if name == "tests":  # wherever they find a device themselves
            left = options.test_seconds or max(SECONDS - (time.monotonic() - began), 0.0)
            few = ["tests/ops/test_backend.py"]
            passed, said = tested(few if small else [*TESTS, "-n", str(TEST_PROCESSES)], left)
            own = ["## Tests", f"```\n{said}\n```"]
        else:
            own = PARTS[name](device, small)
        write(options.out, [*head, *sections(options.out, [*own, where])])
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
