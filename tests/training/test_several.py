"""Several runs at once: what they give, say and refuse."""

import pytest
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from pointmcd.errors import ConfigError, RunError
from pointmcd.progress import bars_hidden, console, progress_bar
from pointmcd.training import several
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.several import train_all


@pytest.fixture(autouse=True)
def new_workers():
    """Those that an earlier test started write where its output was captured."""
    get_reusable_executor().shutdown(wait=True)


@pytest.fixture
def configs(taught_store, tmp_path):
    def make(name, **options):
        values = {"epochs": 2, "points": 32, "batch_size": 4, "device": "cpu", **options}
        return [
            TrainConfig(
                taught_store,
                tmp_path / f"{name}{seed}",
                student="tiny_student:TinyStudent",
                seed=seed,
                **values,
            )
            for seed in range(3)
        ]

    return make


def log(run):
    return [{k: v for k, v in record.items() if k != "seconds"} for record in Run(run).metrics()]


@pytest.mark.slow
def test_runs_at_once_are_those_one_after_the_other(configs, tmp_path, capfd):
    alone = train_all(configs("alone"))
    capfd.readouterr()
    together = train_all(configs("together"), at_once=2)
    said = capfd.readouterr().err
    assert together == [tmp_path / f"together{seed}" for seed in range(3)]
    for one, two in zip(alone, together, strict=True):
        assert Run(two).finished
        assert [*log(one)[-1]] == [*log(two)[-1]]
        assert list(log(one)[-1].values()) == pytest.approx(list(log(two)[-1].values()), rel=1e-4)
    assert "3 runs" in said
    assert "6/6" in said
    assert "together0" not in said  # no bars of single runs
    assert said.count("too few steps") == 3  # but notices
    times = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")}
    assert train_all(configs("together"), at_once=2) == together
    assert times == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")}


def test_the_time_left_is_told_by_the_runs_before(configs, tmp_path, capfd, monkeypatch):
    """Runs that are kept take no time, and say nothing of that of others."""
    settings = configs("timed")
    train_all(settings[:1])
    capfd.readouterr()
    clock = iter(range(0, 10_000, 600))  # ten minutes between a start and an end
    monkeypatch.setattr(several, "perf_counter", lambda: next(clock))
    more = configs("more")[:1]
    train_all([*settings, *more])
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("run ")]
    assert said == [
        "run 1 of 4",
        "run 2 of 4",
        "run 3 of 4: about 20 minutes for all that are left",
        "run 4 of 4: about 10 minutes for all that are left",
    ]


def test_one_that_cannot_be_trained_says_so_in_a_line(configs, tmp_path):
    (tmp_path / "bad1").mkdir()
    (tmp_path / "bad1" / "mine.txt").write_text("mine")
    with pytest.raises(RunError) as error:
        train_all(configs("bad"), at_once=2)
    assert str(error.value) == f"{tmp_path / 'bad1'}: is not a run folder; choose another --out"


def test_a_killed_process_is_told_in_a_line(configs, monkeypatch):
    def killed(calls):
        raise TerminatedWorkerError("a long story")

    monkeypatch.setattr(several, "Parallel", lambda count, **options: killed)
    with pytest.raises(RunError, match=r"^a process was killed, .* a smaller --at-once$"):
        train_all(configs("a"), at_once=2)


def test_epochs_of_a_log_that_is_older_do_not_count(tmp_path):
    log = tmp_path / "metrics.jsonl"
    assert several._lines(log, 0.0) == 0
    log.write_text("{}\n{}\n")
    assert several._lines(log, 0.0) == 2
    assert several._lines(log, log.stat().st_mtime + 1) == 0


def test_a_number_that_cannot_be(configs, monkeypatch):
    with pytest.raises(ConfigError, match=r"^--at-once 0: must be at least 1"):
        train_all(configs("a"), at_once=0)
    monkeypatch.setattr(several, "process_count", lambda: 2)
    with pytest.raises(
        ConfigError, match=r"^--at-once starts its own processes; run it without a launcher"
    ):
        train_all(configs("a"), at_once=2)


@pytest.mark.slow
def test_on_the_command_line(cli, taught_store, tmp_path):
    options = ("--student", "tiny_student:TinyStudent", "--epochs", 1, "--points", 32)
    options += ("--device", "cpu", "--out", tmp_path / "mine")
    status, out, err = cli("train", taught_store, *options, "--seeds", "0-1", "--at-once", 2)
    assert (status, "distilled" in out) == (0, True), err
    assert len(list(tmp_path.glob("mine-*-s*"))) == 4


def test_alone_it_has_no_meaning(cli, taught_store, tmp_path):
    status, out, err = cli("train", taught_store, "--out", tmp_path / "mine", "--at-once", 2)
    assert (status, out) == (2, "")
    assert "--at-once is for --seeds, --folds or --learning-curve" in err


def test_hidden_bars_say_nothing(capsys):
    with bars_hidden(), progress_bar() as bar:
        bar.add_task("work", total=1, completed=1, note="")
        console.print("note: a")
    assert capsys.readouterr().err == "note: a\n"
    with progress_bar() as bar:
        bar.add_task("work", total=1, completed=1, note="")
    assert "work" in capsys.readouterr().err
