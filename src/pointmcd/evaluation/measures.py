"""How the figures of each task are called in tables and texts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """The words for one task's figures.

    Attributes:
        task: "classification" or "segmentation".
        score: the main figure.
        class_score: the same as a mean over classes, each counting the same.
        short: the figure of one class or shape.
        plural: several of them, to begin a sentence with.
        test: the paired test beside a difference.
        test_note: how to read the test's counts and p.
    """

    task: str
    score: str
    class_score: str
    short: str
    plural: str
    test: str
    test_note: str


CLASSIFICATION = Measure(
    task="classification",
    score="overall accuracy",
    class_score="class accuracy",
    short="accuracy",
    plural="Accuracies",
    test="McNemar on the vote",
    test_note=(
        "McNemar: shapes that only this arm / only the baseline got right by majority vote over"
        " seeds, exact two-sided p. Not corrected for several arms."
    ),
)
SEGMENTATION = Measure(
    task="segmentation",
    score="instance mIoU",
    class_score="class mIoU",
    short="mIoU",
    plural="Mean IoU",
    test="Wilcoxon on shapes",
    test_note=(
        "Wilcoxon: shapes whose mIoU, averaged over seeds, is higher with this arm / with the"
        " baseline; signed-rank test, two-sided p, shapes without a difference left out. Not"
        " corrected for several arms."
    ),
)
