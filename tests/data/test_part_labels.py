"""Part files: what they may look like, what a store makes of them, what is refused."""

import numpy as np
import pytest
from part_files import part_file, part_rows
from store_copies import copy_store, edit_json

from pointmcd.data.clusters import shape_clusters
from pointmcd.data.label_file import copy_labels, labels_digest
from pointmcd.data.labels import is_part_file, read_labels
from pointmcd.data.part_labels import PartRow, read_parts, write_parts
from pointmcd.data.splits import labelled_train
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, StoreError


@pytest.fixture
def store(parts_store, tmp_path):
    return copy_store(parts_store, tmp_path / "store")


@pytest.fixture
def bare(tiny_store, tmp_path):
    """A store without labels of any kind."""
    return copy_store(tiny_store, tmp_path / "bare", lambda record: record.update({"class": None}))


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "parts.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_what_is_written_is_read(tmp_path):
    rows = [PartRow('a,"b"/椅子', 1, "стул, x", "6-00000000"), PartRow("c", 6, "leg", "6-11111111")]
    write_parts(tmp_path / "parts.csv", rows)
    assert [row[:4] for row in read_parts(tmp_path / "parts.csv")] == [row[:4] for row in rows]
    assert is_part_file(tmp_path / "parts.csv")
    copy_labels(tmp_path / "parts.csv", tmp_path / "copy.csv")
    assert (tmp_path / "copy.csv").read_bytes() == (tmp_path / "parts.csv").read_bytes()


def test_order_and_form_do_not_change_what_it_says(write):
    one = labels_digest(write("path,cluster,part,clusters\na,1,x,6-0\nb,2,y,6-0\nc,3,,6-0\n"))
    assert one == labels_digest(write("Part;Path;Clusters;Cluster\ny;b;6-0; 2\nx;a;6-0;1\n"))
    assert one != labels_digest(write("path,cluster,part,clusters\na,1,y,6-0\nb,2,y,6-0\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,cluster,part\na,1,x\n", "line 1: lacks the column clusters"),
        ("path,cluster,part,clusters\n", "names no part"),
        ("path,cluster,part,clusters\na,1,x\n", "line 2: has fewer than 4 cells"),
        ("path,cluster,part,clusters\na,one,x,6-0\n", "line 2: cluster one, clusters 6-0: write"),
        ("path,cluster,part,clusters\na,1,x,none\n", "line 2: cluster 1, clusters none: write"),
        ("path,cluster,part,clusters\na,7,x,6-0\n", "line 2: cluster 7: there are clusters 1 to 6"),
        ("path,cluster,part,clusters\na,0,x,6-0\n", "line 2: cluster 0: there are"),
    ],
)
def test_a_line_that_is_none(write, text, message):
    with pytest.raises(ConfigError, match=message):
        read_parts(write(text))


def test_it_names_no_classes(write):
    with pytest.raises(ConfigError, match="names parts, not classes; it is for teach and train"):
        read_labels(write("path,cluster,part,clusters\na,1,x,6-0\n"))


def test_points_get_the_parts_of_their_clusters(store, tmp_path):
    own = Store(store)
    known = Store(store, part_file(tmp_path / "parts.csv", store, each=2))
    assert known.classes == own.classes
    assert known.parts == own.parts
    assert known.fingerprint != own.fingerprint
    assert known.own_fingerprint == own.fingerprint
    labelled = labelled_train(known)
    assert len(labelled) == 4
    assert len(known.indices("train")) == 16  # the validation split, too, is learnt from
    assert not len(known.indices("val"))
    index = labelled[:1]
    clusters, _ = shape_clusters(own, int(index[0]), 6)
    found, truth = known.part_labels(index, 128)[0], own.part_labels(index, 128)[0]
    for number in range(6):
        inside = clusters == number
        assert set(found[inside]) == {np.bincount(truth[inside]).argmax()}
    others = np.setdiff1d(known.indices("train"), labelled)
    assert (known.part_labels(others, 100) == -1).all()
    test = known.indices("test")
    assert (known.part_labels(test, 128) == own.part_labels(test, 128)).all()


def test_new_names_follow_those_of_the_store(store, tmp_path):
    own = Store(store)
    bed = next(i for i in own.indices("train") if own.shapes[i].label == "bed")
    rows = part_rows(own, [bed], names=["pillow", "high"])
    write_parts(tmp_path / "parts.csv", rows)
    known = Store(store, tmp_path / "parts.csv")
    assert known.parts == {"bed": ["low", "high", "pillow"], "chair": ["legs", "seat", "back"]}
    assert set(known.part_labels(np.array([bed]), 128)[0]) == {1, 2}


def test_only_what_is_labelled_is_known(store, tmp_path):
    own = Store(store)
    rows = part_rows(own, own.indices("train")[:1], names=["a", "b"])
    write_parts(tmp_path / "parts.csv", rows[1:])
    index = own.indices("train")[:1]
    found = Store(store, tmp_path / "parts.csv").part_labels(index, 128)[0]
    clusters, _ = shape_clusters(own, int(index[0]), 6)
    assert (found[clusters == 0] == -1).all()
    assert (found[clusters > 0] >= 0).all()


def test_without_classes_all_shapes_are_of_one(bare, tmp_path):
    known = Store(bare, part_file(tmp_path / "parts.csv", bare, names=["top", "foot"]))
    assert known.classes == ["shape"]
    assert known.parts == {"shape": ["foot", "top"]}
    assert len(labelled_train(known)) == 3
    assert len(known.indices("train")) == 12
    test = known.indices("test")
    assert (known.part_labels(test, 128) == -1).all()  # nothing is known of them


def test_classes_without_parts_are_left_out(tiny_store, tmp_path):
    path = copy_store(tiny_store, tmp_path / "store")
    store = Store(path)
    chairs = [i for i in store.indices("train") if store.shapes[i].label == "chair"]
    write_parts(tmp_path / "parts.csv", part_rows(store, chairs, names=["back", "leg"]))
    known = Store(path, tmp_path / "parts.csv")
    assert known.parts == {"bed": [], "chair": ["back", "leg"], "lamp": []}
    assert {known.shapes[i].label for i in known.indices("train")} == {"chair"}
    assert {known.shapes[i].label for i in known.indices("test")} == {"chair"}
    assert known.part_ranges.tolist() == [[0, 0], [0, 2], [2, 2]]


def test_some_shapes_without_a_class(tiny_store, tmp_path):
    def change(record):
        if record["name"].startswith("bed"):
            record["class"] = None

    path = copy_store(tiny_store, tmp_path / "store", change)
    file = part_file(tmp_path / "parts.csv", path, names=["a", "b"])
    with pytest.raises(ConfigError, match=r"bed/test/bed_0001 of .* has no class, others have"):
        Store(path, file)


def test_rows_that_do_not_fit(store, tmp_path):
    own, file = Store(store), tmp_path / "parts.csv"
    first = int(own.indices("train")[0])
    rows = part_rows(own, [first])
    for changed, message in [
        ([rows[0]._replace(path="bed/none")], "line 2: no shape bed/none in .* names look like"),
        ([rows[0], rows[0]._replace(part="x")], "lines 2 and 3 say of cluster 1 of .* and x; keep"),
        (
            [rows[0]._replace(clusters="6-00000000")],
            "was labelled with a different clustering .6-00000000",
        ),
        ([rows[0], rows[1]._replace(clusters="7-00000000")], "lines 2 and 3 are of different clus"),
        ([rows[0]._replace(clusters="999-00000000")], "999 clusters, but .* has 128 points"),
        (part_rows(own, own.indices("test")[:1]), "names parts of shapes in the test split alone"),
    ]:
        write_parts(file, changed)
        with pytest.raises(ConfigError, match=message):
            Store(store, file)
    write_parts(file, [rows[0]._replace(path=f"set/{rows[0].path}.off")])
    assert set(Store(store, file).known_parts) == {first}
    write_parts(file, [rows[0]._replace(path=f"{rows[0].path}.obj")])
    with pytest.raises(ConfigError, match=r"line 2: no shape .*\.obj in .*\.off: correct the path"):
        Store(store, file)


def test_variants_are_left_out(store, tmp_path):
    train = Store(store).indices("train")
    edit_json(store / "store.json", lambda meta: meta.update(variant_of=train.tolist()))
    assert len(Store(store).with_variants(train)) == 2 * len(train)
    known = Store(store, part_file(tmp_path / "parts.csv", store))
    assert known.with_variants(train).tolist() == train.tolist()


def test_classes_cannot_take_the_place_of_parts(store, tmp_path):
    (tmp_path / "labels.csv").write_text("path,class\nbed/bed_0001,bed\n")
    with pytest.raises(StoreError, match="which the classes of --labels cannot replace"):
        Store(store, tmp_path / "labels.csv")
