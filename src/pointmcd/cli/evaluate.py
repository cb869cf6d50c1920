"""`pointmcd evaluate`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.table import Table
from rich.text import Text
from tyro.conf import Positional

from pointmcd.cli.output import (
    TEXT,
    FormOptions,
    UsageError,
    print_line,
    print_tables,
    without_folds,
)
from pointmcd.errors import ConfigError
from pointmcd.options import DEVICE, RUN, RUNS, STORE, metavar
from pointmcd.progress import note

if TYPE_CHECKING:  # they import torch, which would slow every --help
    from pointmcd.metrics.metrics import Metrics
    from pointmcd.tasks.task import Task


@dataclass(frozen=True)
class _Measured:
    """One run's table, the same for programs (by default the texts of the table), and its files."""

    table: Table
    records: Sequence[Mapping[str, Any]] = ()
    files: Sequence[Path] = ()


def evaluate(
    runs: Positional[Annotated[tuple[Path, ...], RUNS]],
    split: Literal["test", "val", "train", "rest", "folds"] = "test",
    store: Annotated[Path | None, STORE] = None,
    corrupt: Annotated[str | None, metavar("NAMES")] = None,
    against: Annotated[Path | None, RUN] = None,
    device: Annotated[str, DEVICE] = "auto",
    voting: Annotated[int, metavar("K")] = 1,
    form: FormOptions = TEXT,
) -> None:
    """Measure runs or teachers on a split of their store: accuracy or mIoU, overall and by class.

    Args:
        runs: Folders of runs, which keep the results, or of teachers (STORE/teachers/NAME).
        split: Split of the store; rest: the shapes of train and test whose labels the run did not
            know; or folds: the labelled shapes, each classified by the fold trained without it.
        store: The store, if it has moved.
        corrupt: Measure errors on corrupted clouds instead: all, or comma-separated corruptions.
        against: With --corrupt, a baseline evaluated with it before, for the mean corruption error.
        device: cpu, cuda, mps or auto.
        voting: Take the mean over K rescaled copies of each cloud, as some published results do;
            its results are kept and shown apart from those of the model alone (1).
        form: Form of the output.
    """
    runs = without_folds(runs)
    if not runs:
        raise UsageError("evaluate: no runs; give their folders")
    measured = (
        _measured(run, split, store, corrupt, against, device, voting)
        for run in dict.fromkeys(runs)
    )
    if form != TEXT:
        every = list(measured)
        records = [record for one in every for record in one.records]
        print_tables([one.table for one in every], form, records or None)
        return
    for one in measured:
        print_tables([one.table], form)
        for file in one.files:
            print_line(str(file))


def _measured(
    run: Path,
    split: str,
    store: Path | None,
    corrupt: str | None,
    against: Path | None,
    device: str,
    voting: int,
) -> _Measured:
    from pointmcd.teachers.stored import is_teacher

    if is_teacher(run):
        given = {"store": store, "corrupt": corrupt, "against": against}
        return _teacher(run, split, given | {"voting": None if voting == 1 else voting})
    if corrupt is not None:
        if voting != 1:
            raise ConfigError(f"--voting {voting}: not with --corrupt; leave one out")
        if split == "folds":
            raise ConfigError(
                "--split folds: not with --corrupt, which needs a test split: add a column split"
                " to the label file and train again, or leave one out"
            )
        return _corrupted(run, split, store, corrupt, against, device)
    if against is not None:
        raise ConfigError(
            f"--against {against}: only with --corrupt; without it use pointmcd compare"
        )
    return _clean(run, split, store, device, voting)


def _clean(run: Path, split: str, store: Path | None, device: str, voting: int) -> _Measured:
    from pointmcd.evaluation.evaluate import evaluate as measure
    from pointmcd.evaluation.voting import suffix, wording
    from pointmcd.training.run import Run

    results = measure(run, split, store, device, voting)
    _warn(run, Run(run).task, results["last"])
    fitted = "" if (fit := Run(run).fit_on) == "train" else f", fitted on {fit}"
    shapes = f"{results['last'].count} shapes{fitted}{wording(voting)}"
    table = metrics_table(f"{run}: {split}, {shapes}, in percent", results)
    pictures = sorted(run.glob(f"*-{split}-last{suffix(voting)}.png"))
    return _Measured(table, list(_metric_records(run, split, results, voting)), pictures)


def _teacher(folder: Path, split: str, given: "Mapping[str, object]") -> _Measured:
    from pointmcd.evaluation.evaluate import evaluate_teacher
    from pointmcd.inference.teacher import refuse_run_options
    from pointmcd.tasks.task import task_of_teacher
    from pointmcd.teachers.stored import open_teacher_store

    refuse_run_options("last", **given)
    metrics = evaluate_teacher(folder, split)
    _, teacher = open_teacher_store(folder)
    _warn(folder, task_of_teacher(folder, teacher["task"]), metrics)
    title = f"{folder}: {split}, {metrics.count} shapes, in percent"
    results = {"teacher": metrics}
    return _Measured(metrics_table(title, results), list(_metric_records(folder, split, results)))


def _warn(folder: Path, task: "Task", metrics: "Metrics") -> None:
    if caution := task.caution(metrics):
        note(f"{folder}: {caution}")


def _corrupted(
    run: Path,
    split: str,
    store: Path | None,
    corrupt: str,
    against: Path | None,
    device: str,
) -> _Measured:
    from pointmcd.robustness.evaluate import evaluate_corrupted
    from pointmcd.robustness.registry import parse_names
    from pointmcd.robustness.result import ratios_against, read_corrupted
    from pointmcd.robustness.tables import corrupted_records, corrupted_table

    names = parse_names(corrupt)
    if against is not None:  # refused now, not in some minutes
        read_corrupted(against, split, "last", names)
    result = evaluate_corrupted(run, names, split, store, device)["last"].only(names)
    ratios = ratios_against(against, run, result, split, "last") if against else None
    title = f"{run}: {split}, corrupted, {len(result.names)} shapes, last epoch"
    table = corrupted_table(title, result, ratios)
    records = corrupted_records(str(run), result, ratios)
    return _Measured(table, records, [run / f"corrupted-{split}-last.json"])


def _intervals(metrics: "Metrics") -> "dict[str, tuple[float, float]]":
    """The 95% intervals of metrics by their names; the main one, its mean over classes, others."""
    from pointmcd.metrics.statistics import class_interval, score_interval

    found, labels = [score_interval(metrics.scores)], getattr(metrics, "labels", None)
    if labels is not None:  # metrics of an own task may have none
        found.append(class_interval(metrics.scores, labels))
    others = getattr(metrics, "other_intervals", {})
    return {**dict(zip(metrics.main, found, strict=False)), **others}


def _metric_records(
    run: Path, split: str, results: "Mapping[str, Metrics]", voting: int = 1
) -> Iterator[dict[str, Any]]:
    """Yield one record per checkpoint: its metrics and those of each class, as fractions."""
    for name, metrics in results.items():
        ends: dict[str, float] = {}
        prefixes = dict(zip(metrics.main, ("", "class_"), strict=False))
        for metric, (low, high) in _intervals(metrics).items():
            prefix = prefixes.get(metric, f"{metric.split()[0]}_")
            ends |= {f"{prefix}low": low, f"{prefix}high": high}
        about = {"split": split, "checkpoint": name, "voting": voting, "shapes": metrics.count}
        yield (
            {"run": str(run), **about, **metrics.main}
            | ends
            | {f"class {label}": value for label, value in metrics.per_class.items()}
        )


def metrics_table(title: str, results: "Mapping[str, Metrics]") -> Table:
    """Metrics of a run's checkpoints, and of its teacher where it has them, in percent."""
    table = Table(title=Text(title))
    table.add_column("", overflow="fold")
    headings = {"last": "last epoch", "best": "best on validation", "teacher": "teacher"}
    for name in results:
        table.add_column(headings[name], justify="right", overflow="fold")
    every = list(results.values())
    intervals = [*map(_intervals, every)]
    for name in every[0].main:
        table.add_row(name, *(f"{100 * metrics.main[name]:.1f}" for metrics in every))
        if name in intervals[0]:
            ends = (one[name] for one in intervals)
            texts = (f"{100 * low:.1f} to {100 * high:.1f}" for low, high in ends)
            table.add_row("  95% interval", *texts)
    table.add_section()
    for name, label in _counted_classes(every[0]).items():
        values = [metrics.per_class[name] for metrics in every]
        table.add_row(Text(label), *("-" if v is None else f"{100 * v:.1f}" for v in values))
    return table


def _counted_classes(metrics: "Metrics") -> dict[str, str]:
    """The classes by their names, each with its number of shapes where the metrics tell."""
    names, labels = list(metrics.per_class), getattr(metrics, "labels", None)
    if labels is None:  # metrics of an own task may have none
        return dict(zip(names, names, strict=True))
    counts = [int((labels == number).sum()) for number in range(len(names))]
    return {name: f"{name} ({count:,})" for name, count in zip(names, counts, strict=True)}
