"""Workers of a cluster: their tasks, and refusals; dask itself: test_prepare_dask.py."""

import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest

from pointmcd.datasets.folder import list_shapes
from pointmcd.datasets.tree import TreeFile
from pointmcd.errors import ConfigError, ShapeError, StoreError
from pointmcd.files import read_json
from pointmcd.preparation import backends
from pointmcd.preparation.backends import _write_elsewhere
from pointmcd.preparation.config import PrepareConfig
from pointmcd.preparation.plan import with_splits
from pointmcd.preparation.prepare import prepare
from pointmcd.preparation.shards import ShardTask
from pointmcd.views.rig import get_rig


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"backend": "threads"}, "--backend threads: use one of processes, dask, ray"),
        ({"scheduler": "tcp://a:1"}, "--scheduler tcp://a:1: needs --backend dask or ray"),
        ({"backend": "dask", "scheduler": "tcp://a:1", "workers": 2}, "--workers 2: the workers"),
        ({"backend": "dask", "workers": 0}, "--workers 0: must be 1 or more"),
    ],
)
def test_options_that_do_not_fit(few_meshes, tmp_path, options, text):
    with pytest.raises(ConfigError, match=text):
        prepare(PrepareConfig(few_meshes, tmp_path / "store", **options))


@pytest.mark.parametrize("extra", ["dask", "ray"])
def test_absent_extra(few_meshes, quick, tmp_path, monkeypatch, extra):
    module = {"dask": "distributed", "ray": "ray"}[extra]
    monkeypatch.setitem(sys.modules, module, None)
    text = rf"--backend {extra}: needs {module}; pip install 'pointmcd\[{extra}\]'"
    with pytest.raises(ConfigError, match=text):
        prepare(PrepareConfig(few_meshes, tmp_path / "store", **quick, backend=extra))
    assert not (tmp_path / "store").exists()


@pytest.fixture
def task(few_meshes, small_rig, tmp_path):
    """A shard of one shape, of a store whose plan this machine sees."""
    sources = list_shapes(few_meshes)[:1]
    (tmp_path / "plan.json").touch()
    config = PrepareConfig(few_meshes, tmp_path, points=32)
    folder = tmp_path / "shards" / "00000"
    return ShardTask(folder, with_splits(sources, 0, 0), get_rig(small_rig), config)


def test_a_shard_is_written_once(task):
    assert _write_elsewhere(task, backends.__version__) == 1
    marker = task.folder / "points.npy"
    marker.write_bytes(b"the first")
    assert _write_elsewhere(task, backends.__version__) == 1
    assert marker.read_bytes() == b"the first"


def test_a_worker_that_does_not_see_the_store(task, tmp_path):
    (tmp_path / "plan.json").unlink()
    with pytest.raises(StoreError, match=r"plan\.json: not seen by the worker on .*every machine"):
        _write_elsewhere(task, backends.__version__)


def test_a_shape_that_a_worker_does_not_see_is_not_taken_for_a_bad_one(task):
    (shape,) = task.items
    away = replace(shape, file=TreeFile(shape.file.path.with_name("away.off"), "away.off"))
    with pytest.raises(StoreError, match=r"away\.off: not seen by the worker on"):
        _write_elsewhere(replace(task, items=(away,)), backends.__version__)
    assert not task.folder.exists()


def test_a_broken_link_is_a_bad_shape_and_seen(task, tmp_path):
    (shape,) = task.items
    (tmp_path / "link.off").symlink_to("nowhere")
    broken = replace(shape, file=TreeFile(tmp_path / "link.off", "link.off"))
    assert _write_elsewhere(replace(task, items=(broken,)), backends.__version__) == 1
    assert len(read_json(task.folder / "shapes.json")["skipped"]) == 1


def test_a_worker_of_another_version(task):
    with pytest.raises(StoreError, match=r"has pointmcd .*, not 9\.9; install the same"):
        _write_elsewhere(task, "9.9")


class RayTaskError(Exception):
    def __init__(self, cause):
        self.cause = cause


class RayError(Exception):
    pass


class FakeRay(ModuleType):
    """The part of ray that is used, in one process; a task runs when it is waited for."""

    exceptions = SimpleNamespace(RayTaskError=RayTaskError, RayError=RayError)

    def __init__(self, fault=None):
        super().__init__("ray")
        self.fault, self.address = fault, None

    def is_initialized(self):
        return self.address is not None

    def init(self, address, **options):
        if address == "nowhere":
            raise ValueError("Invalid address\nand more")
        assert options == ({} if address else {"num_cpus": 1})
        self.address = address or "local"

    def shutdown(self):
        self.address = None

    def remote(self, function):
        return SimpleNamespace(remote=lambda *arguments: (function, arguments))

    def wait(self, waiting):
        assert self.is_initialized()
        return waiting[-1:], waiting[:-1]

    def get(self, tasks):
        if self.fault is not None:
            raise self.fault
        return [function(*arguments) for function, arguments in tasks]


@pytest.mark.parametrize("address", [None, "here:6379"])
def test_ray_gives_the_same_store(few_meshes, quick, files_of, tmp_path, monkeypatch, address):
    here = prepare(PrepareConfig(few_meshes, tmp_path / "here", **quick)).store
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    options = {**quick, "workers": 1 if address is None else None, "scheduler": address}
    there = prepare(PrepareConfig(few_meshes, tmp_path / "there", backend="ray", **options)).store
    assert files_of(here) == files_of(there)
    assert not ray.is_initialized()


def test_a_ray_that_the_caller_began_is_left_running(few_meshes, quick, tmp_path, monkeypatch):
    ray = FakeRay()
    ray.address = "before"
    monkeypatch.setitem(sys.modules, "ray", ray)
    assert prepare(PrepareConfig(few_meshes, tmp_path / "store", backend="ray", **quick)).done == 14
    assert ray.address == "before"


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        (RayTaskError(ShapeError("a.off: bad")), ShapeError, r"^a\.off: bad$"),
        (RayError("a\nb"), StoreError, "a worker was killed, out of memory.*more memory$"),
    ],
)
def test_faults_of_ray_are_one_line(few_meshes, quick, tmp_path, monkeypatch, fault, kind, text):
    ray = FakeRay(fault)
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(kind, match=text):
        prepare(PrepareConfig(few_meshes, tmp_path / "store", backend="ray", **quick))
    assert not ray.is_initialized()


def test_wrong_address_of_ray(few_meshes, quick, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    options = {**quick, "workers": None, "backend": "ray", "scheduler": "nowhere"}
    with pytest.raises(
        ConfigError, match=r"--scheduler nowhere: no ray cluster.*\(Invalid address\)"
    ):
        prepare(PrepareConfig(few_meshes, tmp_path / "store", **options))
