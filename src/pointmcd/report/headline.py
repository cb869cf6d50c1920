"""The result of a comparison in one line that says no more than the figures allow."""

from pointmcd.evaluation.compare import Comparison
from pointmcd.evaluation.comparison_table import percent, signed_points


def main_arm(comparison: Comparison) -> int:
    """Position of the arm that the page is about: plain distillation where there is one."""
    names = [arm.results[0].arm for arm in comparison.arms]
    return names.index("distilled") if "distilled" in names else 0


def headline(comparison: Comparison) -> tuple[str, str]:
    """The result in one line, and the figures behind it."""
    arm = comparison.arms[main_arm(comparison)]
    if comparison.baseline is None or not comparison.differences:
        return f"{arm.label}: {percent(arm.overall_accuracy)} % of test shapes right", ""
    found = comparison.differences[main_arm(comparison)].overall
    one, two = arm.label, comparison.baseline.label
    evidence = (
        f"{signed_points(found.mean)} points of accuracy on the test split; 95% interval from"
        f" {signed_points(found.low)} to {signed_points(found.high)}."
    )
    if found.low > 0:
        return f"{one} is better than {two}", evidence
    if found.high < 0:
        return f"{one} is worse than {two}", evidence
    return f"{one} and {two} cannot be told apart", evidence
