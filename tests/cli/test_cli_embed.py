"""`pointmcd embed` and `pointmcd similar`."""

import numpy as np


def test_embed_writes_the_file_that_it_names(cli, taught_store, trained_run, tmp_path):
    out = tmp_path / "e.csv"
    status, said, _ = cli("embed", taught_store, "--run", trained_run, "--out", out)
    assert (status, said) == (0, f"{out}\n")
    assert len(out.read_text().splitlines()) == 19
    status, _, err = cli("embed", taught_store, "--out", tmp_path / "other.csv")
    assert (status, err) == (1, "pointmcd: embed: give --run RUN or --teacher NAME\n")


def test_no_file_is_replaced_unasked(cli, taught_store, trained_run, tmp_path):
    mine = tmp_path / "e.csv"
    mine.write_text("mine")
    call = ("embed", taught_store, "--run", trained_run, "--out", mine)
    status, _, err = cli(*call)
    text = f"pointmcd: --out {mine}: exists; name another file, or give --overwrite\n"
    assert (status, err, mine.read_text()) == (1, text, "mine")
    assert cli(*call, "--overwrite")[0] == 0
    assert mine.read_text().startswith("name,class,split,e0,")


def test_similar_lists_shapes(cli, taught_store, trained_run, tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(80, 3)))
    status, said, _ = cli(
        "similar", trained_run, tmp_path / "a.npy", taught_store, "--count", 4, "--markdown"
    )
    assert status == 0
    rows = [line for line in said.splitlines() if line.startswith("| ")]
    assert rows[0] == "| shape | class | similarity |"
    assert len(rows) == 2 + 4


def test_a_file_that_cannot_be_written_is_refused_first(
    cli, taught_store, trained_run, tmp_path, monkeypatch
):
    monkeypatch.setattr("pointmcd.probing.embed.embed", None)
    status, _, err = cli("embed", taught_store, "--run", trained_run, "--out", tmp_path / "e.txt")
    assert status == 1
    assert "must end in .npz, .csv, .parquet" in err
