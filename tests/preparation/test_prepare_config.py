"""The settings of `prepare`: what they refuse, and that the command line is made from them."""

import importlib
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import pointmcd
from pointmcd.data.store import Store
from pointmcd.errors import ConfigError
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.prepare import PrepareResult, prepare
from pointmcd.views.rig import get_rig

PREPARE = importlib.import_module("pointmcd.preparation.prepare")
COMMAND = importlib.import_module("pointmcd.cli.prepare")


@pytest.fixture
def configs(monkeypatch):
    """The settings with which `pointmcd prepare` calls the library, which prepares nothing."""
    seen = []

    def prepare(config):
        seen.append(config)
        return PrepareResult(config.store, 0, [], [])

    monkeypatch.setattr(PREPARE, "prepare", prepare)
    monkeypatch.setattr(COMMAND, "_splits", lambda store, drawn: "")
    monkeypatch.setattr(COMMAND, "_classes", lambda config, store: "")
    return seen


def test_the_command_line_has_the_defaults_of_the_settings(cli, configs):
    assert cli("prepare", "meshes", "stores/mine")[0] == 0
    assert configs == [PrepareConfig("meshes", "stores/mine")]
    configs[0].check()


def test_the_command_line_sets_every_field(cli, configs):
    wanted = PrepareConfig(
        source="modelnet40:/data/set.zip",
        store="there",
        points=100,
        rig="mine.json",
        up="z",
        labels="labels.csv",
        columns="4,5,6",
        features=("normals", "colours"),
        variants=4,
        seed=3,
        workers=2,
        backend="dask",
        scheduler="tcp://a:1",
        shard_size=7,
        val_fraction=0.25,
        test_fraction=0.5,
        twins="drop",
        strict=True,
        overwrite=True,
    )
    default = PrepareConfig("modelnet40:/data/set.zip", "there")
    given = []
    for name in (field.name for field in fields(PrepareConfig)[2:]):
        value = getattr(wanted, name)
        assert value != getattr(default, name)
        words = value if isinstance(value, tuple) else [] if value is True else [value]
        given += [f"--{name.replace('_', '-')}", *words]
    assert cli("prepare", wanted.source, wanted.store, *given)[0] == 0
    assert configs == [wanted]


def test_text_and_path_mean_the_same():
    text = PrepareConfig("meshes", "store")
    assert text.store == Path("store")
    assert text == PrepareConfig("meshes", Path("store"))


def test_help_names_what_is_expected(cli):
    status, out, _ = cli("prepare", "--help")
    assert status == 0
    assert "SOURCE STORE" in out.replace("\n", " ")
    assert "(default: ring12)" in out


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"points": 1_000_001}, r"--points 1000001: must be within 1\.\.1000000"),
        ({"shard_size": 0}, r"--shard-size 0: must be within 1\.\.1024"),
        ({"val_fraction": float("nan")}, "--val-fraction nan: must be 0 or more, and below 1"),
        ({"test_fraction": 1}, "--test-fraction 1: must be 0 or more, and below 1"),
        ({"up": "w"}, "--up w: use one of x, y, z"),
        ({"workers": -1}, "--workers -1: must be 1 or more"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes, text):
    with pytest.raises(ConfigError, match=f"^{text}$"):
        PrepareConfig("meshes", "store", **changes).check()


def test_a_rig_of_ones_own_is_turned_by_up(few_meshes, quick, small_rig, tmp_path):
    rig = get_rig(small_rig)
    for up in (None, "z"):
        config = PrepareConfig(few_meshes, tmp_path / str(up), **{**quick, "rig": rig}, up=up)
        stored = Store(prepare(config).store).rig
        assert stored == {**rig.to_json(), "up": up or "y"}


def test_the_settings_import_no_heavy_package():
    code = "import sys, pointmcd; pointmcd.PrepareConfig; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pointmcd.preparation.config" in done.stdout.split()
    heavy = {"torch", "trimesh", "numba", "scipy", "embreex", "joblib"}
    assert heavy.isdisjoint(done.stdout.split())


def test_the_function_stays_one_when_its_room_is_imported():
    for _ in range(2):  # an import sets the room as an attribute of the package
        assert pointmcd.prepare is PREPARE.prepare
        assert pointmcd.PrepareConfig is PrepareConfig
