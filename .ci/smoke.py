"""What an installation without extras must be able to do: from meshes to a prediction."""

import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pointmcd

#: Shapes of each of two classes in each split.
SHAPES = 5


def run(*arguments: str) -> None:
    """Run one command of pointmcd."""
    print("pointmcd", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "pointmcd", *arguments], check=True)


def unpack(folder: Path) -> None:
    """Write some meshes of the embedded set into folders of their classes."""
    with zipfile.ZipFile(pointmcd.furniture10()) as archive:
        for part in ("chair/train", "chair/test", "lamp/train", "lamp/test"):
            names = [name for name in archive.namelist() if f"/{part}/" in name]
            archive.extractall(folder, names[:SHAPES])


def main() -> None:
    """Prepare, teach, train, evaluate and predict."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        unpack(folder)
        store, out = str(folder / "store"), str(folder / "run")
        run("doctor")
        run("prepare", str(folder / "furniture10"), store, "--points", "256", "--workers", "1")
        run("teach", store)
        run("train", store, "--out", out, "--epochs", "2", "--points", "256")
        run("evaluate", out)
        run("predict", out, str(next(folder.rglob("lamp_*.off"))))


if __name__ == "__main__":
    main()
