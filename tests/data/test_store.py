import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pointmcd.data.records import ShapeRecord
from pointmcd.data.store import Store, map_array
from pointmcd.errors import PointMCDError, StoreError


@pytest.fixture
def copy(tiny_store, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_store, tmp_path / "store"))


def edit(store, **changes):
    path = store / "store.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_a_store_says_of_itself(tiny_store):
    store = Store(tiny_store)
    assert store.classes == ["bed", "chair", "lamp"]
    assert (len(store.shapes), store.num_points, store.num_views) == (18, 128, 3)
    assert len(store.shards) == 4
    assert store.rig["cameras"] == [[30, 0], [30, 120], [-30, 240]]
    assert len(store.fingerprint) == 16


def test_splits_are_disjoint_whole_and_ascending(tiny_store):
    store = Store(tiny_store)
    parts = [store.indices(split) for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [9, 3, 6]
    assert sorted(np.concatenate(parts)) == list(range(18))
    assert all((np.diff(part) > 0).all() for part in parts)
    assert store.indices("nothing").shape == (0,)


def test_labels_are_positions_in_the_class_list(tiny_store):
    store = Store(tiny_store)
    chosen = np.array([17, 0, 6])
    labels = store.labels(chosen)
    assert labels.dtype == np.int64
    assert [store.classes[i] for i in labels] == [store.shapes[i].label for i in chosen]
    assert [store.shapes[i].name.split("/")[0] for i in chosen] == [
        store.classes[i] for i in labels
    ]


def test_every_shape_is_found_in_its_shard(tiny_store):
    store = Store(tiny_store)
    for index, record in enumerate(store.shapes):
        shard, row = store.locate(index)
        described = json.loads((tiny_store / "shards" / shard / "shapes.json").read_text())
        assert described["shapes"][row]["name"] == record.name
    assert store.locate(5) == (store.shards[1], 0)
    assert store.locate(17) == (store.shards[3], 2)


def test_points_are_read_in_the_order_asked_for(tiny_store):
    store = Store(tiny_store)
    chosen = np.array([11, 3, 3, 17])
    points = store.points(chosen, 20)
    assert (points.shape, points.dtype) == ((4, 20, 3), np.float32)
    for index, cloud in zip(chosen, points, strict=True):
        shard, row = store.locate(int(index))
        stored = np.load(tiny_store / "shards" / shard / "points.npy")
        assert np.array_equal(cloud, stored[row, :20])


def test_visibility_is_what_was_packed(copy):
    store = Store(copy)
    seen = np.random.default_rng(0).random((18, 128, 3)) < 0.4
    starts = np.cumsum([0, *store.meta["counts"]])
    for shard, start, end in zip(store.shards, starts[:-1], starts[1:], strict=True):
        np.save(copy / "shards" / shard / "visibility.npy", np.packbits(seen[start:end], axis=-1))
    chosen = np.array([9, 0, 16])
    read = store.visibility(chosen, 77)
    assert read.dtype == np.bool_
    assert np.array_equal(read, seen[chosen, :77])


def test_shard_ranges_agree_with_the_places_of_shapes(tiny_store):
    store = Store(tiny_store)
    found = [(shard, int(index)) for shard, indices in store.shard_ranges() for index in indices]
    assert found == [(store.locate(index)[0], index) for index in range(18)]


def test_nothing_asked_nothing_given(tiny_store):
    assert Store(tiny_store).points(np.zeros(0, np.int64), 5).shape == (0, 5, 3)


@pytest.mark.parametrize("count", [0, -1, 129])
@pytest.mark.parametrize("kind", ["points", "visibility"])
def test_a_count_out_of_range_is_refused(tiny_store, kind, count):
    read = getattr(Store(tiny_store), kind)
    assert read(np.array([0]), 1).shape[1] == 1
    assert read(np.array([0]), 128).shape[1] == 128
    with pytest.raises(StoreError, match=rf"{count} points requested, but the store holds 128"):
        read(np.array([0]), count)


def test_views_are_the_strip_cut_up(tiny_store):
    store = Store(tiny_store)
    views = store.views(7)
    assert (views.shape, views.dtype) == ((3, 64, 64), np.uint8)
    shard, row = store.locate(7)
    with Image.open(tiny_store / "shards" / shard / "views" / f"{row:04d}.png") as strip:
        assert np.array_equal(np.concatenate(list(views), axis=1), np.asarray(strip))
    assert not np.array_equal(views[0], views[1])


def test_an_absent_store_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(StoreError, match="no such store; make one with: pointmcd prepare"):
        Store(tmp_path / "store")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file: is a file, not a store; make one with: pointmcd"):
        Store(tmp_path / "file")


def test_an_incomplete_store_is_to_be_finished(copy):
    (copy / "store.json").unlink()
    with pytest.raises(StoreError, match="not a complete store; finish it with: pointmcd prepare"):
        Store(copy)


@pytest.mark.parametrize("found", [0, 2, "1", None])
def test_another_format_is_told(copy, found):
    edit(copy, format=found)
    with pytest.raises(StoreError, match=rf"store format {found}, this version .* reads 1"):
        Store(copy)


def test_a_description_that_is_no_object_or_no_json(copy):
    (copy / "store.json").write_text("[1]")
    with pytest.raises(StoreError, match="store format None"):
        Store(copy)
    (copy / "store.json").write_text('{"format": 1')
    with pytest.raises(PointMCDError, match=r"store\.json: is not readable JSON"):
        Store(copy)


def test_an_unlabelled_shape_is_named(copy):
    shapes = json.loads((copy / "store.json").read_text())["shapes"]
    shapes[4]["class"] = None
    edit(copy, shapes=shapes)
    store = Store(copy)
    assert store.shapes[4] == ShapeRecord(shapes[4]["name"], None, shapes[4]["split"])
    assert len(store.labels(np.array([0, 1, 2, 3]))) == 4
    with pytest.raises(StoreError, match=f"shape {shapes[4]['name']} has no class label"):
        store.labels(np.array([3, 4]))


@pytest.mark.parametrize("kind", ["points", "visibility"])
@pytest.mark.parametrize("how", ["absent", "empty", "truncated", "foreign", "pickled"])
def test_a_damaged_array_is_named(copy, kind, how):
    path = copy / "shards" / "00001" / f"{kind}.npy"
    content = path.read_bytes()
    path.unlink()
    if how == "pickled":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    elif how != "absent":
        path.write_bytes({"empty": b"", "truncated": content[:-9], "foreign": b"x" * 900}[how])
    read = getattr(Store(copy), kind)
    assert len(read(np.array([0]), 8)) == 1
    with pytest.raises(StoreError, match=rf"00001/{kind}\.npy: absent or damaged"):
        read(np.array([0, 6]), 8)


@pytest.mark.parametrize("how", ["absent", "empty", "truncated", "foreign", "views", "size"])
def test_a_damaged_picture_is_named(copy, how):
    path = copy / "shards" / "00001" / "views" / "0002.png"
    content = path.read_bytes()
    path.unlink()
    if how in ("views", "size"):  # fewer views, or all of them smaller
        Image.new("L", {"views": (128, 64), "size": (96, 32)}[how]).save(path)
    elif how != "absent":
        path.write_bytes({"empty": b"", "truncated": content[:-300], "foreign": b"x" * 900}[how])
    store = Store(copy)
    assert store.views(6).shape == (3, 64, 64)
    with pytest.raises(StoreError, match=r"00001/views/0002\.png: not a strip of 3 views"):
        store.views(7)


def test_a_bit_flipped_anywhere_gives_a_picture_or_one_clear_error(copy):
    path = copy / "shards" / "00000" / "views" / "0000.png"
    content = bytearray(path.read_bytes())
    store, chance = Store(copy), np.random.default_rng(0)
    outcomes = Counter()
    for place in [*range(60), *chance.integers(60, len(content), 150)]:
        changed = content.copy()
        changed[place] ^= 1 << int(chance.integers(8))
        path.write_bytes(changed)
        try:
            outcomes[store.views(0).shape] += 1
        except StoreError as error:
            outcomes[str(error).split(":")[0]] += 1
    assert set(outcomes) <= {(3, 64, 64), str(path)}
    assert outcomes[str(path)] > 50


def test_a_file_that_was_replaced_is_read_anew(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(4))
    assert map_array(path).tolist() == [0, 0, 0, 0]
    np.save(tmp_path / "b.npy", np.ones(4))
    (tmp_path / "b.npy").replace(path)
    assert map_array(path).tolist() == [1, 1, 1, 1]
    path.unlink()
    with pytest.raises(StoreError, match=r"a\.npy: absent or damaged"):
        map_array(path)


def test_a_mapped_file_is_kept_open_and_cannot_be_written(tiny_store):
    path = tiny_store / "shards" / "00000" / "points.npy"
    assert map_array(path) is map_array(path)
    with pytest.raises(ValueError, match="read-only"):
        map_array(path)[0] = 0


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such limit")
def test_more_shards_are_read_than_files_may_be_open(tmp_path):
    for number in range(80):
        np.save(tmp_path / f"{number}.npy", np.full(3, number))
    script = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "from pathlib import Path\n"
        "from pointmcd.data.store import map_array\n"
        "print([int(map_array(Path(sys.argv[1]) / f'{n}.npy')[0]) for n in range(80)])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout == f"{list(range(80))}\n", done.stderr
