import shutil

import numpy as np
import pytest
from part_layouts import NORMAL, PLAIN, write_core, write_layout

from pointmcd.datasets.shapenetpart.dataset import list_labelled_clouds
from pointmcd.errors import ShapeError
from pointmcd.preparation.prepare_shape import prepare_shape
from pointmcd.views.rig import Rig

RIG = Rig("three", ((30.0, 0.0), (30.0, 120.0), (-30.0, 240.0)), size=48)


@pytest.fixture(scope="module")
def clouds(furniture_root, tmp_path_factory):
    return write_layout(furniture_root, tmp_path_factory.mktemp("clouds"), NORMAL, 1500)


@pytest.fixture(scope="module")
def with_meshes(clouds, furniture_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("meshes")
    write_core(furniture_root, folder, "v1")
    return shutil.copytree(clouds, folder / clouds.name)


def first(root, **changes):
    return list_labelled_clouds(root, **changes).sources[3]


@pytest.fixture(scope="module", params=["clouds", "with_meshes"])
def prepared(request):
    return prepare_shape(first(request.getfixturevalue(request.param)), 512, RIG, 0)


def test_shapes_and_types(prepared):
    assert (prepared.points.shape, prepared.points.dtype) == ((512, 3), np.float32)
    assert (prepared.parts.shape, prepared.parts.dtype) == ((512,), np.int16)
    assert (prepared.visibility.shape, prepared.visibility.dtype) == ((512, 3), np.bool_)
    assert (prepared.views.shape, prepared.views.dtype) == ((3, 48, 48), np.uint8)
    assert (prepared.pixels.shape, prepared.pixels.dtype) == ((3, 48, 48), np.int16)
    assert prepared.framing.centre.shape == (3,)
    assert prepared.framing.scale > 0
    assert prepared.notes == []


def test_points_are_farthest_first_in_the_unit_sphere(prepared):
    norms = np.linalg.norm(prepared.points, axis=1)
    assert norms.max() <= 1 + 1e-6
    gaps = [
        np.linalg.norm(prepared.points[:i] - prepared.points[i], axis=1).min() for i in (9, 99, 511)
    ]
    assert gaps == sorted(gaps, reverse=True)


def test_parts_belong_to_the_points(prepared):
    """The replica's labels are four equal slices of the height."""
    height = prepared.points[:, 1]
    for part in range(3):
        assert height[prepared.parts == part].max() < height[prepared.parts == part + 1].min()


def project(points, framing, view):
    """Project points [N, 3] to rows and columns [N] of a picture."""
    frames = RIG.frames
    way = framing.apply(points) - frames.position[view]
    depth = way @ frames.forward[view] * RIG.tangent
    column = (way @ frames.right[view] / depth + 1) * RIG.size / 2
    row = (1 - way @ frames.up[view] / depth) * RIG.size / 2
    return row.astype(int).clip(0, 47), column.astype(int).clip(0, 47)


def test_visible_points_land_on_pixels_of_their_part(prepared):
    for view in range(3):
        seen = prepared.visibility[:, view]
        assert 0.1 < seen.mean() < 0.9
        rows, columns = project(prepared.points[seen], prepared.framing, view)
        pixels = prepared.pixels[view, rows, columns]
        assert (pixels >= 0).mean() > 0.87
        inside = pixels >= 0
        assert (pixels == prepared.parts[seen])[inside].mean() > 0.8


def test_pixels_with_a_part_are_those_that_are_drawn(prepared):
    drawn = prepared.views < 255
    assert (drawn | (prepared.pixels < 0)).all()
    assert ((prepared.pixels >= 0) | (prepared.views > 40)).all()
    assert drawn[prepared.pixels >= 0].mean() > 0.99
    assert set(np.unique(prepared.pixels)) == {-1, 0, 1, 2, 3}


def test_splats_and_meshes_show_alike(clouds, with_meshes):
    splatted, rendered = (prepare_shape(first(root), 512, RIG, 0) for root in (clouds, with_meshes))
    assert splatted.triangles == 0 < rendered.triangles
    np.testing.assert_array_equal(splatted.points, rendered.points)
    both = (splatted.pixels >= 0) & (rendered.pixels >= 0)
    assert both.sum() > 0.75 * ((splatted.pixels >= 0) | (rendered.pixels >= 0)).sum()
    assert (splatted.pixels == rendered.pixels)[both].mean() > 0.75
    assert (splatted.visibility == rendered.visibility).mean() > 0.7


def test_small_clouds_are_repeated_and_noted(clouds):
    prepared = prepare_shape(first(clouds), 2048, RIG, 0)
    for array in (prepared.points, prepared.parts, prepared.visibility):
        np.testing.assert_array_equal(array[1500:], array[:548])
    assert len(np.unique(prepared.points[:1500], axis=0)) > 1490
    assert prepared.notes == ["1500 points, repeated to 2048"]


def test_the_same_cloud_gives_the_same(prepared, request):
    again = prepare_shape(first(request.getfixturevalue("clouds")), 512, RIG, 0)
    np.testing.assert_array_equal(prepared.points, again.points)
    if prepared.triangles == 0:
        np.testing.assert_array_equal(prepared.views, again.views)
        np.testing.assert_array_equal(prepared.visibility, again.visibility)


def test_a_shape_whose_mesh_is_missing_is_splatted_and_noted(with_meshes, tmp_path):
    root = shutil.copytree(with_meshes.parent, tmp_path / "all") / with_meshes.name
    first(root).mesh.unlink()
    prepared = prepare_shape(first(root), 64, RIG, 0)
    assert prepared.triangles == 0
    assert prepared.notes == [
        f"{first(root).name}: no mesh beside the cloud; views are splatted from its points"
    ]


def test_a_mesh_of_another_shape_is_one_line(with_meshes, tmp_path):
    root = shutil.copytree(with_meshes.parent, tmp_path / "all") / with_meshes.name
    shapes = list_labelled_clouds(root).sources
    shutil.copy(shapes[0].mesh, shapes[3].mesh)
    with pytest.raises(ShapeError, match=r"does not fit .*model\.obj: points are off") as error:
        prepare_shape(shapes[3], 64, RIG, 0)
    assert str(error.value).startswith(shapes[3].location)
    assert "\n" not in str(error.value)


def test_a_damaged_mesh_is_one_line(with_meshes, tmp_path):
    root = shutil.copytree(with_meshes.parent, tmp_path / "all") / with_meshes.name
    first(root).mesh.write_text("v 1 2\n")
    with pytest.raises(ShapeError, match=r"model\.obj"):
        prepare_shape(first(root), 64, RIG, 0)


@pytest.mark.parametrize("count", [1, 2])
def test_clouds_of_few_points(furniture_root, tmp_path, count):
    root = write_layout(furniture_root, tmp_path, PLAIN, 200)
    shape = first(root)
    labels = root / "03001627" / "points_label" / f"{shape.file.path.stem}.seg"
    for file in (shape.file.path, labels):
        file.write_text("\n".join(file.read_text().splitlines()[:count]))
    if count == 1:
        with pytest.raises(ShapeError, match="all points are at one place"):
            prepare_shape(shape, 8, RIG, 0)
    else:
        prepared = prepare_shape(shape, 8, RIG, 0)
        assert prepared.points.shape == (8, 3)
        assert (prepared.pixels >= 0).any()


@pytest.mark.parametrize("meshes", [False, True])
def test_of_a_larger_cloud_the_same_points_are_kept(clouds, with_meshes, meshes, monkeypatch):
    source = first(with_meshes if meshes else clouds)
    whole = prepare_shape(source, 512, RIG, 0)
    monkeypatch.setattr("pointmcd.preparation.prepare_shape.MAX_POINTS", 900)
    thinned = prepare_shape(source, 512, RIG, 0)
    np.testing.assert_array_equal(thinned.points, whole.points)
    np.testing.assert_array_equal(thinned.parts, whole.parts)
    assert thinned.read == whole.read == 1500
    assert (thinned.visibility == whole.visibility).mean() > 0.85
    again = prepare_shape(source, 512, RIG, 0)
    np.testing.assert_array_equal(again.visibility, thinned.visibility)
    np.testing.assert_array_equal(again.views, thinned.views)


def test_a_large_cloud_is_thinned_before_it_is_drawn(clouds, monkeypatch):
    counts = []
    drawn = prepare_shape.__globals__["splat_views"]
    monkeypatch.setattr(
        "pointmcd.preparation.prepare_shape.splat_views",
        lambda points, rig: counts.append(len(points)) or drawn(points, rig),
    )
    prepare_shape(first(clouds), 512, RIG, 0)
    monkeypatch.setattr("pointmcd.preparation.prepare_shape.MAX_POINTS", 600)
    prepare_shape(first(clouds), 100, RIG, 0)
    assert counts[0] == 1500
    assert 600 <= counts[1] <= 700
