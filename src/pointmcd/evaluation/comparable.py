"""Check that runs can be compared: same task, same store, same test shapes."""

from collections.abc import Sequence

import numpy as np

from pointmcd.errors import RunError
from pointmcd.tasks.results import RunResult
from pointmcd.tasks.task import get_task

_ADVICE = "compare runs of one store"


def check_comparable(results: Sequence[RunResult]) -> None:
    """Check that all runs are of one task and were tested on the same shapes of one store.

    Raises:
        RunError: naming the first two runs that differ, and in what.
    """
    first = results[0]
    for other in results[1:]:
        pair = f"{first.path} and {other.path}"
        task, other_task = first.info["task"], other.info["task"]
        if other_task != task:
            raise RunError(
                f"{pair}: one is of {task}, the other of {other_task}; compare runs of one task"
            )
        _check_same_store(pair, first, other)
        _check_same_shapes(pair, first, other)
        difference = get_task(task).difference(first, other)
        if difference is not None:
            raise RunError(f"{pair}: {difference}; {_ADVICE}")


def _check_same_store(pair: str, first: RunResult, other: RunResult) -> None:
    if other.classes != first.classes:
        raise RunError(f"{pair}: trained on different classes; {_ADVICE}")
    if other.info["store_fingerprint"] != first.info["store_fingerprint"]:
        raise RunError(
            f"{pair}: trained on stores of different rig, renderer, points or seed"
            f" ({first.info['store_fingerprint']}, {other.info['store_fingerprint']}); {_ADVICE}"
        )


def _check_same_shapes(pair: str, first: RunResult, other: RunResult) -> None:
    if other.names != first.names:
        odd = sorted(set(first.names) ^ set(other.names))
        raise RunError(
            f"{pair}: tested on different shapes ({len(odd)} are in only one, such as {odd[0]});"
            f" {_ADVICE}"
        )
    wrong = np.flatnonzero(other.labels != first.labels)
    if len(wrong):
        raise RunError(f"{pair}: {first.names[wrong[0]]} has another true class; {_ADVICE}")
