"""Fuzz the readers: python tests/fuzz_readers.py [MINUTES] [FOLDER for what is found]

Every kind of failure is kept once, as the smallest file that showed it, and told at the end.
"""

import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from reader_fuzz import READERS, damaged_files, judge, limit_memory


def signature(name: str, error: BaseException) -> str:
    """Reader, type, and the innermost place: two failures that agree in it are one."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{name}: {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


def main(minutes: float, folder: Path) -> None:
    """Run until the time is over."""
    limit_memory(6 << 30)
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, tuple[bytes, str]] = {}
    runs: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    end, slowest = time.monotonic() + 60 * minutes, (0.0, "", b"")
    number = 0
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as scratch:
        for name, (_, files) in READERS.items():  # what is compiled at first use is no hanging
            for data in files:
                judge(name, data, Path(scratch))
        while time.monotonic() < end:
            number += 1

            @seed(number)
            @settings(
                max_examples=400,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(damaged_files())
            def trial(example: tuple[str, bytes]) -> None:
                nonlocal slowest
                if time.monotonic() > end:
                    return
                name, data = example
                runs[name] += 1
                start = time.monotonic()
                try:
                    judge(name, data, Path(scratch))
                except BaseException as error:
                    if isinstance(error, (KeyboardInterrupt, SystemExit)):
                        raise
                    key = signature(name, error)
                    outcomes[key] += 1
                    if key not in found or len(data) < len(found[key][0]):
                        found[key] = (data, str(error)[:200])
                        safe = "".join(c if c.isalnum() else "-" for c in key)
                        (folder / safe).write_bytes(data)
                slowest = max(slowest, (time.monotonic() - start, name, data))

            trial()
    print(f"{sum(runs.values())} files, {len(READERS)} readers, {minutes:g} minutes")
    print(f"fewest for one reader: {min(runs.values())}; slowest: {slowest[0]:.2f} s, {slowest[1]}")
    for key, (data, text) in sorted(found.items()):
        print(f"{key} ({outcomes[key]} times): {text}\n    {data[:300]!r}")
    print(f"{len(found)} kinds of failure")


if __name__ == "__main__":
    given_minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    main(given_minutes, Path(sys.argv[2] if len(sys.argv) > 2 else "fuzzed"))
