"""`pointmcd prepare` refuses what it cannot read in one line."""

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
