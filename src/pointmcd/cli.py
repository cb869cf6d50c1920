"""The command line: parse, call the library, print. Each command is a library function."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro
from rich.console import Console
from tyro.conf import OmitArgPrefixes, Positional

from pointmcd.cli_tables import (
    classes_table,
    data_sets_table,
    encoders_table,
    metrics_table,
    parts_table,
    probe_table,
    teacher_line,
)
from pointmcd.errors import ConfigError, PointMCDError
from pointmcd.files import read_json
from pointmcd.probe.cells import PROBE_NOTES, probe_markdown
from pointmcd.progress import console
from pointmcd.teachers.config import TeachConfig
from pointmcd.training.config import RECIPES, Task, TrainConfig, apply_recipe

#: Tables and paths, the results, go to standard output; all else to standard error.
out = Console()


def _print(text: str) -> None:
    """One line of results, however long: paths are to be piped."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def prepare(
    source: Positional[str],
    store: Positional[Path],
    points: int = 2048,
    rig: str = "ring12",
    up: Literal["x", "y", "z"] | None = None,
    seed: int = 0,
    workers: int | None = None,
    backend: Literal["processes", "dask", "ray"] = "processes",
    scheduler: str | None = None,
    shard_size: int = 32,
    val_fraction: float = 0.15,
    test_fraction: float = 0.2,
    strict: bool = False,
    overwrite: bool = False,
    shapenetcore: Path | None = None,
) -> None:
    """Turn a data set, or a folder or zip of meshes or clouds, into a store.

    Args:
        source: CLASS/{train,test}/NAME, CLASS/NAME or flat files, or a data set as NAME:PATH.
        store: folder to make; run again to go on after an interruption.
        points: points per shape, in farthest-point order.
        rig: ring12, ring16 or a FILE.json.
        up: axis that points up in the shapes (y unless rig or data set says otherwise).
        seed: seed of samples and splits.
        workers: processes on this machine; all cores by default.
        backend: who works: processes, or a dask or ray cluster that sees the same files.
        scheduler: address of the cluster, like tcp://HOST:8786; by default it is on this machine.
        shard_size: shapes per shard.
        val_fraction: share of the train part held out for validation.
        test_fraction: share held out for the test where the source has no splits.
        strict: stop at the first bad shape.
        overwrite: replace a store made with other settings.
        shapenetcore: for ShapeNetPart, the folder of its meshes (looked for beside it).
    """
    from pointmcd.preparation.prepare import prepare as run

    result = run(
        *(source, store),
        points=points,
        rig=rig,
        up=up,
        seed=seed,
        workers=workers,
        backend=backend,
        scheduler=scheduler,
        shard_size=shard_size,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        strict=strict,
        overwrite=overwrite,
        shapenetcore=shapenetcore,
    )
    for entry in result.skipped:
        console.print(f"skipped: {entry['reason']}", style="yellow", markup=False, soft_wrap=True)
    for note in result.notes:
        console.print(f"note: {note['name']}: {note['note']}", markup=False, soft_wrap=True)
    _print(f"{store}: {result.done} shapes, {len(result.skipped)} skipped")


def download(
    name: Positional[str | None] = None,
    folder: Positional[Path] = Path(),
    layout: str | None = None,
) -> None:
    """Fetch a public data set where its licence allows that, or say how to get it by hand.

    Args:
        name: the data set; without it all are listed.
        folder: where to put the archive; run again to go on after an interruption.
        layout: which form of it, where there are several.
    """
    from pointmcd.datasets.download import download as run
    from pointmcd.datasets.download import licence_notice
    from pointmcd.datasets.registry import get_data_set, list_data_sets

    if name is None:
        out.print(data_sets_table(map(get_data_set, list_data_sets())))
        return
    data_set = get_data_set(name)
    console.print(licence_notice(data_set), markup=False, highlight=False, soft_wrap=True)
    fetched = run(name, folder, layout)
    held = "as published" if fetched.published else "no checksum known to hold it against"
    console.print(f"sha256 {fetched.sha256} ({held})", markup=False, soft_wrap=True)
    _print(str(fetched.path))


def teach(config: OmitArgPrefixes[TeachConfig]) -> None:
    """Train an image teacher on the views and export its descriptors into the store."""
    from pointmcd.teachers.teach import teach as run

    folder = run(config)
    meta = read_json(folder / "teacher.json")
    _print(f"{folder}: {teacher_line(meta)}")


def teachers(search: str | None = None) -> None:
    """List the image encoders that can be used at once, without a network.

    Args:
        search: a part of names, or a pattern with *: all of such names, cached or not.
    """
    from pointmcd.encoders.available import list_usable

    found = list_usable(search)
    out.print(encoders_table(found.entries))
    for note in found.notes:
        _print(note)


def _train_command(default: TrainConfig) -> Callable[..., None]:
    """`pointmcd train` with the defaults of the recipe that the command line names."""

    def train(
        config: OmitArgPrefixes[TrainConfig] = default,
        recipe: Literal["short", "paper"] = "short",  # read before parsing, for the defaults
        no_distill: bool = False,
        learning_curve: bool = False,
    ) -> None:
        """Train a student on a store, distilled from a teacher or (--no-distill) alone.

        Args:
            config: the settings.
            recipe: short (found on small data and short schedules) or paper (the method's own).
            no_distill: train the baseline, everything else equal.
            learning_curve: train with 1, 5, 10, 20 and 100% of the labels, a run each.
        """
        from pointmcd.training.processes import is_main
        from pointmcd.training.train import learning_curve as run_all
        from pointmcd.training.train import train as run

        settings = replace(config, teacher=None) if no_distill else config
        for folder in run_all(settings) if learning_curve else [run(settings)]:
            if is_main():
                _print(str(folder))

    return train


def evaluate(
    run: Positional[Path],
    split: Literal["test", "val", "train"] = "test",
    store: Path | None = None,
    corrupt: str | None = None,
    against: Path | None = None,
    device: str = "auto",
) -> None:
    """Accuracy or mIoU of a run, a per-class table; of a classification also a confusion picture.

    Args:
        run: run folder.
        split: part of the store.
        store: where the store is now, if it has moved.
        corrupt: instead, errors on corrupted clouds: all, or names of corruptions parted by commas.
        against: run folder of a baseline that was corrupted too, for its mean corruption error.
        device: cpu, cuda, mps or auto.
    """
    if corrupt is not None:
        _evaluate_corrupted(run, split, store, corrupt, against, device)
        return
    if against is not None:
        raise ConfigError(f"--against {against}: is for --corrupt; else use pointmcd compare")
    from pointmcd.evaluation.evaluate import evaluate as measure

    results = measure(run, split, store, device)
    out.print(metrics_table(f"{run}: {split}, {results['last'].count} shapes, in percent", results))
    picture = run / f"confusion-{split}-last.png"
    if picture.exists():  # a classification has one
        _print(str(picture))


def _evaluate_corrupted(
    run: Path, split: str, store: Path | None, corrupt: str, against: Path | None, device: str
) -> None:
    from pointmcd.robustness.compare import ratios_against
    from pointmcd.robustness.evaluate import evaluate_corrupted
    from pointmcd.robustness.registry import parse_names
    from pointmcd.robustness.result import read_predictions
    from pointmcd.robustness.tables import corrupted_table

    names = parse_names(corrupt)
    if against is not None:  # refused now, not in some minutes
        read_predictions(against, split, "last")
    result = evaluate_corrupted([run], names, split, store, device)[0]["last"].only(names)
    ratios = ratios_against(against, run, result, split, "last") if against else None
    title = f"{run}: {split}, corrupted, {len(result.names)} shapes, last epoch"
    out.print(corrupted_table(title, result, ratios))
    _print(str(run / f"corrupted-{split}-last.json"))


def compare(
    runs: Positional[tuple[Path, ...]],
    baseline: tuple[Path, ...] = (),
    checkpoint: Literal["last", "best"] = "last",
    corrupted: bool = False,
    markdown: bool = False,
) -> None:
    """Compare evaluated runs: mean and deviation over seeds, paired difference, paired test.

    Args:
        runs: run folders of any arms and seeds.
        baseline: run folders that the others are held against.
        checkpoint: last epoch, or best on the validation part.
        corrupted: on the clouds that `evaluate --corrupt` made.
        markdown: print Markdown.
    """
    if corrupted:
        _compare_corrupted(runs, baseline, checkpoint, markdown)
        return
    from pointmcd.evaluation.compare import compare as measure
    from pointmcd.evaluation.comparison_table import comparison_table, to_markdown

    comparison = measure(runs, baseline, checkpoint)
    if markdown:
        sys.stdout.write(to_markdown(comparison))
    else:
        out.print(comparison_table(comparison))


def _compare_corrupted(
    runs: Sequence[Path],
    baseline: Sequence[Path],
    checkpoint: Literal["last", "best"],
    markdown: bool,
) -> None:
    from pointmcd.robustness.compare import compare_corrupted
    from pointmcd.robustness.tables import corrupted_markdown, corrupted_tables

    comparison = compare_corrupted(runs, baseline, checkpoint)
    if markdown:
        sys.stdout.write(corrupted_markdown(comparison))
    else:
        for table in corrupted_tables(comparison):
            out.print(table)


def probe(
    run: Positional[Path],
    store: Positional[Path],
    beside: tuple[Path, ...] = (),
    split: Literal["test", "val"] = "test",
    pooling: Literal["max", "mean", "both"] = "max",
    checkpoint: Literal["last", "best"] = "last",
    references: bool = True,
    seed: int = 0,
    device: str = "auto",
    markdown: bool = False,
) -> None:
    """Judge a frozen student: linear SVM, neighbours, few-shot, retrieval, beside references.

    Args:
        run: run folder, of any task; its student is probed as it is.
        store: store with class labels, the run's own or another.
        beside: other runs for the same table.
        split: part to read on; test is fitted on train and val, val on train alone.
        pooling: how the embeddings of the points become one of the shape.
        checkpoint: last epoch, or best on the validation part.
        references: leave out the student of random weights and the teacher's own descriptors.
        seed: seed of folds and few-shot trials.
        device: cpu, cuda, mps or auto.
        markdown: print Markdown.
    """
    from pointmcd.probe.probe import probe as measure

    rows = measure(
        *(run, store),
        split=split,
        pooling=pooling,
        checkpoint=checkpoint,
        beside=beside,
        references=references,
        seed=seed,
        device=device,
    )
    if markdown:
        sys.stdout.write(f"{probe_markdown(rows)}\n\n{PROBE_NOTES}\n")
    else:
        out.print(probe_table(f"{store}: {split}, {pooling} pooling, in percent", rows))


def predict(
    run: Positional[Path],
    files: Positional[tuple[Path, ...]],
    label: str | None = None,
    out_folder: Annotated[Path, tyro.conf.arg(name="out")] = Path("parts"),
    checkpoint: Literal["last", "best"] = "best",
    device: str = "auto",
) -> None:
    """Name the class of mesh or point cloud files, or label their parts, from points alone.

    A run of parts writes NAME-parts.ply, the points that it took from the file in their part's
    colour, and NAME-parts.png, a picture of them. The points are in the unit sphere: as many as
    the run was trained with, on the surface of a mesh or of those of a cloud.

    Args:
        run: run folder.
        files: any mesh or point cloud files.
        label: class of the files, for a run of parts; by default the folder they are in names it.
        out_folder: folder for what a run of parts writes.
        checkpoint: best on the validation part, or last epoch.
        device: cpu, cuda, mps or auto.
    """
    from pointmcd.training.run import Run

    if Run(run).meta["task"] == "segmentation":
        from pointmcd.inference.predict_parts import predict_parts

        found = predict_parts(run, files, label, out_folder, checkpoint, device)
        table, faults = parts_table(found)
    elif label is not None:
        raise ConfigError(f"--label {label}: {run} names classes; only a run of parts is given one")
    else:
        from pointmcd.inference.predict import predict as classify

        table, faults = classes_table(classify(run, files, checkpoint, device))
    if table.row_count:
        out.print(table)
    if faults:
        raise PointMCDError("\n".join(faults))


def report(
    runs: Positional[tuple[Path, ...]],
    baseline: tuple[Path, ...] = (),
    out_file: Annotated[Path, tyro.conf.arg(name="out")] = Path("report.html"),
) -> None:
    """Write one self-contained HTML page about evaluated runs.

    Args:
        runs: run folders; those of the baseline arm may be among them.
        baseline: run folders that the others are held against.
        out_file: page to write.
    """
    from pointmcd.report.page import write_report

    _print(str(write_report(runs, out_file, baseline)))


def export(
    run: Positional[Path],
    to: Literal["onnx", "safetensors"] = "onnx",
    out_path: Annotated[Path | None, tyro.conf.arg(name="out")] = None,
    checkpoint: Literal["last", "best"] = "best",
    points: int | None = None,
) -> None:
    """Write a run's model for other programs: an ONNX file, or weights with a card.

    Args:
        run: run folder.
        to: onnx (a program, checked in ONNX Runtime) or safetensors (weights and README.md).
        out_path: file (onnx) or folder (safetensors); by default export.onnx or export in the run.
        checkpoint: best on the validation part, or last epoch.
        points: fix the number of points that the ONNX file takes; by default any from 2.
    """
    from pointmcd.inference.export import export_run

    _print(str(export_run(run, to, out_path, checkpoint, points)))


def demo(folder: Positional[Path] = Path("pointmcd-demo"), epochs: int | None = None) -> None:
    """All of it on the embedded furniture set: a baseline beside a distilled student, and a page.

    Args:
        folder: where to work; run again to go on after an interruption.
        epochs: passes over the train part; by default as many as fit into a few minutes.
    """
    from pointmcd.demo import EPOCHS
    from pointmcd.demo import demo as run
    from pointmcd.evaluation.comparison_table import comparison_table

    result = run(folder, EPOCHS if epochs is None else epochs)
    out.print(comparison_table(result.comparison))
    _print(f"report: {result.page.resolve()}")


def _commands(arguments: Sequence[str]) -> dict[str, Callable[..., Any]]:
    task: Any = _value_of("--task", arguments, "")
    default = TrainConfig(
        store=tyro.MISSING,
        task=task if task in get_args(Task) else "classification",
        student=_value_of("--student", arguments, "pointnet"),
    )
    recipe = _value_of("--recipe", arguments, RECIPES[0])
    if recipe in RECIPES:  # anything else is for the parser to refuse
        default = apply_recipe(default, recipe)
    return {
        "download": download,
        "prepare": prepare,
        "teach": teach,
        "teachers": teachers,
        "train": _train_command(default),
        "evaluate": evaluate,
        "compare": compare,
        "probe": probe,
        "predict": predict,
        "report": report,
        "export": export,
        "demo": demo,
    }


def _value_of(option: str, arguments: Sequence[str], default: str) -> str:
    for here, after in pairwise([*arguments, ""]):
        if here == option and after:
            return after
        if here.startswith(f"{option}="):
            return here.split("=", 1)[1]
    return default


def _check_launch(arguments: Sequence[str]) -> None:
    """Refuse several processes where each would do all the work, and write the same files."""
    launched = "LOCAL_RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1
    command = next(iter(arguments), "")
    if launched and command not in ("train", "--help", "-h"):
        error = ConfigError(f"{command}: runs in one process; start it without a launcher")
        error.printed_elsewhere = os.environ.get("RANK", "0") != "0"
        raise error


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's error prints one line and exits with status 1."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "" not in sys.path:  # `--student my_file:MyStudent` finds a file in the current folder
        sys.path.append("")
    try:
        _check_launch(given)
        tyro.extras.subcommand_cli_from_dict(
            _commands(given),
            prog="pointmcd",
            description="Teach point cloud encoders what image models know.",
            args=given,
            config=(tyro.conf.FlagCreatePairsOff,),
        )
    except PointMCDError as error:
        for line in [] if error.printed_elsewhere else str(error).splitlines():
            console.print(f"pointmcd: {line}", style="red", markup=False, soft_wrap=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        console.print("pointmcd: interrupted; run the same command again to go on", markup=False)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
