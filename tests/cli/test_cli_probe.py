"""Learning without labels on the command line, called in process."""

import json
import shutil
from pathlib import Path

import pytest
from store_copies import copy_store, edit_json

from pointmcd.cli import main
from pointmcd.probing.table import PROBE_COLUMNS
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.train import SHARES, train

CPU = ["--device", "cpu"]
TINY = ["--student", "tiny_student:TinyStudent", "--epochs", 1, "--points", 32]
TINY += ["--batch-size", 4, *CPU]
RUN = "runs/store-pretrain-tiny_student-TinyStudent-distilled-s0"


@pytest.fixture
def refused(cli):
    """A caller that expects one line of error, its progress aside; it returns the line."""

    def call(*arguments):
        status, out, err = cli(*arguments)
        assert (status, out) == (1, "")
        *_, line = err.splitlines()
        assert line.startswith("pointmcd: ")
        assert "Traceback" not in err
        return line.removeprefix("pointmcd: ")

    return call


@pytest.fixture(scope="module")
def ready(taught_store, tmp_path_factory):
    """A folder with a store, its teachers lite0 and lite0-features, and RUN. To be read only."""
    folder = tmp_path_factory.mktemp("ready")
    copy_store(taught_store, folder / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in (
            ["teach", "store", "--task", "features", *CPU],
            ["train", "store", "--task", "pretrain", *TINY],
        ):
            main([str(argument) for argument in command])
    return folder


@pytest.fixture
def here(ready, tmp_path, monkeypatch):
    """A copy of it, as the current folder."""
    folder = shutil.copytree(ready, tmp_path / "here")
    monkeypatch.chdir(folder)
    return folder


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


# Probe


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
    assert "--seed -1: at least 0" in refused("probe", RUN, "store", "--seed", -1, *CPU)
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


# Teach


def test_a_teacher_that_learns_nothing(cli, taught_store, tmp_path):
    store = copy_store(taught_store, tmp_path / "store")
    for options, name in (([], "lite0-features"), (["--whiten"], "lite0-whitened")):
        status, out, _ = cli("teach", store, "--task", "features", *options, *CPU)
        folder = store / "teachers" / name
        size = json.loads((folder / "teacher.json").read_text())["descriptor_size"]
        told = f"{size} channels per view; nothing was trained, no label was read"
        assert (status, out) == (0, f"{folder}: {told}\n")


def test_teaching_that_cannot_be_meant(refused, tiny_store):
    line = refused("teach", tiny_store, "--task", "features", "--finetune", *CPU)
    assert line.startswith("--finetune: --task features trains nothing")
    assert refused("teach", tiny_store, "--whiten", *CPU).startswith("--whiten: is for --task")


# Pretraining and fine-tuning


def test_pretraining(ready):
    assert Run(ready / RUN).finished
    assert Run(ready / RUN).config.task == "pretrain"
    assert Run(ready / RUN).meta["teacher"]["name"] == "lite0-features"


@pytest.mark.usefixtures("here")
def test_pretraining_again_keeps_it_and_prints_it(cli):
    before = Path(RUN, "last.safetensors").stat().st_mtime_ns
    status, out, err = cli("train", "store", "--task", "pretrain", *TINY)
    assert (status, out, err) == (0, f"{RUN}\n", "")
    assert Path(RUN, "last.safetensors").stat().st_mtime_ns == before


def test_pretraining_without_its_teacher(refused, taught_store, tmp_path):
    line = refused("train", taught_store, "--task", "pretrain", "--out", tmp_path / "run", *TINY)
    assert "no teacher lite0-features (there: lite0)" in line
    assert line.endswith(f"pointmcd teach {taught_store} --teacher lite0 --task features")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--no-distill"], "--no-distill: --task pretrain is distillation and nothing else"),
        (["--label-fraction", 0.5], "--label-fraction: --task pretrain uses no labels"),
        (["--learning-curve"], "--task pretrain uses no labels"),
    ],
)
@pytest.mark.usefixtures("here")
def test_pretraining_that_cannot_be_meant(options, text, refused):
    assert text in refused("train", "store", "--task", "pretrain", "--out", "new", *options, *TINY)
    assert not list(Path().glob("new*"))


def test_a_pretrained_run_is_not_evaluated(refused, ready):
    line = refused("evaluate", ready / RUN, *CPU)
    assert "was pretrained without labels" in line
    assert "pointmcd probe" in line


def test_a_pretrained_run_predicts_nothing(refused, ready, furniture_root):
    chair = min((furniture_root / "chair" / "test").glob("*.off"))
    assert "was pretrained without labels" in refused("predict", ready / RUN, chair, *CPU)


@pytest.mark.usefixtures("here")
def test_fine_tuning(cli):
    status, out, _ = cli("train", "store", "--no-distill", "--init", RUN, *TINY)
    folder = "runs/store-tiny_student-TinyStudent-finetuned-s0"
    assert (status, out) == (0, f"{folder}\n")
    start = Run(Path(folder)).meta["init"]
    assert (start["run"], start["task"]) == (str(Path(RUN).resolve()), "pretrain")
    assert cli("evaluate", folder, *CPU)[0] == 0


@pytest.mark.usefixtures("here")
def test_fine_tuning_that_cannot_start(refused, trained_run):
    settings = ["--no-distill", "--out", "new", *TINY]
    assert "nowhere: is not a run folder" in refused(
        "train", "store", "--init", "nowhere", *settings
    )
    line = refused("train", "store", "--init", trained_run, *settings)
    assert line.startswith(f"--init {trained_run}: is a pointnet, the run a tiny_student")
    assert line.endswith("; give --student pointnet")
    edit_json(Path(RUN, "run.json"), lambda meta: meta.update(finished=False))
    assert "not finished" in refused("train", "store", "--init", RUN, *settings)
    assert not Path("new").exists()


# Shares of the labels


@pytest.mark.usefixtures("here")
def test_a_learning_curve(cli):
    status, out, _ = cli("train", "store", "--no-distill", "--learning-curve", *TINY)
    name = "runs/store-tiny_student-TinyStudent-baseline-s0"
    assert status == 0
    shares = ("-0.01", "-0.05", "-0.1", "-0.2", "")
    assert out.splitlines() == [f"{name}{share}" for share in shares]
    runs = [Run(Path(line)) for line in out.splitlines()]
    assert [run.config.label_fraction for run in runs] == list(SHARES)
    assert [run.meta["shapes"]["train"] for run in runs] == [3, 3, 3, 3, 9]


@pytest.mark.usefixtures("here")
def test_a_learning_curve_of_fine_tuning_under_a_name(cli):
    options = ["--no-distill", "--init", RUN, "--learning-curve", "--out", "curve"]
    status, out, _ = cli("train", "store", *options, *TINY)
    assert status == 0
    assert out.splitlines()[0] == "curve-0.01"
    assert all(Run(Path(line)).meta["arm"] == "finetuned" for line in out.splitlines())
    assert out.splitlines()[-1] == "curve"


def test_a_learning_curve_beside_a_teacher_of_all_labels(refused, taught_store, tmp_path):
    line = refused("train", taught_store, "--learning-curve", "--out", tmp_path / "run", *TINY)
    assert "teacher lite0 learnt from all labels" in line
    assert "pointmcd teach --task autoencoder or features, or --no-distill" in line
    assert not list(tmp_path.glob("run*"))


def test_one_share(cli, tiny_store, tmp_path):
    out = tmp_path / "run"
    options = ["--no-distill", "--label-fraction", 0.67, "--out", out]
    assert cli("train", tiny_store, *options, *TINY)[:2] == (0, f"{out}\n")
    assert Run(out).meta["shapes"]["train"] == 6
    settings = {"student": "tiny_student:TinyStudent", "epochs": 1, "points": 32, "batch_size": 4}
    config = TrainConfig(tiny_store, out, teacher=None, label_fraction=0.67, **settings)
    assert train(config) == out  # the very same settings as the library's
