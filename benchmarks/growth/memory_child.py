"""Train an epoch in little memory, and note the resident size: `memory_child.py STORE OUT MB MB`.

A process of its own. Two limits stand in for a machine with little memory: the system refuses it
more data segments (RLIMIT_DATA), and whenever its pages of files pass a number they are given
back to the system (MADV_PAGEOUT), which on such a machine would take them.
"""

import ctypes
import json
import resource
import sys
import threading
import time
from pathlib import Path

import torch

from benchmarks.shared.race import status
from pointmcd.training.config import TrainConfig
from pointmcd.training.train import train

MB, PAGEOUT, EVERY = 2**20, 21, 0.1


class Sampler(threading.Thread):
    """A thread that samples [seconds, RssAnon, RssFile], and gives back pages above `most`."""

    def __init__(self, store: Path, most: int) -> None:
        super().__init__(daemon=True)
        self.store, self.most = store, most
        self.samples: list[tuple[float, int, int]] = []
        self.given_back = 0
        self.over = threading.Event()

    def run(self) -> None:
        """Sample until told to stop."""
        start = time.perf_counter()
        while not self.over.wait(EVERY):
            anon, file = status("RssAnon"), status("RssFile")
            self.samples.append((time.perf_counter() - start, anon, file))
            if file > self.most:
                self.given_back += 1
                give_back(self.store)


def give_back(store: Path) -> None:
    """Let the system take the pages of all mapped files of the store: madvise(2)."""
    libc = ctypes.CDLL(None)
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(".npy") and str(store) in line:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), PAGEOUT)


def main(store: Path, out: Path, data: int, files: int) -> None:
    """Train; write the samples and both limits."""
    torch.set_num_threads(1)
    config = TrainConfig(
        store,
        out / "run",
        epochs=1,
        points=64,
        batch_size=64,
        resample=True,  # every epoch reads all points of every shape
        teacher="lite0-features",
        device="cpu",
    )
    before = {"base_anonymous": status("RssAnon"), "base_files": status("RssFile")}
    resource.setrlimit(resource.RLIMIT_DATA, (status("VmData") + data,) * 2)
    sampler = Sampler(store, before["base_files"] + files)
    sampler.start()
    train(config)
    sampler.over.set()
    sampler.join()
    found = {"samples": sampler.samples, "given_back": sampler.given_back, **before}
    (out / "memory.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) * MB, int(sys.argv[4]) * MB)
