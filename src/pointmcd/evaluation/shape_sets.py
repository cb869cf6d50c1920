"""Sets of shapes that runs are compared on: the test split, or shapes with held-back labels."""

from typing import NamedTuple


class ShapeSet(NamedTuple):
    """Words on the shapes that runs are compared on.

    Attributes:
        title: of a table, with the number of shapes.
        where: in a sentence, after "on".
        kind: what the shapes are called in a note.
        note: what to know when reading results on them.
    """

    title: str
    where: str
    kind: str
    note: str = ""


#: The shapes of train and test whose labels a run did not know.
REST = "rest"
#: The labelled shapes, each held out of one fold's training.
FOLDS = "folds"
SHAPE_SETS = {
    "test": ShapeSet("Test split, {} shapes", "the test split", "test shapes"),
    REST: ShapeSet(
        "{} shapes whose labels no run knew",
        "the {} shapes whose labels no run knew",
        "shapes",
        "Of the shapes whose labels no run knew, distilled runs have learnt from those of the train"
        " split without their labels; a baseline has not. The test split is new to all.",
    ),
    FOLDS: ShapeSet(
        "{} labelled shapes, each classified by a fold trained without it",
        "the {} labelled shapes, each classified by a fold trained without it",
        "labelled shapes",
        "In K folds each training knows (K - 1) / K of the labelled shapes; the runs themselves"
        " know all but those of the validation split.",
    ),
}
