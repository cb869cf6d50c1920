"""Endurance: works killed, on full disks and two at a time; damaged files by the million.

    python -m benchmarks.reliability kills WORK [--works prepare teach train] [--count 1000]
    unshare --mount python -m benchmarks.reliability disk WORK [--works ...] [--count 100]
    python -m benchmarks.reliability pairs WORK [--works prepare teach train] [--count 100]
    python -m benchmarks.reliability fuzz WORK [--count 1000000]
    python -m benchmarks.reliability page WORK

Each adds records to a file in WORK, and goes on there if it is run again; `page` writes
benchmarks/reliability/README.md of what is there. `disk` mounts a file system, as root.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.reliability.page import PAGE, page
from benchmarks.shared.page import ROOT, write

COUNTS = {"kills": 1000, "disk": 100, "pairs": 100, "fuzz": 1_000_000}


def main() -> None:
    """Run one study, or write the page of all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", choices=[*COUNTS, "page"])
    parser.add_argument("work", type=Path)
    parser.add_argument("--works", nargs="+", default=["prepare", "teach", "train"])
    parser.add_argument("--count", type=int)
    given = parser.parse_args()
    work = given.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    if given.study == "page":
        write(PAGE, page(work))
        return
    count = given.count or COUNTS[given.study]
    for name in ["readers"] if given.study == "fuzz" else given.works:
        file = work / f"{given.study}-{name.replace(' ', '-')}.jsonl"
        keep(file, records(given.study, work, name, count, known(file)))


def known(file: Path) -> list[dict]:
    """Return the records that are there."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def records(study: str, work: Path, name: str, count: int, found: list[dict]) -> Iterable[dict]:
    """Yield the records that are missing; earlier ones tell how many are there."""
    if study == "fuzz":
        from benchmarks.reliability.fuzz import fuzz_chunks

        return fuzz_chunks(count, seed=0, first=sum(record["files"] for record in found))
    from benchmarks.reliability.disk import full_disk_runs
    from benchmarks.reliability.kills import kill_runs
    from benchmarks.reliability.pairs import pair_runs
    from benchmarks.reliability.works import make_works

    # A folder of its own: studies may run beside each other.
    place = work / study / name.replace(" ", "-")
    one, told = make_works(place)[name], place / "told.txt"
    counts = {"kills": lambda r: r["kills"], "disk": lambda r: r["status"] != 0}
    done = sum(map(counts.get(study, lambda r: 1), found))
    run = {"kills": kill_runs, "disk": full_disk_runs, "pairs": pair_runs}[study]
    return run(one, count - done, len(found), told)


def keep(file: Path, found: Iterable[dict]) -> None:
    """Add records to a file as they come, each with the commit and the time that it took."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    began = time.monotonic()
    with file.open("a") as stream:
        for record in found:
            seconds = round(time.monotonic() - began, 2)
            stream.write(json.dumps(record | {"commit": commit, "seconds": seconds}) + "\n")
            stream.flush()
            began = time.monotonic()


if __name__ == "__main__":
    main()
