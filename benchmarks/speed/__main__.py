"""This library beside the published formulation, part by part: `make bench`.

    python -m benchmarks.speed [--only PART ...] [--out FILE]

Two processes of one thread, one after the other: with the system's own memory pages, and with huge
ones (THP_MEM_ALLOC_ENABLE=1), which help whoever allocates most. Writes
benchmarks/speed/README.md. Under 15 minutes on one core; best on a machine that does nothing else.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from benchmarks.shared.race import Lap, run
from benchmarks.speed.page import page

RESULTS = Path(__file__).with_name("README.md")
ROOT = Path(__file__).parents[2]
PARTS = ("projection", "edges", "steps", "loading", "preparing", "encoding")
#: What huge pages are measured for: parts that allocate much.
HUGE = ("projection", "edges", "steps")
PROFILED = ("pointnet2", "curvenet")
console = Console(stderr=True)


def laps(parts: Sequence[str]) -> Iterator[Lap]:
    """Run every race of the parts."""
    for part in parts:
        for race in import_module(f"benchmarks.speed.{part}").races():
            console.print(race.part)
            yield from run(race)


def measure(parts: Sequence[str], profiled: Sequence[str], out: Path) -> None:
    """In a process of its own: all laps and profiles, as JSON."""
    import torch

    torch.set_num_threads(1)
    content: dict[str, Any] = {"laps": [asdict(lap) for lap in laps(parts)]}
    if "steps" in parts:
        profile = import_module("benchmarks.speed.profiles").profile
        content["profiles"] = {name: profile(name) for name in profiled}
    out.write_text(json.dumps(content))


def in_child(parts: Sequence[str], huge: bool) -> dict[str, Any]:
    """Measure in a fresh process with one thread and the pages asked for."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    environment = {**os.environ, **one, "THP_MEM_ALLOC_ENABLE": "1"}
    if not huge:
        del environment["THP_MEM_ALLOC_ENABLE"]
    with TemporaryDirectory() as folder:
        out = Path(folder) / "laps.json"
        profiled = [] if huge else PROFILED
        command = [
            sys.executable,
            "-m",
            "benchmarks.speed",
            "--measure",
            str(out),
            "--only",
            *parts,
        ]
        subprocess.run([*command, "--profile", *profiled], env=environment, cwd=ROOT, check=True)
        content: dict[str, Any] = json.loads(out.read_text())
    return content


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write; 1 where a floor is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--profile", nargs="*", default=(), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure is not None:
        measure(options.only, options.profile, options.measure)
        return 0
    plain = in_child(options.only, huge=False)
    huge = in_child([part for part in options.only if part in HUGE], huge=True)
    made = [Lap(**lap) for lap in plain["laps"]]
    text = page(made, [Lap(**lap) for lap in huge["laps"]], plain.get("profiles", {}))
    options.out.write_text(text, encoding="utf-8")
    missed = [f"{lap.part}, {lap.how}" for lap in made if not lap.met]
    for name in missed:
        console.print(f"below its floor: {name}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
