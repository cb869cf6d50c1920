import numpy as np
import pytest
import trimesh

from pointmcd.errors import ShapeError
from pointmcd.shapes.clouds import read_cloud, read_points
from pointmcd.shapes.mesh import normalise, read_mesh
from pointmcd.shapes.sampling import sample_surface

POINTS = np.random.default_rng(0).normal(size=(60, 3)) * (1, 2, 3) + 10


def rows(points, separator=" "):
    return "".join(separator.join(map(repr, map(float, p))) + "\n" for p in points)


def ply(points):
    head = f"ply\nformat ascii 1.0\nelement vertex {len(points)}\n"
    axes = "".join(f"property double {axis}\n" for axis in "xyz")
    return head + axes + "end_header\n" + rows(points)


WRITERS = {
    "xyz": rows,
    "txt": lambda p: rows(np.hstack([p, np.ones_like(p)]), ","),
    "csv": lambda p: "x,y,z\n" + rows(p, ","),
    "pts": lambda p: f"{len(p)}\n" + rows(np.hstack([p, p[:, :1]])),
    "ply": ply,
}


def write(folder, suffix, points):
    path = folder / f"cloud.{suffix}"
    folder.mkdir(exist_ok=True)
    if suffix == "npy":
        np.save(path, points)
    else:
        path.write_text(WRITERS[suffix](points))
    return path


SUFFIXES = [*WRITERS, "npy"]


def refused(path, *words):
    with pytest.raises(ShapeError) as caught:
        read_points(path, 8, 0)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert any(word in text for word in words), text


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_cloud_type_gives_the_same_points(tmp_path, suffix):
    points = read_points(write(tmp_path, suffix, POINTS), 60, 0)
    assert points.dtype == np.float32
    assert points.shape == (60, 3)
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-6)
    assert np.linalg.norm(points, axis=1).max() == pytest.approx(1)
    centred = POINTS - POINTS.mean(axis=0)
    expected = centred / np.linalg.norm(centred, axis=1).max()
    order = np.lexsort(points.T)
    np.testing.assert_allclose(points[order], expected[np.lexsort(expected.T)], atol=1e-6)


@pytest.mark.parametrize("suffix", ["pcd", "las"])
def test_scans_are_read_too(tmp_path, suffix):
    path = tmp_path / f"scan.{suffix}"
    if suffix == "pcd":
        head = "FIELDS x y z\nSIZE 8 8 8\nTYPE F F F\nPOINTS 60\nDATA binary\n"
        path.write_bytes(head.encode() + POINTS.tobytes())
    else:
        laspy = pytest.importorskip("laspy")
        las = laspy.LasData(laspy.LasHeader(point_format=0, version="1.2"))
        las.header.scales = np.full(3, 1e-7)
        las.x, las.y, las.z = POINTS.T
        las.write(str(path))
    expected = read_points(write(tmp_path, "xyz", POINTS), 60, 0)
    np.testing.assert_allclose(read_points(path, 60, 0), expected, atol=1e-6)


def test_a_mesh_is_sampled_as_prepare_does_it(furniture_root):
    path = next(furniture_root.glob("chair/test/*.off"))
    expected, _ = sample_surface(normalise(read_mesh(path, "a", "off")), 64, 5)
    np.testing.assert_array_equal(read_points(path, 64, 5), expected)


def test_ply_with_faces_is_a_mesh(tmp_path, encode_mesh):
    path = tmp_path / "a.ply"
    path.write_bytes(encode_mesh([(0, 0, 0), (1, 0, 0), (0, 1, 0)], [(0, 1, 2)], "ply"))
    assert len(np.unique(read_points(path, 32, 0), axis=0)) == 32


def test_a_stray_part_is_noted(tmp_path):
    """One far point, or a far fragment of a mesh, shrinks all else to a dot."""
    points = np.random.default_rng(0).normal(size=(200, 3))
    boxes = [trimesh.creation.box(), trimesh.creation.box([0.01] * 3)]
    for away, stray in ((3, False), (1e4, True)):
        notes = []
        np.save(tmp_path / "scan.npy", np.vstack([points, [[away, 0, 0]]]))
        read_points(tmp_path / "scan.npy", 64, seed=0, notes=notes)
        boxes[1].apply_translation([away - boxes[1].centroid[0], 0, 0])
        trimesh.util.concatenate(boxes).export(tmp_path / "part.stl")
        read_points(tmp_path / "part.stl", 64, seed=0, notes=notes)
        assert sum("far from a part that may not belong" in note for note in notes) == 2 * stray


def test_fewer_points_than_asked_are_repeated(tmp_path):
    points = read_points(write(tmp_path, "xyz", POINTS[:5]), 12, 0)
    np.testing.assert_array_equal(points[:5], points[5:10])
    np.testing.assert_array_equal(points[:2], points[10:])
    assert len(np.unique(points, axis=0)) == 5


def test_more_points_than_asked_are_thinned_evenly(tmp_path):
    path = write(tmp_path, "npy", np.random.default_rng(1).normal(size=(5000, 3)))
    points = read_points(path, 100, 0)
    assert len(np.unique(points, axis=0)) == 100
    np.testing.assert_array_equal(points, read_points(path, 100, 0))


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(tmp_path, suffix, bad):
    points = POINTS.copy()
    points[3, 1] = bad
    refused(write(tmp_path, suffix, points), "NaN or infinite")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_points_that_a_camera_did_not_measure_are_left_out(tmp_path, suffix):
    gaps, notes = np.insert(POINTS, [2, 5], np.nan, axis=0), []
    chosen, whole = read_cloud(write(tmp_path, suffix, gaps), 16, 0, notes=notes)
    wanted, every = read_cloud(write(tmp_path / "whole", suffix, POINTS), 16, 0)
    np.testing.assert_allclose(chosen, wanted, atol=1e-6)
    measured = ~np.isnan(whole.points[:, 0])
    np.testing.assert_allclose(whole.points[measured], every.points, atol=1e-6)
    np.testing.assert_allclose(whole.placed, gaps, atol=1e-4)
    assert np.isnan(whole.points).all(axis=1).nonzero()[0].tolist() == [2, 6]
    assert "without 2 points that are NaN" in notes


def test_rows_without_content_are_counted(tmp_path):
    gaps = np.insert(POINTS, [2, 5], np.nan, axis=0)
    path = tmp_path / "a.csv"
    text = write(tmp_path, "xyz", gaps).read_text().replace(" ", ",")
    path.write_text(text.replace("nan", ""))
    read_cloud(path, 16, 0, notes=(notes := []))
    assert "without 2 points that are NaN" in notes


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_cloud_without_any_coordinate(tmp_path, suffix):
    refused(write(tmp_path, suffix, np.full_like(POINTS, np.nan)), "no point has coordinates")


def test_features_of_points_that_were_not_measured(tmp_path):
    normals = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)
    both = np.insert(np.hstack([POINTS, normals]), [2, 5], np.nan, axis=0)
    for suffix in ("npy", "xyz"):
        path = tmp_path / f"cloud.{suffix}"
        np.save(path, both) if suffix == "npy" else np.savetxt(path, both)
        found = read_points(path, len(POINTS), features=("normals",))
        assert found.shape == (len(POINTS), 6)
        assert np.isfinite(found).all()


@pytest.mark.parametrize(("kind", "told"), [("f4", True), ("f8", False), ("whole", False)])
def test_coordinates_that_their_type_rounds(tmp_path, kind, told):
    notes = []
    far = np.random.default_rng(0).random((200, 3)) * 60 * (kind == "whole") + [0, 4649776, 0]
    far = np.rint(far) if kind == "whole" else far + np.random.default_rng(1).random((200, 3)) * 2
    far = far.astype("f8" if kind == "whole" else kind)
    np.save(tmp_path / "utm.npy", far)
    read_cloud(tmp_path / "utm.npy", 16, 0, notes=notes)
    found = [note for note in notes if "coordinates near 4,649,77" in note]
    assert len(found) == told
    assert all("steps of 0.5 in float32; save them as float64, or" in note for note in found)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_points(tmp_path, suffix):
    refused(write(tmp_path, suffix, POINTS[:0]), "no points", "no faces", "array", "empty", "mmap")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_empty_file(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"")
    refused(path, "no points", "empty", "EOF", "array", "magic")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_all_points_at_one_place(tmp_path, suffix):
    refused(write(tmp_path, suffix, np.full((9, 3), 1.5)), "one place")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_text_and_bytes_of_another_type(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"Dear reader,\nno points here.\n")
    refused(path, "cannot be read")
    path.write_bytes(bytes(range(256)) * 4)
    refused(path, "cannot be read")


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_extreme_coordinates(tmp_path, scale):
    plain = read_points(write(tmp_path, "npy", POINTS - 10), 20, 0)
    scaled = read_points(write(tmp_path, "npy", (POINTS - 10) * scale), 20, 0)
    np.testing.assert_allclose(scaled, plain, atol=1e-6)


@pytest.mark.parametrize(
    "array", [np.ones(9), np.ones((4, 2)), np.ones((2, 3, 4)), np.asarray(1.0)]
)
def test_npy_of_wrong_shape(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    refused(tmp_path / "a.npy", "shape")


def test_npy_of_other_things(tmp_path):
    np.save(tmp_path / "a.npy", np.asarray([["x", "y", "z"]]))
    refused(tmp_path / "a.npy", "numbers")
    np.save(tmp_path / "a.npy", np.asarray([[1, None, {}]], dtype=object), allow_pickle=True)
    refused(tmp_path / "a.npy", "object")


def test_truncated_files(tmp_path):
    path = write(tmp_path, "npy", POINTS)
    path.write_bytes(path.read_bytes()[:-5])
    refused(path, "cannot be read")
    path = write(tmp_path, "pts", POINTS)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-3]))
    refused(path, "truncated")
    path = write(tmp_path, "xyz", POINTS)
    path.write_text(path.read_text() + "1.0 2.0\n")
    refused(path, "cannot be read")


def test_absent_and_unknown_files(tmp_path):
    refused(tmp_path / "absent.npy", "No such file")
    refused(tmp_path / "absent.xyz", "No such file")
    refused(tmp_path / "absent.off", "No such file")
    refused(tmp_path / "absent", "absent: does not exist")
    (tmp_path / "photo.jpg").touch()
    refused(tmp_path / "photo.jpg", ".npy", ".off")


def test_comments_and_a_single_point_column_header(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("# made by hand\n//X Y Z\n0 0 0 # origin\n\n1 0 0\n0 1 0\n")
    assert read_points(path, 3, 0).shape == (3, 3)
