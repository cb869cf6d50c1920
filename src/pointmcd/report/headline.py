"""Headline of the report: the result of a comparison in one careful sentence."""

from pointmcd.evaluation.compare import Comparison
from pointmcd.evaluation.comparison_table import percent, signed_points


def main_variant(comparison: Comparison) -> int:
    """Position of the variant that the page is about: plain distillation where there is one."""
    names = [variant.results[0].arm for variant in comparison.variants]
    return names.index("distilled") if "distilled" in names else 0


def headline(comparison: Comparison) -> tuple[str, str]:
    """The result in one line, and the numbers behind it."""
    variant = comparison.variants[main_variant(comparison)]
    if comparison.baseline is None or not comparison.differences:
        return f"{variant.label}: {percent(variant.score)} % {comparison.task.wording.share}", ""
    found = comparison.differences[main_variant(comparison)].overall
    one, two = variant.label, comparison.baseline.label
    evidence = (
        f"{signed_points(found.mean)} points of {comparison.task.wording.short} on the test split;"
        f" 95% interval from {signed_points(found.low)} to {signed_points(found.high)}."
    )
    if found.low > 0:
        return f"{one} is better than {two}", evidence
    if found.high < 0:
        return f"{one} is worse than {two}", evidence
    return f"{one} and {two} are not measurably different", evidence
