"""Small holes in a drawn shape, and what lies nearest to them."""

import numpy as np

from pointmcd.typing import Array, Bools, Indices, kernel


def small_holes(drawn: Bools, most: float) -> tuple[Indices, Indices]:
    """Find the places of holes smaller than `most` places, and what each of them is nearest to.

    A hole is background, joined by the sides of places, that does not reach the border.

    Args:
        drawn: bool [S, S].
        most: number of places.

    Returns:
        int64 [H] each: the places in holes, row by row (row * S + column), and the drawn place
        nearest to each; of equally near ones the leftmost, then the uppermost.
    """
    holes = _hole_places(drawn, most)
    return holes, _nearest_drawn(drawn, holes)


@kernel
def _hole_places(drawn: Array, most: float) -> Array:
    """Join the runs of background in each row to those that they touch in the row above."""
    size = len(drawn)
    capacity = size * (size + 1) // 2
    starts, stops = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    parents, areas = np.empty(capacity, np.int64), np.empty(capacity)
    count = above = 0
    for row in range(size):
        row_above, begin = (row - 1) * size, count
        column = 0
        while column < size:
            if drawn[row, column]:
                column += 1
                continue
            start = column
            while column < size and not drawn[row, column]:
                column += 1
            at_border = row in (0, size - 1) or start == 0 or column == size
            starts[count], stops[count] = row * size + start, row * size + column
            parents[count], areas[count] = count, np.inf if at_border else column - start
            while above < begin and stops[above] <= row_above + start:
                above += 1
            touching = above
            while touching < begin and starts[touching] < row_above + column:
                _join(parents, areas, touching, count)
                touching += 1
            count += 1
        above = begin
    total = 0
    for run in range(count):
        if areas[_root(parents, run)] < most:
            total += stops[run] - starts[run]
    holes = np.empty(total, np.int64)
    total = 0
    for run in range(count):
        if areas[_root(parents, run)] < most:
            for place in range(starts[run], stops[run]):
                holes[total] = place
                total += 1
    return holes


@kernel
def _root(parents: Array, run: int) -> int:
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


@kernel
def _join(parents: Array, areas: Array, one: int, other: int) -> None:
    one, other = _root(parents, one), _root(parents, other)
    if one != other:
        parents[max(one, other)] = min(one, other)
        areas[min(one, other)] += areas[max(one, other)]


@kernel
def _nearest_drawn(drawn: Array, holes: Array) -> Array:
    """Search outwards from each place, column by column, as far as anything nearer may be.

    No hole reaches the border: the search meets what bounds the hole before it leaves the picture.
    """
    size = len(drawn)
    nearest = np.empty(len(holes), np.int64)
    for i in range(len(holes)):
        row, column = holes[i] // size, holes[i] % size
        least, at_row, at_column = size * size, 0, 0
        aside = 0
        while aside * aside <= least:
            away = 0
            while aside * aside + away * away <= least:
                distance = aside * aside + away * away
                for corner in range(4):
                    there = column - aside if corner < 2 else column + aside
                    level = row - away if corner % 2 == 0 else row + away
                    if drawn[level, there] and (
                        (distance, there, level) < (least, at_column, at_row)
                    ):
                        least, at_row, at_column = distance, level, there
                away += 1
            aside += 1
        nearest[i] = at_row * size + at_column
    return nearest
