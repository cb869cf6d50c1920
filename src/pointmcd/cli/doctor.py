"""`pointmcd doctor`."""

import os
import platform
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import (
    PackageNotFoundError,
    metadata,
    packages_distributions,
    requires,
    version,
)
from pathlib import Path

from packaging.requirements import Requirement

from pointmcd import __version__
from pointmcd.cli.output import print_line
from pointmcd.errors import first_line

#: Environment variables that matter, and what follows where one is not set.
VARIABLES = {
    "OMP_NUM_THREADS": "all cores",
    "NUMBA_NUM_THREADS": "all cores",
    "THP_MEM_ALLOC_ENABLE": "the command sets 1, huge pages: faster training on a CPU with Linux",
    "NUMBA_CACHE_DIR": "beside the code, or in your cache folder",
    "CUDA_VISIBLE_DEVICES": "all GPUs",
}


def doctor() -> None:
    """Print versions, devices, extras, threads and caches, also for bug reports."""
    for heading, section in (
        ("Versions", _versions()),
        ("Devices and threads", _devices()),
        ("Extras", _extras()),
        ("Environment", _environment()),
    ):
        rows = list(section)
        width = max((len(name) for name, _ in rows), default=0)
        print_line(heading)
        for name, text in rows:
            print_line(f"  {name:<{width}}  {text}")


def _versions() -> Iterator[tuple[str, str]]:
    yield "pointmcd", f"{__version__} in {Path(__file__).parents[1]}"
    yield "Python", f"{platform.python_version()} on {platform.platform()}"
    for name in _requirements().get("", []):
        yield name, _version(name) or "not installed"


def _extras() -> Iterator[tuple[str, str]]:
    for extra, names in sorted(_requirements().items()):
        if extra in ("", "dev", "docs"):
            continue
        found = {name: _version(name) for name in names}
        if all(found.values()):
            yield extra, ", ".join(f"{n} {number}{_broken(n)}" for n, number in found.items())
        else:
            absent = ", ".join(name for name, number in found.items() if not number)
            yield extra, f"pip install 'pointmcd[{extra}]' (lacks {absent})"


def _requirements() -> dict[str, list[str]]:
    """Return the names of the packages that each extra needs here; under "", those of all uses."""
    try:
        needed = [Requirement(line) for line in requires("pointmcd") or []]
        extras = metadata("pointmcd").get_all("Provides-Extra") or []
    except PackageNotFoundError:  # a source tree that was never installed
        return {}
    always = [one for one in needed if _applies(one, "")]
    found = {
        extra: [one.name for one in needed if one not in always and _applies(one, extra)]
        for extra in extras
    }
    return {"": [one.name for one in always], **found}


def _applies(requirement: Requirement, extra: str) -> bool:
    """Whether this platform needs a package for an extra; "" is none."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _broken(name: str) -> str:
    """Say why an installed package cannot be imported; nothing where it can."""
    modules = (module for module, owners in _modules().items() if name in owners)
    try:
        import_module(next(modules, name.replace("-", "_")))
    except Exception as error:  # one that was built for another torch may raise anything
        return f" (cannot be imported: {first_line(error)})"
    return ""


@lru_cache
def _modules() -> Mapping[str, list[str]]:
    """Return the packages that each top-level module comes from."""
    return packages_distributions()


def _devices() -> Iterator[tuple[str, str]]:
    from joblib import cpu_count  # here, for every --help imports this file

    yield "CPU", f"{platform.machine()}, {cpu_count()} cores for this process"
    try:
        import torch
    except Exception as error:  # a broken installation is what this command is for
        yield "torch", f"cannot be imported: {first_line(error)}"
        return
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        yield f"cuda:{index}", f"{device.name}, {device.total_memory / 2**30:.0f} GiB"
    if torch.backends.mps.is_available():
        yield "mps", "Apple GPU"
    yield "torch threads", str(torch.get_num_threads())
    yield "oneDNN", _fused_convolutions()
    yield from _kernels()


def _fused_convolutions() -> str:
    from pointmcd.ops.packed_convolution import fusion_works

    return "works" if fusion_works() else "not in this torch: a frozen lite0 takes longer on a CPU"


def _kernels() -> Iterator[tuple[str, str]]:
    """Yield the threads of compiled kernels, and the folder that keeps them."""
    try:
        import numba
        from numba.core.registry import CPUDispatcher

        from pointmcd.ops import farthest_points
    except Exception as error:  # numba finds no folder that it may write, or does not fit numpy
        yield "numba", f"{first_line(error)}; NUMBA_CACHE_DIR names a folder for compiled kernels"
        return
    yield "numba threads", str(numba.get_num_threads())
    kernel = next(k for k in vars(farthest_points).values() if isinstance(k, CPUDispatcher))
    folder = kernel.stats.cache_path
    kept = "writable" if os.access(folder, os.W_OK) else "not writable: compiled at every start"
    yield "numba cache", f"{folder} ({kept})"


def _environment() -> Iterator[tuple[str, str]]:
    for name, otherwise in VARIABLES.items():
        yield name, os.environ.get(name) or f"not set ({otherwise})"
