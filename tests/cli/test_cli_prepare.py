"""`pointmcd prepare`: what it says of a store, and of what it cannot read, in one line."""

import shutil


def test_bad_source(refused, tmp_path):
    text = tmp_path / "meshes.zip"
    text.write_text("no zip")
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "none", text, tmp_path / "empty"):
        assert str(source) in refused("prepare", source, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_bad_annotations_are_one_line(refused, labelled_meshes, tmp_path):
    source = shutil.copytree(labelled_meshes, tmp_path / "set")
    (source / "parts.json").write_text('{"bed": ["low", "low"]}')
    line = refused("prepare", source, tmp_path / "store")
    assert line.startswith(f"{source}/parts.json: bed: ")
    (source / "parts.json").unlink()
    (source / "test.txt").write_text("bed/no_such\n")
    assert "bed/no_such" in refused("prepare", source, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_it_says_which_classes_folders_name_and_how_to_have_none(cli, few_meshes, tmp_path):
    small = ("--points", 32, "--workers", 1)
    _, _, err = cli("prepare", few_meshes, tmp_path / "a", *small)
    (line,) = (line for line in err.splitlines() if line.startswith("3 classes: "))
    counts = {"chair", "sofa", "table"}
    assert {
        one.split()[0] for one in line.split(";")[0][len("3 classes: ") :].split(", ")
    } == counts
    assert line.endswith(f"; if folders are no classes, prepare {few_meshes},labels=none")
    _, _, err = cli("prepare", f"{few_meshes},labels=none", tmp_path / "b", *small)
    assert "classes" not in err
