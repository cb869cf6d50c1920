"""Profiles of students' distilled steps."""

import torch

from benchmarks.speed.steps import STUDENTS, of_student

TOP = 10


def profile(name: str) -> list[tuple[str, float]]:
    """Return the operations that take most time, and their shares of all."""
    batch, repeats, floor = STUDENTS[name]
    step = of_student(name, batch, repeats, floor).ours["ours"]
    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        step()
    events = found.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    shares = [(event.key, event.self_cpu_time_total / total) for event in events]
    return sorted(shares, key=lambda pair: -pair[1])[:TOP]
