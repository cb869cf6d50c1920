"""The result of a comparison in one line that says no more than the figures allow."""

from pointmcd.evaluation.compare import Comparison
from pointmcd.evaluation.comparison_table import percent, signed_points

#: What a figure without another beside it is a share of, where its name does not say it.
_ALONE = {"classification": "of test shapes right"}


def main_arm(comparison: Comparison) -> int:
    """Position of the arm that the page is about: plain distillation where there is one."""
    names = [arm.results[0].arm for arm in comparison.arms]
    return names.index("distilled") if "distilled" in names else 0


def headline(comparison: Comparison) -> tuple[str, str]:
    """The result in one line, and the figures behind it."""
    arm = comparison.arms[main_arm(comparison)]
    if comparison.baseline is None or not comparison.differences:
        figure = _ALONE.get(comparison.measure.task, comparison.measure.score)
        return f"{arm.label}: {percent(arm.score)} % {figure}", ""
    found = comparison.differences[main_arm(comparison)].overall
    one, two = arm.label, comparison.baseline.label
    evidence = (
        f"{signed_points(found.mean)} points of {comparison.measure.short} on the test split;"
        f" 95% interval from {signed_points(found.low)} to {signed_points(found.high)}."
    )
    if found.low > 0:
        return f"{one} is better than {two}", evidence
    if found.high < 0:
        return f"{one} is worse than {two}", evidence
    return f"{one} and {two} cannot be told apart", evidence
