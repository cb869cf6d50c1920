import os

import pytest

from pointmcd.datasets.registry import _parse, find_shapes, get_data_set, list_data_sets
from pointmcd.datasets.sources import CloudSource
from pointmcd.errors import ConfigError, ShapeError


@pytest.mark.parametrize("name", list_data_sets())
def test_every_data_set_says_what_a_person_needs(name):
    data_set = get_data_set(name)
    assert data_set.name == name == name.lower()
    assert data_set.title
    assert data_set.licence
    assert data_set.obtain
    assert data_set.home.startswith("https://")
    assert data_set.classes > 1
    assert len({layout.name for layout in data_set.layouts}) == len(data_set.layouts) > 0
    assert get_data_set(name.upper()) is data_set


def test_an_unknown_name_is_told_with_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="data set modelnet4: unknown; did you mean modelnet40"):
        find_shapes(f"modelnet4:{tmp_path}")
    with pytest.raises(ConfigError, match="modelnet10, modelnet40"):
        find_shapes("nothinglikeit:anywhere")


def test_an_absent_path_and_a_drive_are_paths(tmp_path):
    for source in (tmp_path / "absent", "C:", f"modelnet40:{tmp_path / 'absent'}"):
        with pytest.raises(ShapeError, match="does not exist"):
            find_shapes(source)


@pytest.mark.parametrize("path", [r"D:\data\meshes", "D:/data/meshes"])
@pytest.mark.parametrize(
    "name", ["modelnet40", "clouds", "my_sets:Mine", r"C:\sets\mine.py:Mine", "sets/mine.py:Mine"]
)
def test_a_drive_is_told_from_a_name(name, path):
    found, place, options = _parse(f"{name}:{path},shapenetcore=E:\\core")
    assert (found, options) == (name, {"shapenetcore": r"E:\core"})
    assert str(place).endswith(path)
    assert _parse(path)[0] is None


@pytest.mark.skipif(os.name != "posix", reason="no name of a file on Windows")
def test_a_folder_whose_name_has_a_colon_is_a_path(furniture_root, tmp_path):
    folder = tmp_path / "modelnet40:mine"
    folder.symlink_to(furniture_root, target_is_directory=True)
    found = find_shapes(folder)
    assert len(found.listing.sources) == 254
    assert found.up is None


def test_another_set_says_where_to_get_the_right_one(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(
        ShapeError, match=r"known layout \(hdf5, resampled, off, npy\); fetch"
    ) as caught:
        find_shapes(f"modelnet40:{tmp_path}")
    assert "\n" not in str(caught.value)


def test_meshes_stay_meshes_beside_tables(furniture_root):
    shapes = find_shapes(furniture_root).listing.sources
    assert not any(isinstance(shape, CloudSource) for shape in shapes)


def test_an_option_is_refused_where_it_means_nothing(furniture_root, tmp_path):
    with pytest.raises(ConfigError, match="modelnet40: option shapenetcore is unknown; it has no"):
        find_shapes(f"modelnet40:{furniture_root},shapenetcore={tmp_path}")
    with pytest.raises(ConfigError, match="meshes: option shapenetcore is unknown"):
        find_shapes(f"{furniture_root},shapenetcore={tmp_path}")
