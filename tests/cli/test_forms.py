"""Tables for programs: JSON and CSV of what people read."""

import csv
import io
import json
import shutil

import pytest
from rich.console import Console
from store_copies import copy_store

from pointmcd.cli import output


@pytest.fixture(scope="module")
def bench_runs(tmp_path_factory):
    from synthetic_runs import Bench

    bench = Bench(tmp_path_factory.mktemp("runs"))
    return bench.variant("distilled", 0.9, (0, 1)), bench.variant("baseline", 0.6, (0, 1))


def test_a_comparison(cli, bench_runs):
    runs, baseline = bench_runs
    status, out, _ = cli("compare", *runs, "--baseline", *baseline, "--json")
    rows = json.loads(out)
    assert status == 0
    assert [row["variant"] for row in rows] == ["baseline", "distilled"]
    assert rows[1]["difference"] == pytest.approx(rows[1]["score"] - rows[0]["score"])
    assert rows[1]["low"] < rows[1]["score"] < rows[1]["high"]
    assert "difference" not in rows[0]
    # What is needed to cite it, and what the table warns of.
    assert [(row["baseline"], row["voting"], row["student"]) for row in rows] == [
        ("baseline", 1, "pointnet")
    ] * 2
    assert rows[1]["runs"] == list(map(str, runs))
    assert rows[1]["warnings"] == []
    alone = json.loads(cli("compare", runs[0], "--baseline", baseline[0], "--json")[1])
    assert "baseline has one seed: its spread is unknown" in alone[0]["warnings"]
    _, out, _ = cli("compare", *runs, "--baseline", *baseline, "--csv")
    read = list(csv.DictReader(io.StringIO(out)))
    assert [float(row["score"]) for row in read] == [row["score"] for row in rows]
    assert read[0]["difference"] == ""
    assert read[1]["runs"] == "; ".join(map(str, runs))
    assert read[1]["seeds"] == "0 1"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_can_be_read_in_any_encoding(monkeypatch, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    monkeypatch.setattr(output, "out", Console(file=stream))
    output.print_tables((), output.Form(json=True), [{"class": "Stühle, 椅"}])
    stream.seek(0)
    assert json.loads(stream.read()) == [{"class": "Stühle, 椅"}]


def test_one_form_at_a_time(cli, bench_runs):
    status, _, error = cli("compare", *bench_runs[0], "--json", "--csv")
    assert status == 2
    assert "--markdown, --json and --csv: choose one" in error


def test_an_evaluation(cli, trained_run, tmp_path):
    run = shutil.copytree(trained_run, tmp_path / "run")
    status, out, _ = cli("evaluate", run, "--device", "cpu", "--json")
    rows = json.loads(out)
    assert status == 0
    assert [rows[0][name] for name in ("checkpoint", "split", "voting")] == ["last", "test", 1]
    voted = json.loads(cli("evaluate", run, "--device", "cpu", "--voting", 3, "--json")[1])
    assert voted[0]["voting"] == 3
    assert rows[0]["low"] < rows[0]["overall accuracy"] < rows[0]["high"] or rows[0]["low"] == 0
    assert rows[0]["class_low"] <= rows[0]["mean class accuracy"] <= rows[0]["class_high"]
    assert {"class bed", "class chair", "class lamp"} <= set(rows[0])
    assert ".png" not in out
    _, out, _ = cli("evaluate", run, "--device", "cpu")
    assert out.count("95% interval") == 2  # of overall and of mean class accuracy
    assert ".png" in out


def test_an_evaluation_of_parts(cli, parts_run, tmp_path):
    run = shutil.copytree(parts_run, tmp_path / "copy")
    rows = json.loads(cli("evaluate", run, "--device", "cpu", "--json")[1])
    for name in ("part mIoU", "point accuracy"):
        kind = name.split()[0]
        assert rows[0][f"{kind}_low"] <= rows[0][name] <= rows[0][f"{kind}_high"]
    assert cli("evaluate", run, "--device", "cpu")[1].count("95% interval") == 4


@pytest.mark.slow
def test_several_evaluations(cli, trained_run, tmp_path):
    runs = [shutil.copytree(trained_run, tmp_path / name) for name in ("a", "b")]
    status, out, _ = cli("evaluate", *runs, runs[0], "--device", "cpu")
    assert status == 0
    assert [line.split(":")[0] for line in out.splitlines() if ": test" in line] == [
        *map(str, runs)
    ]
    _, out, _ = cli("evaluate", *runs, "--device", "cpu", "--json")
    assert [row["run"] for row in json.loads(out) if row["checkpoint"] == "last"] == [
        *map(str, runs)
    ]
    _, out, _ = cli("evaluate", *runs, "--device", "cpu", "--csv")
    assert len(list(csv.DictReader(io.StringIO(out)))) == len(
        json.loads(cli("evaluate", *runs, "--device", "cpu", "--json")[1])
    )
    status, _, error = cli("evaluate", "--device", "cpu")
    assert status == 2
    assert "evaluate: no runs" in error


def test_similar_shapes(cli, taught_store, trained_run, tmp_path):
    (tmp_path / "b.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    _, out, _ = cli("similar", trained_run, tmp_path / "b.off", taught_store, "--count", 2, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [[*row] for row in rows] == [["shape", "class", "guess", "similarity", "file"]] * 2


def test_similar_shapes_without_labels(cli, taught_store, trained_run, tmp_path):
    store = copy_store(taught_store, tmp_path / "store", lambda one: one.update({"class": None}))
    (tmp_path / "b.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    asked = ("similar", trained_run, tmp_path / "b.off", store, "--count", 2)
    rows = json.loads(cli(*asked, "--json")[1])
    for row in rows:
        assert row["class"] is None
        assert row["guess"] in ("bed", "chair", "lamp")
        assert isinstance(row["similarity"], float)
    assert f" {rows[0]['guess']}? " in cli(*asked)[1]


def test_a_file_gets_tables_as_wide_as_their_cells(cli, trained_run, tmp_path, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    name = tmp_path / ("long name " * 12) / "b.off"
    name.parent.mkdir()
    name.write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    _, out, _ = cli("predict", trained_run, name, "--device", "cpu")
    assert str(name) in out
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = cli("predict", trained_run, name, "--device", "cpu")
    assert f"file: {name}\nclass: " in out  # blocks of lines: no name is broken
    (tmp_path / "b.off").write_text(name.read_text())
    monkeypatch.setenv("COLUMNS", str(60 + len(str(tmp_path))))
    _, out, _ = cli("predict", trained_run, tmp_path / "b.off", "--device", "cpu")
    assert f"│ {tmp_path / 'b.off'} │" in out  # a table, where one has room


@pytest.mark.parametrize("command", ["download", "teachers"])
def test_lists_of_what_there_is(cli, command):
    status, out, _ = cli(command, "--json")
    rows = json.loads(out)
    assert status == 0
    name = "name" if command == "download" else "--teacher"
    names = [row[name] for row in rows]
    assert len(set(names)) == len(names) > 2
    assert all(row["licence"] for row in rows)
    _, piped, _ = cli(command)
    assert all(one in piped for one in names)  # none is folded


@pytest.mark.parametrize("extra", range(0, 45, 3))
def test_no_word_of_a_table_is_broken(extra, monkeypatch, capsys):
    from rich.table import Table

    from pointmcd.cli import output

    table = Table("variant", "seeds", "overall accuracy", "class accuracy", "difference (interval)")
    long = "+16.4 [+12.2, +20.8]"
    table.add_row("distilled-wrong-view", "2 (0, 1)", "62.7 ± 3.8 [60.1, 70.0]", long, long)
    monkeypatch.setenv("COLUMNS", str(70 + extra))
    monkeypatch.setattr(output, "out", output._Output(width=70 + extra, legacy_windows=False))
    output._print_table(table)
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 70 + extra
    words = ["distilled-wrong-view", "difference", "(interval)", "accuracy", "+16.4", "[+12.2,"]
    assert all(word in said for word in words)


@pytest.mark.parametrize("width", [60, 80])
def test_narrow_tables_fold_and_cut_nothing(width, monkeypatch):
    from rich.console import Console

    from pointmcd.cli.evaluate import metrics_table
    from pointmcd.cli.teachers import encoders_table
    from pointmcd.encoders.available import EncoderEntry
    from pointmcd.metrics.classification import classification_metrics

    classes = ["scanning_electron_microscope_of_a_laboratory", "chair"]
    metrics = classification_metrics([0, 1], [0, 1], classes)
    name = "timm:vit_base_patch14_dinov2"
    entry = EncoderEntry(name, "network", 768, "518x518", "Apache-2.0", maps=True)
    tables = (
        metrics_table("run", {"last": metrics, "best": metrics, "teacher": metrics}),
        encoders_table([entry], lambda maps: ["classification", "segmentation"]),
    )
    for table in tables:
        console = Console(file=io.StringIO(), width=width)
        console.print(table)
        said = console.file.getvalue()
        assert "…" not in said
    assert name in said
