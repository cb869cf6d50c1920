import zipfile

import laspy
import numpy as np
import pytest
from part_layouts import sample
from pcd_files import compressed, header

from pointmcd.datasets.cloud_folder import FileCloud, list_clouds
from pointmcd.datasets.registry import find_shapes
from pointmcd.errors import ShapeError
from pointmcd.shapes.mesh import read_mesh


@pytest.fixture(scope="module")
def cloud(furniture_root):
    path = next(furniture_root.glob("chair/train/*.off"))
    return sample(read_mesh(path, path.name, "off"), 200, 0)[0].astype(np.float32)


def write_las(path, points):
    las = laspy.LasData(laspy.LasHeader(point_format=3, version="1.2"))
    las.header.scales, las.header.offsets = np.full(3, 1e-6), points.min(axis=0)
    las.x, las.y, las.z = points.T.astype(np.float64)
    las.write(str(path))


def write(path, points):
    """Write a cloud as its suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix[1:].lower()
    if suffix == "npy":
        with path.open("wb") as file:  # a path would be given a second suffix beside .NPY
            np.save(file, np.hstack([points, np.ones_like(points)]))
    elif suffix == "las":
        write_las(path, points)
    elif suffix == "pcd":
        path.write_bytes(header(len(points), "binary_compressed") + compressed(points))
    elif suffix == "ply":
        axes = "".join(f"property float {axis}\n" for axis in "xyz")
        head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(points)}\n{axes}"
        path.write_bytes(head.encode() + b"end_header\n" + points.tobytes())
    else:
        rows = "".join(f"{x!r} {y!r} {z!r}\n" for x, y, z in points.tolist())
        path.write_text(f"{len(points)}\n{rows}" if suffix == "pts" else rows)
    return path


SUFFIXES = ("xyz", "txt", "csv", "pts", "npy", "ply", "pcd", "las")


@pytest.mark.parametrize("zipped", [False, True])
def test_every_type_in_folder_and_zip(cloud, tmp_path, zipped):
    source = tmp_path / "set"
    for number, suffix in enumerate(SUFFIXES):
        write(source / ("chair", "table")[number % 2] / f"{suffix.upper()}.{suffix}", cloud)
    if zipped:
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            for path in source.rglob("*.*"):
                archive.write(path, path.relative_to(tmp_path))
        source = tmp_path / "set.zip"
    shapes = find_shapes(source).listing.sources
    assert [shape.name for shape in shapes] == sorted(
        f"{('chair', 'table')[n % 2]}/{suffix.upper()}" for n, suffix in enumerate(SUFFIXES)
    )
    for shape in shapes:
        read = shape.read_cloud()
        assert read.parts is None
        np.testing.assert_allclose(read.points, cloud, atol=1e-6)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["a.xyz"], [("a", None, None)]),
        (["A.XYZ", "b.Npy"], [("A", None, None), ("b", None, None)]),
        (["one/a.pcd", "two/a.ply"], [("one/a", "one", None), ("two/a", "two", None)]),
        (
            ["one/train/a.pts", "one/test/b.pts"],
            [("one/test/b", "one", "test"), ("one/train/a", "one", "train")],
        ),
    ],
)
def test_layouts(cloud, tmp_path, files, expected):
    for file in files:
        write(tmp_path / "set" / file, cloud)
    shapes = find_shapes(tmp_path / "set").listing.sources
    assert [(shape.name, shape.label, shape.split) for shape in shapes] == expected
    assert all(isinstance(shape, FileCloud) for shape in shapes)


def test_clouds_in_folders_of_any_depth(cloud, tmp_path):
    for file in ("set/a/b/c/one.xyz", "set/a/two.xyz"):
        write(tmp_path / file, cloud)
    shapes = find_shapes(f"{tmp_path / 'set'},labels=none").listing.sources
    found = [(shape.name, shape.label, shape.split) for shape in shapes]
    assert found == [("b/c/one", None, None), ("two", None, None)]


def test_tables_are_clouds_only_by_name(cloud, tmp_path):
    for label in ("one", "two"):
        write(tmp_path / label / "a.txt", cloud)
        write(tmp_path / label / "b.txt", cloud)
    (tmp_path / "README.txt").write_text("how this came to be\n")
    (tmp_path / "train.txt").write_text("one/a\r\ntwo\\a\r\n")
    (tmp_path / "test.txt").write_text("one/b\ntwo/b")
    with pytest.raises(ShapeError, match="holds no mesh"):
        find_shapes(tmp_path)
    shapes = find_shapes(f"clouds:{tmp_path}").listing.sources
    assert [(s.name, s.split) for s in shapes] == [
        *(("one/a", "train"), ("one/b", "test"), ("two/a", "train"), ("two/b", "test"))
    ]


def test_part_labels_beside_the_clouds(cloud, tmp_path):
    write(tmp_path / "chair" / "a.xyz", cloud)
    (tmp_path / "parts.json").write_text('{"chair": ["low", "high"]}')
    labels = (cloud[:, 1] > np.median(cloud[:, 1])).astype(int)
    (tmp_path / "chair" / "a.seg").write_text("\n".join(map(str, labels)))
    shape = list_clouds(tmp_path)[0]
    np.testing.assert_array_equal(shape.read_cloud().parts, labels)
    (tmp_path / "chair" / "a.seg").write_text("\n".join(map(str, labels[1:])))
    with pytest.raises(ShapeError, match=r"a\.xyz: 199 part labels for 200 points"):
        shape.read_cloud()


def test_ply_files_tell_clouds_from_meshes(cloud, tmp_path, encode_mesh):
    write(tmp_path / "clouds" / "a.ply", cloud)
    assert isinstance(find_shapes(tmp_path / "clouds").listing.sources[0], FileCloud)
    triangle = encode_mesh([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2)], "ply")
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "a.ply").write_bytes(triangle)
    assert not isinstance(find_shapes(tmp_path / "meshes").listing.sources[0], FileCloud)
    shape = find_shapes(f"clouds:{tmp_path / 'meshes'}").listing.sources[0]
    with pytest.raises(ShapeError, match=r"a\.ply: has faces"):
        shape.read_cloud()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "content", [b"", b"Dear reader,\nno points here.\n", bytes(range(256)) * 4]
)
def test_bad_files_are_one_line(tmp_path, suffix, content):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    shape = list_clouds(tmp_path)[0]
    with pytest.raises(ShapeError) as caught:
        shape.read_cloud()
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_points_that_are_not_finite(cloud, tmp_path):
    bad = cloud.copy()
    bad[4, 2] = np.inf
    write(tmp_path / "a.npy", bad)
    with pytest.raises(ShapeError, match=r"a\.npy: 1 of .* the first in row 5; remove these"):
        list_clouds(tmp_path)[0].read_cloud()


def test_no_clouds_and_two_of_a_name(cloud, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ShapeError, match="holds no point cloud"):
        find_shapes(f"clouds:{tmp_path / 'empty'}")
    write(tmp_path / "set" / "a.xyz", cloud)
    write(tmp_path / "set" / "a.npy", cloud)
    faults = [shape.fault for shape in find_shapes(tmp_path / "set").listing.sources]
    assert faults == [None, "same name as a.npy; rename one if they are different shapes"]


def test_an_npy_header_that_promises_too_much(tmp_path):
    path = write(tmp_path / "a.npy", np.ones((4, 3), np.float32))
    path.write_bytes(path.read_bytes().replace(b"(4, 6)", b"(9999999999999, 6)"))
    with pytest.raises(ShapeError, match=r"a\.npy: cannot be read as points"):
        list_clouds(tmp_path)[0].read_cloud()
