"""The page of the speed study: times, peak memory, and where the slowest steps spend theirs."""

from collections.abc import Mapping, Sequence

from benchmarks.shared.page import machine, table
from benchmarks.shared.race import Lap

_INTRO = (
    "Both sides in one process on one thread, interleaved, median of the repeats; seconds of"
    " processor time. The yardsticks are in `benchmarks/speed/published/`: VAFP by repeat,"
    " multiply, max; edge convolutions on a tensor of all edges; items of five text files; farthest"
    " points by a Python loop; rays and index set up per call. That both sides give equal values,"
    " gradients and batch norm statistics is tested (`tests/benchmarks/`)."
)
_RATIO = (
    "A ratio is the yardstick's time over ours; in brackets its range over the repeats. Huge"
    " pages: the ratio with THP_MEM_ALLOC_ENABLE=1, which helps whoever allocates most, as the"
    " published formulation does."
)
_BARE = (
    'The rows "bare Embree and file reading" compare the other way round: their yardstick is what'
    " no preparation can do without (the file read, the index built, the very rays that we cast,"
    " made before and cast again), so ratios are below 1: at 0.67 all of preparing takes 1.5 times"
    " as long."
)
_MEMORY = "Above what was there before the call, resident, as the kernel counts it."


def page(
    laps: Sequence[Lap],
    huge: Sequence[Lap],
    profiles: Mapping[str, Sequence[tuple[str, float]]],
) -> list[str]:
    """Return everything that was measured, paragraph by paragraph."""
    return [
        "# Speed, beside the published formulation",
        f"Written by `make bench`. {_INTRO}",
        machine("numba", "numpy"),
        _RATIO,
        _times(laps, huge),
        _BARE,
        "## Peak memory",
        _MEMORY,
        _memory(laps),
        *(part for name, shares in profiles.items() for part in _profile(name, shares)),
    ]


def _times(laps: Sequence[Lap], huge: Sequence[Lap]) -> str:
    with_huge = {(lap.part, lap.how): f"{lap.ratio:.3g}" for lap in huge}
    rows = []
    for lap in laps:
        ratio = f"**{lap.ratio:.3g}** ({lap.least:.3g} to {lap.most:.3g})"
        floor = "" if lap.floor is None else f"{lap.floor:.2g}{'' if lap.met else ' (missed)'}"
        seconds = f"{lap.yardstick:.4g}", f"{lap.ours:.4g}"
        other = with_huge.get((lap.part, lap.how), "")
        rows.append([lap.part, lap.how, *seconds, ratio, floor, other])
    head = ["part", "how", "yardstick, s", "ours, s", "ratio", "at least", "huge pages"]
    return table(head, rows, left=2)


def _memory(laps: Sequence[Lap]) -> str:
    rows = []
    for lap in laps:
        if lap.yardstick_bytes is None or lap.ours_bytes is None:
            continue
        megabytes = f"{lap.yardstick_bytes / 1e6:.0f}", f"{lap.ours_bytes / 1e6:.0f}"
        ratio = f"{lap.yardstick_bytes / max(lap.ours_bytes, 1):.0f}"
        floor = "" if lap.memory_floor is None else f"{lap.memory_floor:g}"
        rows.append([lap.part, lap.how, *megabytes, ratio, floor])
    head = ["part", "how", "yardstick, MB", "ours, MB", "ratio", "at least"]
    return table(head, rows, left=2)


def _profile(name: str, shares: Sequence[tuple[str, float]]) -> tuple[str, str]:
    rows = [(f"`{key}`", f"{share:.0%}") for key, share in shares]
    return f"## Where a step of {name} goes", table(["operation", "share"], rows)
