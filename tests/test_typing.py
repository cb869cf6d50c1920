"""Where numba keeps what it has compiled."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from pointmcd import typing as module
from pointmcd.typing import kernel

SCRIPT = """
from numba.core.caching import CacheImpl
CacheImpl._locator_classes = [c for c in CacheImpl._locator_classes if "Provided" in c.__name__]
import sys
sys.path.insert(0, {folder!r})
import slow_sum
print(slow_sum.add(20, 22), slow_sum.add.stats.cache_hits, slow_sum.numba.config.CACHE_DIR)
"""
MODULE = (
    "import numba\nfrom pointmcd.typing import kernel\n@kernel\ndef add(a, b):\n    return a + b\n"
)


def run(folder: Path, temporary: Path) -> list[str]:
    """Call a kernel in a process that can keep nothing beside the code or at home."""
    (folder / "slow_sum.py").write_text(MODULE)
    environment = {"TMPDIR": str(temporary), "PYTHONPATH": ":".join(sys.path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(folder=str(folder))],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_without_another_place_it_is_a_private_temporary_folder(tmp_path):
    value, hits, folder = run(tmp_path, tmp_path)
    assert (value, hits) == ("42", "Counter()")
    assert Path(folder).parent == tmp_path
    assert Path(folder).stat().st_mode & 0o077 == 0
    assert run(tmp_path, tmp_path)[1] != "Counter()"  # the second process loads it


def test_a_damaged_cache_is_passed_over(tmp_path):
    folder = Path(run(tmp_path, tmp_path)[2])
    found = [path for path in folder.rglob("*.nb[ic]") if path.write_bytes(b"half") is not None]
    assert len(found) == 2
    assert run(tmp_path, tmp_path)[0] == "42"


def test_a_cache_on_a_full_disk_is_done_without(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    assert kernel(lambda a, b: a - b)(44, 2) == 42


@pytest.mark.skipif(os.name != "posix", reason="Windows gives each user a folder")
def test_a_folder_that_others_can_write_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = module._private_folder()
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="can be written to by others"):
        module._private_folder()


def test_without_any_place_nothing_is_kept(tmp_path, monkeypatch):
    def compile_here(*functions, **options):
        if options.pop("cache", False):
            return refuse
        return numba_njit(*functions, **options)

    def refuse(_):
        raise RuntimeError("cannot cache function: no locator available")

    numba_njit = numba.njit
    monkeypatch.setattr(numba, "njit", compile_here)
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path / "nothing"))
    assert kernel(lambda a, b: a * b)(6, 7) == 42
