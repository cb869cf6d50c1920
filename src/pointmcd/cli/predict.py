"""`pointmcd predict`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.table import Column, Table
from rich.text import Text
from tyro.conf import Positional

from pointmcd.cli.output import TEXT, Form, UsageError, check_free, print_line, print_tables
from pointmcd.errors import PointMCDError
from pointmcd.options import DEVICE, RUN, Flag, UpAxis, metavar

if TYPE_CHECKING:
    from pointmcd.tasks.task import Prediction


#: Files for which no progress is shown.
_FEW = 5
#: Folder of the files whose class is less certain than --min-confidence.
_UNSURE = "_unsure"


def predict(
    run: Positional[Annotated[Path, RUN]],
    files: Positional[Annotated[tuple[Path, ...], metavar("FILE|FOLDER [FILE|FOLDER ...]")]],
    label: Annotated[str | None, metavar("CLASS")] = None,
    out_folder: Annotated[Path, tyro.conf.arg(name="out", metavar="FOLDER")] = Path("parts"),
    csv: Annotated[Path | None, metavar("FILE")] = None,
    json: Flag = False,
    sort_into: Annotated[Path | None, metavar("FOLDER")] = None,
    min_confidence: Annotated[float, metavar("P")] = 0.0,
    labels: Annotated[Path | None, metavar("FILE")] = None,
    link: Flag = False,
    checkpoint: Literal["last", "best"] = "last",
    device: Annotated[str, DEVICE] = "auto",
    columns: Annotated[str | None, metavar("X,Y,Z")] = None,
    up: UpAxis = None,
    pretrained: Annotated[str | None, metavar("NAME")] = None,
    overwrite: Flag = False,
) -> None:
    """Predict the classes of meshes or point clouds, or label their parts.

    Args:
        run: Folder of the run, or of a teacher (STORE/teachers/NAME), which renders the files.
        files: Mesh or point cloud files; of folders, all in them. Those that cannot be read are
            named at the end, and make the exit status 1; JSON and CSV say in `error` why.
        label: If the run labels parts, the class of the files; by default the name of their folder.
        out_folder: If the run labels parts, the folder for NAME-parts.ply, NAME-parts.png, and
            NAME-parts.seg: the part of each face of a mesh (.obj, .off, .ply, .stl, .glb of one
            mesh) or point of a cloud, as prepare reads it (from a teacher, of meshes alone).
        csv: Write the table to this file instead of printing it.
        json: Print JSON, a list with an object for each file.
        sort_into: Copy each file into FOLDER/CLASS.
        min_confidence: With --sort-into, from 0 to 1: files whose class is less certain, or that
            are marked as unlike all whose labels the run knew, go into FOLDER/_unsure.
        labels: Leave out the files that this label file names; --sort-into puts them where it says.
        link: With --sort-into, make hard links rather than copies.
        checkpoint: Checkpoint of the last epoch, or the best on the validation split.
        device: cpu, cuda, mps or auto.
        columns: Columns of x, y and z in text tables and arrays: numbers from 1 or names, as in
            2,3,4; by default their names in the file or their places tell.
        up: Axis that points up in the files; by default that of the shapes that the run learnt
            from (of the weights that come with pointmcd: y).
        pretrained: In place of RUN: weights that come with pointmcd (a name that it does not know
            makes it list them), a folder of pointmcd export --to safetensors, or hf-hub:OWNER/NAME.
        overwrite: With --csv, replace a file of that name.
    """
    place: str | Path = run
    if pretrained is not None:
        if any((run / name).is_file() for name in ("run.json", "teacher.json")):
            raise UsageError("predict: RUN and --pretrained NAME: choose one")
        place, files = _known(pretrained), (run, *files)
    if not files:
        raise UsageError("predict: no files; name them after the run, or after --pretrained NAME")
    if sort_into is None and (link or min_confidence):
        option = "--link" if link else "--min-confidence"
        raise UsageError(f"predict: {option} is for --sort-into FOLDER")
    if not 0 <= min_confidence <= 1:
        raise UsageError(f"predict: --min-confidence {min_confidence:g}: must be within 0..1")
    if json and csv is not None:
        raise UsageError("predict: --csv FILE and --json: choose one")
    if csv is not None:
        check_free("--csv", csv, overwrite, reads=(labels, *files))
    from pointmcd.inference.files import find_files, labelled_files, refuse_guesses
    from pointmcd.inference.predict import predictions
    from pointmcd.progress import console, note, progress_bar

    found, passed_over = find_files(files, [one for one in (csv, labels) if one is not None])
    given, unused = ({}, "") if labels is None else labelled_files(labels, found)
    for text in filter(None, (passed_over, unused)):
        note(text)
    found = [path for path in found if path not in given]
    if sort_into is not None:
        refuse_guesses(sort_into, found, given)
    every: list[Prediction] = []
    with progress_bar(shown=len(found) > _FEW) as progress:
        task = progress.add_task("predict", total=len(found), note="")
        for one in predictions(place, found, label, out_folder, checkpoint, device, columns, up):
            progress.advance(task)
            if sort_into is not None and one.fault is None:
                _check_class(one)
            every.append(one)
    known = [one for one in every if one.fault is None]
    faults = [one.fault for one in every if one.fault is not None]
    if any(hasattr(one, "confidence") for one in known) and (doubt := _doubt(place, checkpoint)):
        note(doubt)
    if up is None and known and not json:
        note(f"{known[0].up} is taken to point up in the files; --up names another axis")
    _write(every, json, csv)
    if sort_into is not None:
        classes = {one.path: _class(one, min_confidence) for one in known}
        _sort(given, classes, sort_into, link)
        if not json:
            print_line(str(sort_into))
    for fault in faults[:-1]:
        console.print(f"pointmcd: {fault}", style="red", soft_wrap=True)
    if faults:
        raise PointMCDError(faults[-1])


def _write(every: "Sequence[Prediction]", json: bool, csv: Path | None) -> None:
    """Print the predictions as JSON or as a table, or write them to a CSV file."""
    known = [one for one in every if one.fault is None]
    if json:
        records = [_tell(one, one.record() if one.fault is None else {}) for one in every]
        print_tables((), Form(json=True), records)
    elif csv is not None:
        from pointmcd.inference.files import write_table

        write_table(csv, [_tell(one, one.row() if one.fault is None else {}) for one in every])
        print_line(str(csv))
    elif known:
        _print([{"file": str(one.path), **one.cells(), "read": one.read} for one in known])


def _tell(one: "Prediction", found: dict[str, Any]) -> dict[str, Any]:
    """Return what a program reads of one file; of one that cannot be read, the error alone."""
    read = {} if one.fault else {"read": one.read}
    return {"file": str(one.path), **found, **read, "error": one.fault}


def _doubt(place: str | Path, checkpoint: str) -> str | None:
    """Say that a run has no temperature; exported weights and teachers are not asked."""
    from pointmcd.training.calibration import tell_uncalibrated
    from pointmcd.training.run import Run

    run = (Path(place) / "run.json").exists()
    return tell_uncalibrated(Run(place), checkpoint) if run else None


def _known(name: str) -> str:
    from pointmcd.training.weights import is_weights, no_weights

    if not is_weights(name):
        raise UsageError(f"predict: --pretrained {no_weights(name)}")
    return name


def _print(rows: list[dict[str, str]]) -> None:
    paths = ("file", "written")  # which no line breaks
    table = Table(*(Column(name, no_wrap=name in paths, overflow="fold") for name in rows[0]))
    for row in rows:
        table.add_row(*map(Text, row.values()))  # a name in [brackets] is not markup
    print_tables([table], TEXT)


def _check_class(one: "Prediction") -> None:
    """Refuse to sort by what a model of another task says."""
    from pointmcd.tasks.part_prediction import PartPrediction

    told = isinstance(one, PartPrediction)  # the class was
    if told or getattr(one, "label", None) is None or "class" not in one.cells():
        raise UsageError("predict: --sort-into is for runs that classify")


def _class(one: "Prediction", least: float) -> str:
    """The class of a file; the folder of the unsure where a least confidence is asked for."""
    unsure = getattr(one, "confidence", 1.0) < least or (least > 0 and getattr(one, "unlike", None))
    return _UNSURE if unsure else one.cells()["class"]


def _sort(given: dict[Path, str], classes: dict[Path, str], folder: Path, link: bool) -> None:
    """Sort files into folders of their given or predicted classes; say how many went where."""
    from pointmcd.inference.files import sort_into
    from pointmcd.progress import console

    labels = given | classes
    placed = set(sort_into(folder, list(labels), list(labels.values()), link, given))
    counts = Counter(path.parent.name for path in placed)
    told = ", ".join(f"{label} {count}" for label, count in sorted(counts.items()))
    same = f" ({len(labels) - len(placed)} are the same as others)" * (len(placed) < len(labels))
    console.print(f"{folder}: {len(placed):,} files: {told}{same}", soft_wrap=True)
