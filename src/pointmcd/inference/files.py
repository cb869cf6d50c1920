"""Files to predict on: folders are searched, and files are sorted into folders of their classes."""

import csv
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, count
from pathlib import Path, PurePosixPath

from pointmcd.data.labels import LabelRow, read_labels, unnamed_header
from pointmcd.data.shape_names import bare, path_parts, plain, row_parts
from pointmcd.datasets.cloud_folder import own_shapes
from pointmcd.datasets.other_files import kind_of, kinds_text
from pointmcd.datasets.tree import FileTree, open_tree
from pointmcd.errors import ConfigError, PointMCDError, ShapeError
from pointmcd.files import read_json, replacing, write_json
from pointmcd.shapes.formats import CLOUD_SUFFIXES, mesh_suffixes

#: The files that `sort_into` has put into a folder, and whether a label of the user's says where.
_PLACED = ".sorted.json"


def find_files(
    paths: Sequence[str | Path], leave_out: Collection[Path] = ()
) -> tuple[list[Path], str]:
    """Return files, each once, with all meshes and clouds in the folders, and what was passed over.

    Hidden files and folders are left out, and what `predict` has written: NAME-parts.ply with its
    picture, and copies that files were sorted into. Companions of meshes (.mtl) are
    not mentioned.

    Args:
        paths: files and folders.
        leave_out: files in the folders that are something else.

    Raises:
        ShapeError: when a folder holds no file that can be read.
    """
    found: dict[Path, None] = {}
    others: Counter[str] = Counter()
    for path in map(Path, paths):
        if not path.is_dir():
            found[path] = None
            continue
        tree = open_tree(path)
        copies = _copies(tree, path)
        known = [file for file in tree.files if path / file not in copies]
        known = [file for file in known if not _is_one_of(path / file, leave_out)]
        shapes = own_shapes(replace(tree, files=tuple(known)))
        if not shapes:
            raise ShapeError(f"{path}: holds no mesh and no point cloud")
        found.update({path / file: None for file in shapes if not _is_written(path / file)})
        others.update(
            kind for file in known if path / file not in found and (kind := kind_of(file))
        )
    if any(file.suffix.lower() == ".gltf" for file in found):  # whose buffers they are
        del others[".bin"]
    return list(found), f"not read: {kinds_text(others)}" if others else ""


def _copies(tree: FileTree, path: Path) -> set[Path]:
    """Return the copies that files were sorted into, in folders below a folder."""
    copies: set[Path] = set()
    for file in tree.files:
        if PurePosixPath(file).name == _PLACED and "/" in file:
            with suppress(PointMCDError):  # of a list that is damaged; the copies are read then
                copies.update(_placed((path / file).parent))
    return copies


def _is_one_of(file: Path, others: Collection[Path]) -> bool:
    return any(
        file.name == other.name and other.exists() and file.samefile(other) for other in others
    )


def _is_written(file: Path) -> bool:
    """Return whether a cloud is one that `predict` has written, by the picture beside it."""
    named = file.suffix == ".ply" and re.search(r"-parts(-\d+)?$", file.stem)
    return bool(named) and file.with_suffix(".png").exists()


def labelled_files(labels: Path, files: Sequence[Path]) -> tuple[dict[Path, str], str]:
    """Return the class of each file that a label file names, and a note of what names none.

    A path in the label file is the end of a file's, with or without its suffix.

    Raises:
        ConfigError: when the label file cannot be read, names of one path several files or
            classes, or a row differs from a file in its suffix alone.
    """
    ends = _ends(files)
    known: dict[Path, str] = {}
    strangers = []
    rows = read_labels(labels)
    for row in rows:
        parts = row_parts(row.path)
        found = [*(ends.get(parts) or ends.get(plain(parts)) or ())]
        classes = {row.label, *(known[file] for file in found if file in known)}
        several = found if len(found) > 1 else classes if len(classes) > 1 else ()
        if several:
            told = " and ".join(sorted(map(str, several)))
            raise ConfigError(
                f"--labels {labels}: line {row.line}: {row.path} may be {told}; name one"
            )
        known.update((file, row.label) for file in found)
        if not found:
            strangers.append(row)
    for row in strangers:
        _refuse_suffix(row, labels, ends)
    if not known and files:  # as of new files in a folder of their own
        told = f"names none of the {len(files)} files, such as {files[0]}; all are predicted"
        return {}, f"{labels}: {told}"
    if strangers == rows[:1] and (header := unnamed_header(rows)):
        return known, f"{labels}: {header}"
    of = f"{len(strangers)} of the {len(rows)} rows of {labels}"
    return known, f"{of} name no file here, such as {strangers[0].path}" if strangers else ""


def _ends(files: Sequence[Path]) -> Mapping[tuple[str, ...], dict[Path, None]]:
    """Return the files that each end of a path means, with a plain suffix or without it."""
    ends: defaultdict[tuple[str, ...], dict[Path, None]] = defaultdict(dict)
    real = {folder: folder.resolve() for folder in {file.parent for file in files}}
    for file in files:
        for whole in {file.absolute(), real[file.parent] / file.name}:
            parts = path_parts(str(whole))
            for named in (plain(parts), bare(parts)):
                for start in range(len(named)):
                    ends[named[start:]][file] = None
    return ends


def _refuse_suffix(
    row: LabelRow, labels: Path, ends: Mapping[tuple[str, ...], Collection[Path]]
) -> None:
    """Refuse a row that a file would fit but for its suffix.

    Raises:
        ConfigError: naming the file.
    """
    parts = row_parts(row.path)
    suffix = PurePosixPath(parts[-1]).suffix[1:].lower()
    if suffix in mesh_suffixes() | CLOUD_SUFFIXES and (near := ends.get(bare(parts))):
        raise ConfigError(
            f"--labels {labels}: line {row.line}: no file {row.path} here, but {next(iter(near))};"
            " correct the suffix, or remove the line"
        )


def write_table(path: Path, rows: Sequence[Mapping[str, str | None]]) -> None:
    """Write rows as CSV, in the columns of the longest, then others; none give an empty file.

    Raises:
        PointMCDError: when it cannot be written.
    """
    longest = max(rows, key=lambda row: len(row), default={})
    columns = dict.fromkeys(chain(longest, *rows))
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def refuse_guesses(folder: Path, files: Sequence[Path], labelled: Collection[Path]) -> None:
    """Refuse to sort by guesses what an earlier call has sorted by labels.

    Args:
        folder: the folder that files are sorted into.
        files: those that a model is to guess.
        labelled: those whose labels are known now.

    Raises:
        ConfigError: naming the first copy.
    """
    sure = [copy for copy, is_sure in _placed(folder).items() if is_sure and copy.is_file()]
    lost = dict.fromkeys(_copies_of([file for file in files if file.is_file()], sure))
    for copy in _copies_of(labelled, list(lost)):  # of twins, one may be labelled
        lost.pop(copy, None)
    if lost:
        more = f" and {len(lost) - 1:,} more" * (len(lost) > 1)
        raise ConfigError(
            f"--sort-into {folder}: your labels put {next(iter(lost))}{more} there, and guesses may"
            " undo that; give --labels FILE again, or another folder"
        )


def sort_into(
    folder: Path,
    files: Sequence[Path],
    labels: Sequence[str],
    link: bool,
    labelled: Collection[Path] = (),
) -> list[Path]:
    """Copy, or hard-link, files into FOLDER/CLASS; no file is ever replaced.

    Of two files of one name the second becomes NAME-2; a file that is there already, the same byte
    for byte, stays as it is. A copy that an earlier call put into another class is removed.

    Args:
        folder: where the folders of the classes are.
        files: the files.
        labels: the class of each.
        link: whether to link rather than copy.
        labelled: those of the files whose class the user has told.

    Returns:
        where each file is now.

    Raises:
        PointMCDError: when a file cannot be written, or cannot be linked.
    """
    placed, written = [], []
    for path, label in zip(files, labels, strict=True):
        target = _place(path, folder / _safe(label))
        if not target.exists():
            _put(path, target, link)
            written.append(target)
        placed.append(target)
    _move_on(folder, files, placed)
    sure = {target for path, target in zip(files, placed, strict=True) if path in labelled}
    _list_copies(folder, written, sure)
    return placed


def _move_on(folder: Path, files: Sequence[Path], placed: Sequence[Path]) -> None:
    """Remove copies that an earlier call put into other classes.

    Only what the list in the folder names is removed: anything else there is the user's own.
    """
    kept = {path.resolve() for path in (*files, *placed)}
    there = [copy for copy in _placed(folder) if copy.is_file() and copy.resolve() not in kept]
    for copy in set(_copies_of(files, there)):
        copy.unlink()


def _list_copies(folder: Path, written: Collection[Path], sure: Collection[Path]) -> None:
    """Add the copies that a call wrote to the list in a folder, and what labels say of any."""
    every = _placed(folder) | dict.fromkeys(written, False)
    there = {
        copy.relative_to(folder).as_posix(): is_sure or copy in sure
        for copy, is_sure in sorted(every.items())
        if copy.exists()
    }
    if there:
        write_json(folder / _PLACED, there)


def _placed(folder: Path) -> dict[Path, bool]:
    """Return the copies that earlier calls have put into a folder, and whether by a label."""
    manifest = folder / _PLACED
    names = read_json(manifest) if manifest.exists() else {}
    if isinstance(names, list):  # of earlier versions, which did not tell
        names = dict.fromkeys(map(str, names), False)
    if not isinstance(names, dict):
        raise PointMCDError(f"{manifest}: is damaged; remove it")
    return {folder / name: bool(is_sure) for name, is_sure in names.items()}


def _copies_of(files: Collection[Path], copies: Collection[Path]) -> Iterator[Path]:
    """Yield those copies that are of one of the files, by their names and contents."""
    alike: defaultdict[str, list[Path]] = defaultdict(list)
    for copy in copies:
        alike[_unnumbered(copy)].append(copy)
    for file in files:
        named = re.compile(rf"{re.escape(file.stem)}(-\d+)?")
        for copy in alike[_unnumbered(file)]:
            if named.fullmatch(copy.stem) and _same(copy, file):
                yield copy


def _unnumbered(file: Path) -> str:
    return re.sub(r"-\d+$", "", file.stem) + file.suffix


def _same(one: Path, other: Path) -> bool:
    return one.samefile(other) or one.read_bytes() == other.read_bytes()


def _safe(label: str) -> str:
    """Return a class as the name of one folder."""
    name = label.replace("/", "-").replace("\\", "-").strip()
    return f"_{name}" if name in ("", ".", "..") else name


def _place(path: Path, folder: Path) -> Path:
    """Return where a file is to lie in a folder, or lies already, the same byte for byte."""
    for number in count(1):
        target = folder / (path.name if number == 1 else f"{path.stem}-{number}{path.suffix}")
        if not target.exists() or _same(target, path):
            break
    return target


def _put(path: Path, target: Path, link: bool) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if link:
            target.hardlink_to(path)
        else:
            with replacing(target) as temporary:
                shutil.copyfile(path, temporary)
    except OSError as error:
        advice = "; leave out --link to copy" if link else ""
        raise PointMCDError(f"{target}: cannot be written: {error.strerror}{advice}") from error
