"""What training to label parts refuses, and the settings that are its own."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from store_copies import copy_store, edit_json

from pointmcd.errors import RunError, StoreError
from pointmcd.training.config import TrainConfig
from pointmcd.training.run import Run
from pointmcd.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def parts(make, parts_store):
    """Make configs of quick baselines that label parts."""

    def config(out, store=parts_store, **options):
        return make(out, store, **({"task": "segmentation"} | options))

    return config


def test_an_absent_teacher_names_its_command(parts, parts_store):
    config = parts("a", parts_store, teacher="lite0")
    with pytest.raises(StoreError, match="no teacher lite0-segmentation") as told:
        train(config)
    command = f"pointmcd teach {parts_store} --teacher lite0 --task segmentation"
    assert str(told.value).endswith(command)
    assert not config.out.exists()


@pytest.mark.parametrize("teacher", [None, "lite0"])
def test_a_store_without_parts(parts, taught_store, teacher):
    config = parts("a", taught_store, teacher=teacher)
    with pytest.raises(StoreError, match=r"has no part labels; .*parts.json") as told:
        train(config)
    assert "\n" not in str(told.value)
    assert not config.out.exists()


def test_a_store_of_a_single_part(parts, parts_store, tmp_path):
    store = copy_store(parts_store, tmp_path / "store")
    one = {"classes": ["bed"], "parts": {"bed": ["all"]}}
    edit_json(store / "store.json", lambda meta: meta.update(one))
    with pytest.raises(StoreError, match="one part in all; segmentation needs at least two"):
        train(parts("a", store))


def test_a_store_whose_parts_have_changed(parts, parts_store, content, tmp_path):
    store = copy_store(parts_store, tmp_path / "store")
    folder = train(parts("a", store))
    before = content(folder)
    edit_json(store / "store.json", lambda meta: meta["parts"].update(bed=["low", "pillow"]))
    with pytest.raises(RunError, match="runs/a: holds a run that differs in store"):
        train(parts("a", store))
    assert content(folder) == before


def test_a_run_of_the_other_task(parts, make, parts_store):
    train(make("a", parts_store, epochs=1))
    with pytest.raises(RunError, match="runs/a: holds a run that differs in task"):
        train(parts("a", epochs=1))


def test_a_run_that_lost_its_parts(parts):
    folder = train(parts("a", epochs=1))
    meta = json.loads((folder / "run.json").read_text())
    del meta["parts"]
    (folder / "run.json").write_text(json.dumps(meta))
    with pytest.raises(RunError, match=r"run.json: lacks parts; train again"):
        Run(folder)


def test_runs_of_parts_have_folders_of_their_own():
    plain = TrainConfig(Path("/data/store"))
    assert replace(plain, task="segmentation").folder.name == (
        "store-segmentation-pointnet-distilled-s0"
    )
