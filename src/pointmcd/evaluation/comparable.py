"""Which runs may be held against each other: same task, same store, same test shapes."""

from collections.abc import Sequence

import numpy as np

from pointmcd.errors import RunError
from pointmcd.evaluation.run_result import RunResult, SegmentationResult

_ADVICE = "compare runs of one store"


def check_comparable(results: Sequence[RunResult]) -> None:
    """Make sure that all runs did one task and were tested on the same shapes of one store.

    Raises:
        RunError: naming the first two runs that differ, and in what.
    """
    first = results[0]
    for other in results[1:]:
        pair = f"{first.path} and {other.path}"
        if other.task != first.task:
            raise RunError(
                f"{pair}: one is of {first.task}, the other of {other.task}; compare runs of one"
                " task"
            )
        _check_same_store(pair, first, other)
        _check_same_shapes(pair, first, other)
        if isinstance(first, SegmentationResult) and isinstance(other, SegmentationResult):
            _check_same_parts(pair, first, other)


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


def _check_same_parts(pair: str, first: SegmentationResult, other: SegmentationResult) -> None:
    if other.parts != first.parts:
        raise RunError(f"{pair}: trained on different parts; {_ADVICE}")
    # The runs may take different numbers of points: the first ones are then the same.
    count = min(first.truth.shape[1], other.truth.shape[1])
    differ = (first.truth[:, :count] != other.truth[:, :count]).any(axis=1)
    if differ.any():
        name = first.names[int(np.argmax(differ))]
        raise RunError(f"{pair}: {name} has other true parts; {_ADVICE}")
