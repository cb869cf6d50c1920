import json
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from pointmcd.data.store import Store
from pointmcd.errors import ConfigError, PointMCDError, RunError
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import LOCK, Run, clear_run, create_run, lock_folder


@pytest.fixture
def config(tiny_store, tmp_path):
    kind = {"student": "dgcnn", "device": "cpu"}
    return TrainConfig(tiny_store, tmp_path / "run", teacher=None, seed=5, **kind)


@pytest.fixture
def run(config):
    return create_run(config, Store(config.store), None, 1234)


def test_what_a_new_run_says_of_itself(run, config):
    assert run.config == config
    meta = {
        "format": 4,
        "student": "dgcnn",
        "arm": "baseline",
        "num_classes": 3,
        "classes": ["bed", "chair", "lamp"],
        "store": str(config.store.resolve()),
        "store_fingerprint": Store(config.store).fingerprint,
        "teacher": None,
        "seed": 5,
        "device": "cpu",
        "shapes": {"train": 9, "val": 3, "test": 6},
        "parameters": 1234,
        "finished": False,
    }
    assert {key: run.meta[key] for key in meta} == meta
    assert run.meta["versions"].keys() == {"python", "torch", "numpy"}
    assert sorted(p.name for p in run.path.iterdir()) == ["config.yaml", "run.json"]


def test_the_folder_that_was_chosen_stands_in_the_config(tiny_store, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    config = TrainConfig(tiny_store, teacher=None)
    run = create_run(config, Store(tiny_store), None, 1)
    assert run.config.out == config.folder
    assert asdict(run.config) == asdict(config) | {"out": config.folder}


def test_finished_is_said_and_stays(run):
    assert not run.finished
    run.finish()
    assert run.finished
    assert Run(run.path).finished


def test_metrics_grow_line_by_line(run):
    assert run.metrics() == []
    for epoch in (1, 2, 3):
        run.append({"epoch": epoch, "task_loss": epoch / 3})
    assert run.metrics() == [{"epoch": e, "task_loss": e / 3} for e in (1, 2, 3)]
    assert len((run.path / "metrics.jsonl").read_text().splitlines()) == 3


def test_an_epoch_that_is_repeated_replaces_itself_and_all_after(run):
    for epoch in (1, 2, 3, 2):
        run.append({"epoch": epoch, "value": epoch})
    assert [m["epoch"] for m in run.metrics()] == [1, 2]
    run.append({"epoch": 2, "value": 7})
    assert run.metrics() == [{"epoch": 1, "value": 1}, {"epoch": 2, "value": 7}]


def test_a_folder_without_a_run(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "distilled").mkdir()
    (tmp_path / "distilled" / "run.json").write_text("{}")
    (tmp_path / "lite0").mkdir()
    (tmp_path / "lite0" / "teacher.json").write_text("{}")
    teachers = tmp_path / "store" / "teachers"
    (teachers / "half").mkdir(parents=True)
    (teachers.parent / "store.json").write_text("{}")
    (teachers / ".lite0-x.lock").touch()
    unfinished = "is not a run folder; this teacher is not finished: run the same pointmcd teach"
    for name, text in (
        ("store/teachers/lite0-x", f"lite0-x: {unfinished} again"),
        ("store/teachers/half", f"half: {unfinished} again"),
        (
            "store/teachers/lite0",
            f"lite0: is not a run folder (it does not exist); make one with pointmcd teach"
            f" {teachers.parent}, and --task features where nothing is labelled",
        ),
        ("notes", "notes: is not a run folder (no run.json); make one with pointmcd train"),
        ("other/one", "one: is not a run folder (it does not exist); make one with pointmcd train"),
        ("distiled", f"(it does not exist); did you mean {tmp_path / 'distilled'}?"),
        ("lite0", "lite0: is not a run folder but a teacher's; give a run"),
    ):
        with pytest.raises(RunError) as caught:
            Run(tmp_path / name)
        assert str(caught.value).endswith(text)


@pytest.mark.parametrize("content", ['{"format": 1}', "{}", "[]", "3"])
def test_another_format(run, content):
    (run.path / "run.json").write_text(content)
    with pytest.raises(RunError, match=r"run\.json: run format (1|3|None), this version reads 4"):
        Run(run.path)


def test_a_damaged_run_file(run):
    (run.path / "run.json").write_text('{"format"')
    with pytest.raises(PointMCDError, match=r"run\.json: is not readable JSON"):
        Run(run.path)


@pytest.mark.parametrize("content", [b"a: [", b"- 1", b"", b"\xff\xfe\xfa", b"a: b: c", None])
def test_a_damaged_config(run, content):
    path = run.path / "config.yaml"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        RunError, match=r"config\.yaml: (cannot be read|holds no settings).*; train again"
    ):
        _ = run.config


def test_a_config_of_another_version(run):
    path = run.path / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"colour": 3}))
    with pytest.raises(ConfigError, match="config field colour"):
        _ = run.config


@pytest.mark.parametrize("content", [b"\n\n{", b'{"epoch": 1}\n{"epo\n{"epoch": 3}\n', b"\xff\n{}"])
def test_damaged_metrics(run, content):
    (run.path / "metrics.jsonl").write_bytes(content)
    with pytest.raises(RunError, match=r"metrics\.jsonl: line \d is not JSON; train again"):
        run.metrics()


@pytest.mark.parametrize("end", [b'{"epo', b"\xff", b"{"])
def test_a_last_line_that_was_cut_short_is_dropped(run, end):
    (run.path / "metrics.jsonl").write_bytes(b'{"epoch": 1}\n' + end)
    assert run.metrics() == [{"epoch": 1}]
    run.append({"epoch": 2})
    assert run.metrics() == [{"epoch": 1}, {"epoch": 2}]


def test_a_run_of_a_teacher_names_it(taught_store, tmp_path):
    teacher = json.loads((taught_store / "teachers/lite0/teacher.json").read_text())
    config = TrainConfig(taught_store, tmp_path / "run")
    run = create_run(config, Store(taught_store), teacher, 1)
    assert run.meta["teacher"]["fingerprint"] == teacher["fingerprint"]
    assert run.meta["arm"] == "distilled"


def test_an_onnx_file_is_called_one(tmp_path):
    (tmp_path / "a.onnx").touch()
    with pytest.raises(RunError, match="ONNX file, for ONNX Runtime; give the run that it was exp"):
        Run(tmp_path / "a.onnx")


def test_a_folder_is_locked_while_it_is_trained_in(tmp_path):
    folder = tmp_path / "runs" / "a"
    with lock_folder(folder):
        assert (folder / LOCK).exists()
        with pytest.raises(RunError, match=r"runs/a: another process trains in it; wait for its"):
            lock_folder(folder)
        (folder / "run.json").touch()
    assert [path.name for path in folder.iterdir()] == ["run.json"]
    with lock_folder(folder):
        pass


def test_a_run_that_is_replaced_stays_locked(tmp_path):
    with lock_folder(tmp_path):
        for name in ("run.json", "metrics.jsonl"):
            (tmp_path / name).touch()
        clear_run(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
        with pytest.raises(RunError, match="another process trains in it"):
            lock_folder(tmp_path)


def test_a_lock_that_cannot_be_removed_is_freed(tmp_path, monkeypatch):
    """As on Windows, where an open file cannot be."""

    def refuse(path, missing_ok=False):
        raise PermissionError(13, "is open", str(path))

    with monkeypatch.context() as windows, lock_folder(tmp_path):
        windows.setattr(Path, "unlink", refuse)
    with lock_folder(tmp_path):
        pass


def test_the_current_folder_can_be_locked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with lock_folder(Path()):
        pass
    assert tmp_path.exists()


def test_a_lock_leaves_no_folder_behind(tmp_path):
    with pytest.raises(KeyError), lock_folder(tmp_path / "runs" / "a"):
        raise KeyError
    assert not (tmp_path / "runs" / "a").exists()


def test_where_no_lock_can_be_had_writing_tells_why(tmp_path):
    (tmp_path / "file").touch()
    with lock_folder(tmp_path / "file"), lock_folder(tmp_path / "file" / "below"):
        assert (tmp_path / "file").is_file()
