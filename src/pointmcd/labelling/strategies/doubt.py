"""Margin of the likeliest two classes, kept diverse (Citovsky et al., NeurIPS 2021)."""

import numpy as np

from pointmcd.labelling.strategies.typical import typical
from pointmcd.labelling.strategy import Pool, clusters_of, register_strategy

#: As many candidates per wanted label, from which one per cluster is taken.
_CANDIDATES = 5


@register_strategy("doubt")
def doubt(pool: Pool, count: int) -> list[int]:
    """Choose shapes whose two likeliest classes are close, one for each cluster of such shapes.

    Before there is a model: `typical`.
    """
    if pool.probabilities is None:
        return typical(pool, count)
    best = np.sort(pool.probabilities[pool.allowed], axis=1)
    margins = best[:, -1] - (best[:, -2] if best.shape[1] > 1 else 0.0)
    order = np.argsort(margins, kind="stable")[: count * _CANDIDATES]
    rows = pool.allowed[order]
    first = np.unique(clusters_of(pool, rows, count), return_index=True)[1]  # least sure of each
    rest = np.setdiff1d(np.arange(len(rows)), first)
    return [int(row) for row in rows[np.concatenate([np.sort(first), rest])]][:count]
