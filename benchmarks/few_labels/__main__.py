"""What a teacher gives where few labels are known: objectives beside the baseline, seed by seed.

    python -m benchmarks.few_labels ../shared/data/psb25.zip WORK

makes WORK/store and WORK/runs, goes on where it was interrupted, reads the test split once, at the
end of each run, and writes the section of that data set in benchmarks/few_labels/README.md; those
of others stay. Each seed draws other labels; the teacher and all variants of a seed know the same.
A variant is in the tables with the seeds that are done.
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.shared.page import machine, sections, write
from benchmarks.shared.trials import describe, describe_store, parser, trained_and_evaluated
from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import comparison_table
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.tables import to_markdown
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.config import TrainConfig

PAGE = Path(__file__).with_name("README.md")
#: The objectives of each variant, in the order in which they are run.
VARIANTS = {
    "baseline": None,
    "logits": ("logits:9",),
    "vafp": ("vafp:3",),
    "vafp-all": ("vafp:3",),
    "logits-vafp": ("logits:9", "vafp:3"),
    "logits-view_logits": ("logits:9", "view_logits:9"),
    "logits-contrast": ("logits:9", "contrast:0.5"),
}
POINTS, EPOCHS, BATCH_SIZE = 256, 40, 32


def config_of(work: Path, variant: str, fraction: float, seed: int) -> TrainConfig:
    """Return the settings of one run."""
    objective = VARIANTS[variant]
    return TrainConfig(
        work / "store",
        work / "runs" / f"{variant}-{fraction:g}-s{seed}",
        teacher=None if objective is None else "lite0",
        objective=objective or (),
        visibility="all" if variant.endswith("-all") else "exact",
        label_fraction=fraction,
        points=POINTS,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        seed=seed,
    )


def section(work: Path, title: str, fraction: float) -> Iterator[str]:
    """Yield the paragraphs of one data set and fraction: what is known, and one table a variant."""
    store = Store(work / "store")
    known = len(labelled_train(store, fraction, 0))
    copies = (len(store.shape_of) - len(store.shapes)) // len(store.indices("train"))
    beside = f", {copies} deformed copies of each train shape" if copies else ""
    yield f"## {title}, {fraction:.0%} of the labels{beside}"
    yield (
        f"{describe_store(store)}; {len(store.classes)} classes, {known} labelled shapes. Settings:"
        f" {describe(config_of(work, 'baseline', fraction, 0))}, {EPOCHS} epochs."
    )
    for variant in VARIANTS:
        done = [s for s in range(99) if _done(work, variant, fraction, s)]
        paired = [s for s in done if _done(work, "baseline", fraction, s)]
        if variant == "baseline" or not paired:
            continue
        runs, baseline = (
            [config_of(work, name, fraction, s).folder for s in paired]
            for name in (variant, "baseline")
        )
        control = ", every point visible in every view" if variant.endswith("-all") else ""
        yield f"`{'`, `'.join(VARIANTS[variant] or ())}`{control}:"
        yield to_markdown(comparison_table(compare(runs, baseline)))


def _done(work: Path, variant: str, fraction: float, seed: int) -> bool:
    return (config_of(work, variant, fraction, seed).folder / "test.json").exists()


def write_page(work: Path, title: str, fraction: float) -> None:
    """Write the page; the sections of other data sets and fractions stay as they are."""
    head = (
        "# Few labels: what a teacher of the same labels gives",
        "Written by `python -m benchmarks.few_labels ../shared/data/SET.zip WORK`;"
        " `--help` lists its options. Each seed draws other labels. The baseline learns from them"
        " alone; the others also see, in each step, a batch drawn from all train shapes, whose"
        f" labels nobody reads, with what the teacher says of them. PointNet, {POINTS} points.",
        machine(),
    )
    write(PAGE, [*head, *sections(PAGE, list(section(work, title, fraction)))])


def main() -> None:
    """Do everything, from the shapes to the page."""
    options = parser(__doc__)
    options.add_argument("--fraction", type=float, default=0.1, help="of the labels")
    options.add_argument("--seeds", type=int, default=5, help="how many")
    options.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=VARIANTS)
    options.add_argument(
        "--copies", type=int, default=0, help="deformed copies of each train shape (prepare)"
    )
    options.add_argument("--page", action="store_true", help="train nothing, write the page")
    chosen = options.parse_args()
    work, fraction = chosen.work, chosen.fraction
    if not chosen.page:
        prepare(PrepareConfig(chosen.source, work / "store", variants=chosen.copies))
        for seed in range(chosen.seeds if fraction < 1 else 1):  # of all labels there is one
            teach(
                TeachConfig(work / "store", label_fraction=fraction, seed=seed, label_smoothing=0.0)
            )
        for variant in chosen.variants:
            for seed in range(chosen.seeds):
                trained_and_evaluated(config_of(work, variant, fraction, seed))
    write_page(work, chosen.source.stem, fraction)


if __name__ == "__main__":
    main()
