"""Does `train --distill auto` ever lose? What it decides, beside what either decision gives.

    python -m benchmarks.decisions ../shared/data/psb_parts17.zip WORK

For each share of the labels and each seed, `decide` says whether to distil, as `train --distill
auto` does: from the labels, and from the teacher and a quick baseline on the validation split.
Baseline and distilled run are both trained, whatever it said, and the test split is read once, at
the end of each. WORK goes on where it was interrupted; the section of a data set in
benchmarks/decisions/README.md is written anew, those of others stay. `--scans` keeps of each mesh
the points that one view sees, as a cloud; `--classes` takes these alone of a folder of classes.
"""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, product
from pathlib import Path

from benchmarks.decisions.sources import only_classes, scans_of
from benchmarks.shared.page import machine, sections, table, write
from benchmarks.shared.trials import describe, describe_store, parser, train_all
from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.evaluation.compare import compare
from pointmcd.evaluation.comparison_table import interval_text, percent
from pointmcd.metrics.statistics import Spread
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import prepare
from pointmcd.teachers.config import TeachConfig
from pointmcd.teachers.teach import teach
from pointmcd.training.auto import decide
from pointmcd.training.config import TrainConfig
from pointmcd.training.several import make_teacher

PAGE = Path(__file__).with_name("README.md")
COLUMNS = (
    *("labelled train shapes", "decided to distil", "baseline", "distilled"),
    *("difference (95% interval)", "auto", "the teacher"),
)


def distilled(chosen: Namespace, fraction: float, seed: int) -> TrainConfig:
    """Return the settings of a distilled run, with the objective that auto takes."""
    config = TrainConfig(
        chosen.work / "store",
        chosen.work / "runs" / f"distilled-{fraction:g}-s{seed}",
        label_fraction=fraction,
        points=chosen.points,
        epochs=chosen.epochs,
        seed=seed,
    )
    return replace(config, objective=config.described_task.few_labels_objective)


def baseline(config: TrainConfig) -> TrainConfig:
    """Return the same settings without a teacher."""
    folder = config.folder.with_name(config.folder.name.replace("distilled", "baseline"))
    return replace(config, teacher=None, objective=(), out=folder)


def findings(configs: list[TrainConfig]) -> tuple[list[str], list[str]]:
    """Return the row of a share of the labels, and the reason of each seed's decision."""
    store, fraction = Store(configs[0].store), configs[0].label_fraction
    decisions = [decide(config) for config in configs]
    distils = [one.config.teacher is not None for one in decisions]
    found = compare([c.folder for c in configs], [baseline(c).folder for c in configs])
    (alone, _), (ours, difference) = found.rows
    assert difference
    chosen = zip(distils, ours.results, alone.results, strict=True)
    auto = Spread.of([mine.score if taught else its.score for taught, mine, its in chosen])
    row = [
        f"{len(labelled_train(store, fraction, 0))} of {len(store.indices('train'))}",
        f"{sum(distils)} of {len(distils)} seeds",
        percent(alone.score),
        percent(ours.score),
        interval_text(difference.overall),
        percent(auto),
        percent(found.teachers[0][0].score),
    ]
    return row, [
        f"{fraction:.0%}, seed {config.seed}: {one.reason}."
        for config, one in zip(configs, decisions, strict=True)
    ]


def section(title: str, command: str, settings: list[list[TrainConfig]]) -> Iterator[str]:
    """Yield the paragraphs of a data set."""
    rows, reasons = zip(*map(findings, settings), strict=True)
    store, config = Store(settings[0][0].store), settings[0][0]
    sized = replace(config, label_fraction=1.0).for_shapes(len(store.indices("train")))
    yield f"## {title}"
    yield (
        f"{describe_store(store)}; {len(store.classes)} classes; seeds"
        f" {', '.join(str(config.seed) for config in settings[0])}. Settings:"
        f" {describe(sized)}, {sized.epochs} epochs."
    )
    yield f"`{command}`"
    yield table(COLUMNS, rows)
    yield "\n".join(f"- {reason}" for each in reasons for reason in each)


def main() -> None:
    """Do everything, from the shapes to the page."""
    options = parser(__doc__)
    options.add_argument("--fractions", nargs="*", type=float, default=[0.1, 0.25, 1.0])
    options.add_argument("--seeds", type=int, default=3, help="how many")
    options.add_argument("--points", type=int, default=256)
    options.add_argument("--epochs", type=int, default=0, help="0: as many as `train` takes")
    options.add_argument("--at-once", type=int, default=1, help="runs trained at a time")
    options.add_argument("--classes", nargs="*", default=[], help="of a zip: these alone")
    options.add_argument("--up", help="axis that points up in the shapes (prepare)")
    options.add_argument(
        "--scans", action="store_true", help="of each mesh the points that one view sees"
    )
    chosen = options.parse_args()
    source, store, told = chosen.source, chosen.work / "store", ""
    title = source.stem
    if chosen.classes:
        source = only_classes(source, chosen.work / "classes", chosen.classes)
        title = f"{title}, {len(chosen.classes)} classes"
        told = f" --classes {' '.join(chosen.classes)}"
    if chosen.scans:
        source = scans_of(source, chosen.work)
        title, told = f"{title}, scanned from one side", f"{told} --scans"
    told += f" --up {chosen.up}" if chosen.up else ""
    told += f" --epochs {chosen.epochs}" if chosen.epochs else ""
    told += f" --seeds {chosen.seeds}" if chosen.seeds != 3 else ""
    told += f" --fractions {' '.join(f'{share:g}' for share in chosen.fractions)}"
    command = f"python -m benchmarks.decisions ../shared/data/{chosen.source.name} WORK{told}"
    prepare(PrepareConfig(source, store, up=chosen.up))
    settings = [
        [distilled(chosen, share, seed) for seed in range(chosen.seeds)]
        for share in chosen.fractions
    ]
    if 1 in chosen.fractions:
        teach(TeachConfig(store))
    configs = list(chain.from_iterable(settings))
    for config in configs:
        make_teacher(config)
        decide(config)
    arms = product(configs, (baseline, lambda config: config))
    train_all((arm(config) for config, arm in arms), chosen.at_once)
    head = (
        "# What `--distill auto` decides, and what either decision gives",
        "Written by `python -m benchmarks.decisions ../shared/data/SET.zip WORK`; `--help` lists"
        " its options. PointNet; accuracy on the test split in percent, mean ± standard deviation"
        " over seeds, read once after the last epoch. The limits of `auto` were set before, on"
        " psb25, ldraw32 and ModelNet40. Each seed is decided on its own, by the quick baseline of"
        " `train --distill auto`. Column auto: of each seed the run that was decided for.",
        machine(),
    )
    write(PAGE, [*head, *sections(PAGE, list(section(title, command, settings)))])


if __name__ == "__main__":
    main()
