"""`pointmcd probe`: its table, its file, its options."""

import json
from pathlib import Path

import pytest
from store_copies import copy_store, edit_json

from pointmcd.probing.scores import PROBE_COLUMNS

CPU = ["--device", "cpu"]
RUN = "runs/store-pretrain-tiny_student-TinyStudent-distilled-s0"


@pytest.fixture
def fast(monkeypatch):
    """Two settings to choose from: these tests are about what is printed."""
    monkeypatch.setattr("pointmcd.probing.metrics.COSTS", (1e-3, 1e-1))
    monkeypatch.setattr("pointmcd.probing.metrics.NEIGHBOURS", (1, 5))


def table(out):
    """The texts of a printed table, row by row; folded lines are joined."""
    rows = [[]]
    for line in out.splitlines():
        if line.startswith("┃"):
            continue
        if line.startswith("│"):
            cells = [cell.strip() for cell in line.split("│")[1:-1]]
            if cells[1]:
                rows.append(cells)
            else:
                rows[-1] = [f"{a} {b}".strip() for a, b in zip(rows[-1], cells, strict=True)]
    return rows[1:]


def heading(out):
    """The words of the headings, folded or not."""
    lines = [line.strip("┃").split("┃") for line in out.splitlines() if line.startswith("┃")]
    return [" ".join(filter(None, map(str.strip, parts))) for parts in zip(*lines, strict=True)]


def test_help(cli):
    status, out, err = cli("probe", "--help")
    assert (status, err) == (0, "")
    for option in ("--no-references", "--pooling", "--split", "--others", "--checkpoint"):
        assert option in out
    assert "{max,mean,both}" in out


@pytest.mark.usefixtures("fast", "here")
def test_the_table_and_the_file(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    status, out, _ = cli("probe", RUN, "store", *CPU)
    assert status == 0
    assert "store: test, max pooling, in percent" in out
    assert heading(out) == ["features", *PROBE_COLUMNS]
    rows = table(out)
    assert [row[0] for row in rows] == [
        Path(RUN).name,
        "random weights (3 seeds)",
        "teacher lite0-features",
    ]
    assert all("±" in cell for cell in (rows[1][1], rows[1][4], rows[1][-1]))
    assert not any("±" in cell for row in (rows[0], rows[2]) for cell in row)
    assert all(row[5:9] == ["-"] * 4 for row in rows)  # three classes make no five ways
    written = json.loads(Path(RUN, "probe-store-test-last-max.json").read_text())
    assert f"{100 * written['rows'][0]['scores'][0]['svm']:.1f}" == rows[0][1]
    assert "mean average precision" in " ".join(out.split())


@pytest.mark.usefixtures("fast", "here")
def test_programs_get_numbers(cli):
    rows = json.loads(cli("probe", RUN, "store", *CPU, "--json")[1])
    assert rows[0]["features"] == Path(RUN).name
    for row in rows:
        assert row["svm_low"] < row["svm"] <= row["svm_high"] <= 1
        assert row["5w10s"] is None  # three classes make no five ways
    assert rows[0]["knn_std"] is None
    assert rows[1]["knn_std"] >= 0


@pytest.mark.usefixtures("fast", "here")
def test_no_references(cli):
    status, out, _ = cli("probe", RUN, "store", "--no-references", "--split", "val", *CPU)
    assert status == 0
    assert "store: val, max pooling" in out
    assert len(table(out)) == 1
    assert "random weights" not in out
    assert "teacher" not in out
    assert [path.name for path in Path(RUN).glob("probe-*")] == ["probe-store-val-last-max.json"]


@pytest.mark.usefixtures("fast", "here")
def test_settings_reach_the_probe(cli):
    settings = ["--pooling", "both", "--checkpoint", "best", "--seed", 3, "--no-references"]
    status, out, _ = cli("probe", RUN, "store", *settings, *CPU)
    assert status == 0
    assert "both pooling" in out
    written = json.loads(Path(RUN, "probe-store-test-best-both.json").read_text())["settings"]
    assert (written["pooling"], written["checkpoint"], written["seed"]) == ("both", "best", 3)


@pytest.mark.usefixtures("fast", "here")
def test_other_runs_and_another_store(cli, trained_parts_run, parts_store):
    others = ["--others", trained_parts_run, RUN]
    status, out, _ = cli("probe", RUN, parts_store, *others, "--no-references", *CPU)
    assert status == 0
    assert len(table(out)) == 3
    assert table(out)[1][0] == "run"


@pytest.mark.usefixtures("fast", "here")
def test_names_are_whole_however_narrow(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = cli("probe", RUN, "store", "--no-references", *CPU)
    assert "…" not in out


@pytest.mark.usefixtures("here")
def test_what_cannot_be_probed(refused, tmp_path):
    assert refused("probe", "none", "store").startswith("none: is not a run folder")
    assert refused("probe", RUN, "none").startswith("none: no such store")
    assert "--seed -1: must be from 0 to" in refused("probe", RUN, "store", "--seed", -1, *CPU)
    bare = copy_store(Path("store"), tmp_path / "bare", lambda r: r.update({"class": None}))
    assert "has no class label" in refused("probe", RUN, bare, *CPU)
    edit_json(Path(RUN, "run.json"), lambda meta: meta.update(finished=False))
    assert refused("probe", RUN, "store", *CPU).startswith(f"{RUN}: not finished")
    assert not list(Path(RUN).glob("probe-*"))


@pytest.mark.parametrize(
    "wrong",
    [[], ["--split", "train"], ["--pooling", "sum"], ["--checkpoint", "first"], ["--references"]],
)
def test_what_cannot_be_parsed(wrong, cli):
    arguments = ["run", "store", *wrong] if wrong else ["run"]
    status, out, err = cli("probe", *arguments)
    assert (status, out) == (2, "")
    assert err
    assert "Traceback" not in err
