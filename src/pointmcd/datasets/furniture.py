"""The furniture set inside the package, for demonstration and tests."""

from importlib.resources import files
from pathlib import Path

from pointmcd.errors import ShapeError


def furniture10() -> Path:
    """Return the zip of the embedded set: 254 meshes, 10 classes, 188 train and 66 test.

    Layout `furniture10/CLASS/{train,test}/NAME.off`. Triangles as in the files:

    | class   | train | test | fewest | mean  | most  |
    | ------- | ----- | ---- | ------ | ----- | ----- |
    | bed     |     8 |    5 |   2499 |  2790 |  4370 |
    | cabinet |    22 |    7 |    184 |  1718 |  5621 |
    | chair   |    24 |    8 |    120 |  2418 |  5400 |
    | lamp    |    22 |    8 |    484 |  2039 |  2500 |
    | person  |    22 |    7 |   2497 |  2499 |  2500 |
    | plant   |    16 |    5 |   2232 |  2693 |  4918 |
    | sofa    |    16 |    5 |    424 |  2338 |  2590 |
    | table   |    24 |    8 |     52 |  1364 |  2500 |
    | vehicle |    10 |    5 |   2499 |  2528 |  2925 |
    | vessel  |    24 |    8 |   1246 |  2272 |  3419 |

    The meshes are from the SweetHome3D furniture libraries, at most 5,621 triangles each.
    Licences: CC0-1.0 (57 shapes), CC-BY-3.0 (140) and CC-BY-3.0-US (57); `ATTRIBUTION.csv` in the
    zip names creator, collection and licence of each shape and must travel with it. Variants of
    one model may be in both splits.

    Raises:
        ShapeError: when the installation lacks the file.
    """
    path = Path(str(files("pointmcd.datasets"))) / "assets" / "furniture10.zip"
    if not path.is_file():
        raise ShapeError(f"{path}: does not exist; install pointmcd again")
    return path
