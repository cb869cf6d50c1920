"""Damaged files for all readers, in forked children with limits of time and memory.

The files, the readers and what a reader may do are those of tests/reader_fuzz.py.
"""

import json
import mmap
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "tests"))
import reader_fuzz

#: Files that one child reads, and the most that it may take of each.
CHUNK, SECONDS, MEMORY = 5000, 1.0, 512 << 20


def example(seed: int, number: int) -> tuple[str, bytes]:
    """Return the name of a reader and a damaged file for it."""
    chance = random.Random(f"{seed}:{number}")
    name = chance.choice(tuple(reader_fuzz.READERS))
    return name, reader_fuzz.damaged(name, chance)


def fuzz_chunks(files: int, seed: int, first: int = 0) -> Iterator[dict[str, object]]:
    """Yield one record per chunk: files read, refused, and what was found by kind."""
    for begin in range(first, files, CHUNK):
        yield _chunk(seed, begin, min(begin + CHUNK, files))


def _chunk(seed: int, begin: int, end: int) -> dict[str, object]:
    """Read files in a child; one that dies or hangs is noted, and a new child goes on after it."""
    total: dict[str, object] = {"first": begin, "files": end - begin, "faults": {}}
    readers: Counter[str] = Counter()
    slowest, most, refused = 0.0, 0, 0
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        told, now = Path(scratch) / "told.json", mmap.mmap(-1, 8)
        while begin < end:
            told.unlink(missing_ok=True)
            pid = os.fork()
            if not pid:
                _read_files(seed, begin, end, Path(scratch), told, now)
            status = _wait(pid, now)
            if told.exists():
                found = json.loads(told.read_text())
                readers.update(found["readers"])
                slowest, most = max(slowest, found["slowest"]), max(most, found["most"])
                refused += found["refused"]
                total["faults"].update(found["faults"])
                begin = end
            else:
                number = int.from_bytes(now[:8], "little")
                key = f"{example(seed, number)[0]}: the process ended with {status}"
                total["faults"][key] = [number, 1, ""]
                begin = number + 1
    return total | {"readers": readers, "slowest": slowest, "most": most, "refused": refused}


def _wait(pid: int, now: mmap.mmap) -> int:
    """Wait for a child; kill it when one file takes a minute, asleep or not."""
    before, since = b"", time.monotonic()
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if now[:8] != before:
            before, since = now[:8], time.monotonic()
        elif time.monotonic() - since > 60:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _read_files(seed: int, begin: int, end: int, scratch: Path, told: Path, now: mmap.mmap) -> None:
    """Judge files one by one, write what was found, and end the process."""
    status = 1
    reader_fuzz.MAX_RESIDENT = MEMORY
    reader_fuzz.SECONDS = 60.0  # at first use, while kernels are compiled
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        found = {"readers": Counter(), "faults": {}, "slowest": 0.0, "most": 0, "refused": 0}
        for name, (_, whole) in reader_fuzz.READERS.items():  # compiling at first use is no hanging
            for data in whole:
                reader_fuzz.judge(name, data, scratch)
        reader_fuzz.SECONDS = SECONDS
        for number in range(begin, end):
            now[:8] = number.to_bytes(8, "little")
            name, data = example(seed, number)
            began = time.process_time()
            try:
                refused, memory = reader_fuzz.judge(name, data, scratch)
                found["refused"] += refused
                found["most"] = max(found["most"], memory)
            except BaseException as error:
                frame = traceback.extract_tb(error.__traceback__)[-1]
                place = f"{Path(frame.filename).name}:{frame.lineno}"
                key = f"{name}: {type(error).__name__} at {place}"
                known = found["faults"].setdefault(key, [number, 0, str(error)[:300]])
                known[1] += 1
            found["slowest"] = max(found["slowest"], time.process_time() - began)
            found["readers"][name] += 1
        told.write_text(json.dumps(found))
        status = 0
    finally:
        os._exit(status)
