"""Random choice: the yardstick."""

from pointmcd.labelling.strategy import Pool, register_strategy


@register_strategy("random")
def random(pool: Pool, count: int) -> list[int]:
    """Choose shapes at random."""
    return list(map(int, pool.generator.permutation(pool.allowed)[:count]))
