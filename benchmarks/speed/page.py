"""The page of speed."""

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.shared.race import Lap

_INTRO = (
    "Both sides in one process on one thread, interleaved, median of the repeats; seconds of"
    " processor time. The yardsticks are in `benchmarks/speed/published/`: VAFP by repeat,"
    " multiply, max; edge convolutions on a tensor of all edges; items of five text files; farthest"
    " points by a Python loop; rays and index set up per call. That both sides give equal values,"
    " gradients and batch norm statistics is tested (`tests/benchmarks/`)."
)
_RATIO = (
    "A ratio says how many times the yardstick's time ours is; in brackets its range over the"
    " repeats. Huge pages: the ratio with THP_MEM_ALLOC_ENABLE=1, which helps whoever allocates"
    " most, as the published formulation does."
)
_BARE = (
    'The rows "bare Embree and file reading" compare the other way round: their yardstick is what'
    " no preparation can do without (the file read, the index built, the very rays that we cast,"
    " made before and cast again), so ratios are below 1: at 0.67 all of preparing takes 1.5 times"
    " as long."
)
_MEMORY = "Above what was there before the call, resident, as the kernel counts it."


def page(laps: Sequence[Lap], huge: Sequence[Lap], profiles: Mapping[str, object]) -> str:
    """Everything that was measured, as Markdown."""
    sections = [
        "# Speed, beside the published formulation",
        f"Written by `make bench`. {_INTRO}",
        machine(),
        _RATIO,
        _times(laps, huge),
        _BARE,
        "## Peak memory",
        _MEMORY,
        _memory(laps),
        *(_profile(name, shares) for name, shares in profiles.items()),
    ]
    return "\n\n".join(sections) + "\n"


def machine() -> str:
    """What it was measured on."""
    model = "unknown processor"
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "numba", "numpy"))
    return (
        f"Machine: {model}, {os.cpu_count()} cores, {platform.system()}, Python"
        f" {platform.python_version()}, {versions}."
    )


def _times(laps: Sequence[Lap], huge: Sequence[Lap]) -> str:
    with_huge = {(lap.part, lap.how): lap for lap in huge}
    lines = [
        "| part | how | yardstick, s | ours, s | ratio | at least | huge pages |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for lap in laps:
        floor = "" if lap.floor is None else f"{lap.floor:.2g}{'' if lap.met else ' (missed)'}"
        other = with_huge.get((lap.part, lap.how))
        lines.append(
            f"| {lap.part} | {lap.how} | {lap.yardstick:.4g} | {lap.ours:.4g} |"
            f" **{lap.ratio:.3g}** ({lap.least:.3g} to {lap.most:.3g}) | {floor} |"
            f" {'' if other is None else f'{other.ratio:.3g}'} |"
        )
    return "\n".join(lines)


def _memory(laps: Sequence[Lap]) -> str:
    lines = [
        "| part | how | yardstick, MB | ours, MB | ratio | at least |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for lap in laps:
        if lap.yardstick_bytes is None or lap.ours_bytes is None:
            continue
        share = lap.yardstick_bytes / max(lap.ours_bytes, 1)
        floor = "" if lap.memory_floor is None else f"{lap.memory_floor:g}"
        lines.append(
            f"| {lap.part} | {lap.how} | {lap.yardstick_bytes / 1e6:.0f} |"
            f" {lap.ours_bytes / 1e6:.0f} | {share:.0f} | {floor} |"
        )
    return "\n".join(lines)


def _profile(name: str, shares: object) -> str:
    assert isinstance(shares, list)
    rows = "\n".join(f"| `{key}` | {share:.0%} |" for key, share in shares)
    return f"## Where a step of {name} goes\n\n| operation | share |\n| --- | ---: |\n{rows}"
