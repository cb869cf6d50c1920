"""The page of what was endured: tables of the records that the studies kept."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.shared.page import machine, table

PAGE = Path(__file__).with_name("README.md")

Records = Sequence[dict[str, Any]]


def records_of(work: Path, study: str) -> Iterator[tuple[str, Records]]:
    """Yield each work's name and records of one study."""
    for file in sorted(work.glob(f"{study}-*.jsonl")):
        name = file.stem.removeprefix(f"{study}-").replace("-", " ")
        yield name, [json.loads(line) for line in file.read_text().splitlines()]


def commits(records: Records) -> str:
    """Return the commits that the records were made at."""
    return ", ".join(dict.fromkeys(record["commit"] for record in records))


def kill_rows(work: Path) -> Iterator[list[object]]:
    """Yield works, kills, what failed and what differed, for each command."""
    for name, records in records_of(work, "kills"):
        kills, most = sum(r["kills"] for r in records), max(r["kills"] for r in records)
        wrong = sum(bool(r["faults"]) for r in records), sum(bool(r["differing"]) for r in records)
        yield [name, f"{kills:,}", len(records), most, *wrong, commits(records)]


def disk_rows(work: Path) -> Iterator[list[object]]:
    """Yield full disks met, refusals, what was half-written and what differed at the end."""
    for name, records in records_of(work, "disk"):
        met = [r for r in records if r["status"] != 0]
        wrong = [sum(bool(r[key]) for r in records) for key in ("fault", "halves", "differing")]
        yield [name, len(met), len(records) - len(met), *wrong, commits(records)]


def pair_rows(work: Path) -> Iterator[list[object]]:
    """Yield how pairs ended, what was half-written and what differed."""
    for name, records in records_of(work, "pairs"):
        both = sum(r["status"] == [0, 0] for r in records)
        wrong = [sum(bool(r[key]) for r in records) for key in ("fault", "halves", "differing")]
        yield [name, len(records), both, len(records) - both, *wrong, commits(records)]


def fuzz_rows(records: Records) -> Iterator[list[object]]:
    """Yield the number of files of each reader."""
    files: Counter[str] = Counter()
    for record in records:
        files.update(record["readers"])
    yield from ([name, f"{count:,}"] for name, count in sorted(files.items()))


def faults(records: Records) -> str:
    """Return a list of the kinds of fault that were found, each with its first file's number."""
    found: dict[str, list[Any]] = {}
    for record in records:
        for key, (number, times, text) in record["faults"].items():
            known = found.setdefault(key, [number, 0, text])
            known[1] += times
    lines = [f"- {key}: {n} times, first file {number}" for key, (number, n, _) in found.items()]
    return "\n".join(sorted(lines)) or "No file crashed a reader, hung it, or took more memory."


def page(work: Path) -> list[str]:
    """Return the page, paragraph by paragraph."""
    fuzzed = [record for _, records in records_of(work, "fuzz") for record in records]
    total, refused = (sum(record[key] for record in fuzzed) for key in ("files", "refused"))
    slowest = max((record["slowest"] for record in fuzzed), default=0.0)
    most = max((record["most"] for record in fuzzed), default=0) >> 20
    wrong = ["failed", "half-written", "other bytes"]
    return [
        "# Endurance",
        "Written by `python -m benchmarks.reliability page WORK` from what its other commands kept"
        " in WORK. Tiny works: 18 meshes of furniture10 in 3 classes, 3 views of 64 x 64, 1,024"
        " points, 6 shards; a lesson of 60 epochs; a distilled PointNet of 4 epochs.",
        machine(),
        "## Killed at random moments",
        "`python -m benchmarks.reliability kills WORK` and, with two workers, `--works 'prepare,"
        " two workers' --count 100`. Each work is killed (SIGKILL to the process group) at random"
        " moments and begun again until it ends by itself; then every file is compared with those"
        " of a work that was left in peace, byte for byte but for the seconds in metrics.jsonl.",
        table(
            ["work", "kills", "works", "most in one", "failed", "other bytes", "commit"],
            kill_rows(work),
        ),
        "## A full disk",
        "`unshare --mount python -m benchmarks.reliability disk WORK` (as root). The store or run"
        " is in a file system in memory with room for a random part of what is to be written;"
        " then there is room again, and the same command goes on. Failed: anything but one line"
        " that refuses. Half-written: any file that cannot be read, or is left under a temporary"
        " name, when the disk was full.",
        table(["work", "full disks", "there was room", *wrong, "commit"], disk_rows(work)),
        "## Two processes at once",
        "`python -m benchmarks.reliability pairs WORK`. The second begins at a random moment of"
        " the first. Failed: neither ended well, or one failed without a line that says why.",
        table(["work", "pairs", "both did it", "one refused", *wrong, "commit"], pair_rows(work)),
        "## Damaged files",
        f"`python -m benchmarks.reliability fuzz WORK`, at {commits(fuzzed)}. {total:,} files, made"
        f" of small valid ones by one to five random changes (tests/reader_fuzz.py);"
        f" {refused:,} were refused, the others read. Slowest: {slowest:.2f} s of processor time;"
        f" most memory: {most} MiB. A fault is a crash, more than 1 s or 512 MiB, or a refusal"
        " that is not one line with the file's name first, or repeats another library's text.",
        faults(fuzzed),
        table(["reader", "files"], fuzz_rows(fuzzed)),
    ]
