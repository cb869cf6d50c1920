import csv
import io
import zipfile

from pointmcd.datasets.folder import list_shapes
from pointmcd.datasets.furniture import furniture10


def test_every_shape_is_attributed():
    with zipfile.ZipFile(furniture10()) as archive:
        text = archive.read("furniture10/ATTRIBUTION.csv").decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    names = {f"{row['class']}/{row['split']}/{row['shape']}" for row in rows}
    assert names == {shape.name for shape in list_shapes(furniture10())}
    assert all(row["creator"] and row["licence"].startswith("CC") for row in rows)
