"""This library beside the published formulation, part by part: `make bench`.

    python -m benchmarks.speed [--only PART ...] [--out FILE]

Two processes of one thread, one after the other: with the system's own memory pages, and with huge
ones (THP_MEM_ALLOC_ENABLE=1), which help whoever allocates most. Writes benchmarks/speed/README.md.
Under 15 minutes on one core; best on a machine that does nothing else.
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

import torch
from rich.console import Console

from benchmarks.shared.page import ROOT, write
from benchmarks.shared.race import Lap, run
from benchmarks.speed.page import page

PAGE = Path(__file__).with_name("README.md")
PARTS = ("projection", "edges", "steps", "loading", "preparing", "encoding")
#: What huge pages are measured for: parts that allocate much.
HUGE = ("projection", "edges", "steps")
PROFILED = ("pointnet2", "curvenet")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
HUGE_PAGES = "THP_MEM_ALLOC_ENABLE"
console = Console(stderr=True)


def laps(parts: Sequence[str]) -> Iterator[Lap]:
    """Run every race of the parts."""
    for part in parts:
        for race in import_module(f"benchmarks.speed.{part}").races():
            console.print(race.part)
            yield from run(race)


def measure(parts: Sequence[str], profiled: Sequence[str], out: Path) -> None:
    """Write all laps and profiles as JSON; runs in a process of its own."""
    torch.set_num_threads(1)
    content: dict[str, Any] = {"laps": [asdict(lap) for lap in laps(parts)], "profiles": {}}
    if "steps" in parts:
        profile = import_module("benchmarks.speed.profiles").profile
        content["profiles"] = {name: profile(name) for name in profiled}
    out.write_text(json.dumps(content))


def in_child(parts: Sequence[str], huge: bool) -> tuple[list[Lap], dict[str, Any]]:
    """Return laps and profiles measured in a fresh process of one thread."""
    if not parts:
        return [], {}
    environment = {**os.environ, **dict.fromkeys(THREADS, "1"), HUGE_PAGES: "1"}
    if not huge:
        del environment[HUGE_PAGES]
    with TemporaryDirectory() as folder:
        out = Path(folder) / "laps.json"
        profiled = [] if huge else PROFILED
        command = [sys.executable, "-m", "benchmarks.speed", f"--measure={out}"]
        command += ["--only", *parts, "--profile", *profiled]
        subprocess.run(command, env=environment, cwd=ROOT, check=True)
        content = json.loads(out.read_text())
    return [Lap(**lap) for lap in content["laps"]], content["profiles"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write; return 1 where a floor is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--profile", nargs="*", default=(), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure is not None:
        measure(options.only, options.profile, options.measure)
        return 0
    made, profiles = in_child(options.only, huge=False)
    huge, _ = in_child([part for part in options.only if part in HUGE], huge=True)
    write(options.out, page(made, huge, profiles))
    missed = [f"{lap.part}, {lap.how}" for lap in made if not lap.met]
    for name in missed:
        console.print(f"below its floor: {name}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
