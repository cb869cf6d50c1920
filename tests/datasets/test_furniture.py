import csv
import io
import zipfile

from pointmcd.datasets.folder import list_shapes
from pointmcd.datasets.furniture import furniture10
from pointmcd.datasets.registry import find_shapes


def test_it_is_a_source_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = find_shapes("furniture10,labels=none")
    assert len(found.listing.sources) == 254
    assert {shape.label for shape in found.listing.sources} == {None}
    (tmp_path / "furniture10" / "chair").mkdir(parents=True)
    mesh = "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
    (tmp_path / "furniture10" / "chair" / "a.off").write_text(mesh)
    assert len(find_shapes("furniture10").listing.sources) == 1  # a folder of that name wins


def test_every_shape_is_attributed():
    with zipfile.ZipFile(furniture10()) as archive:
        text = archive.read("furniture10/ATTRIBUTION.csv").decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    names = {f"{row['class']}/{row['split']}/{row['shape']}" for row in rows}
    assert names == {shape.name for shape in list_shapes(furniture10())}
    assert all(row["creator"] and row["licence"].startswith("CC") for row in rows)
