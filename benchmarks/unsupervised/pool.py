"""Meshes of several data sets in one folder, without classes: what pretraining is shown."""

import zipfile
from pathlib import Path, PurePosixPath

from pointmcd.files import replacing


def pool(sources: dict[Path, tuple[str, ...]], folder: Path) -> None:
    """Unpack meshes of `SET/CLASS/{train,test}/NAME.off` zips flat into a folder, as SET-NAME.off.

    Args:
        sources: zips, and the splits of each to take.
        folder: where to. No class is left that `prepare` could read: the folder is flat.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source, splits in sources.items():
        with zipfile.ZipFile(source) as archive:
            for member in sorted(archive.namelist()):
                path = PurePosixPath(member)
                if path.suffix == ".off" and path.parent.name in splits:
                    target = folder / f"{path.parts[0]}-{path.name}"
                    content = archive.read(member)
                    if target.exists() and target.read_bytes() != content:
                        raise SystemExit(f"{target}: two meshes of that name")
                    with replacing(target) as temporary:
                        temporary.write_bytes(content)
