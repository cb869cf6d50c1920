"""What `pointmcd doctor` says of an installation."""

import importlib
import importlib.metadata
import platform
import sys

import pytest

import pointmcd
from pointmcd.cli import doctor


@pytest.fixture
def told(cli):
    """A caller that returns the rows of the report by their names."""

    def call():
        status, out, err = cli("doctor")
        assert (status, err) == (0, "")
        rows = (line.split(None, 1) for line in out.splitlines() if line.startswith("  "))
        return {row[0]: row[1] for row in rows}

    return call


def test_versions_devices_and_caches(told):
    import torch

    threads = torch.get_num_threads()  # numba, asked for its own, may lift torch's
    rows = told()
    assert rows["pointmcd"].startswith(pointmcd.__version__)
    assert rows["Python"].startswith(platform.python_version())
    assert rows["torch"]  # of the versions, or of the threads
    assert str(threads) in rows["torch"]
    assert rows["oneDNN"] == "works"
    assert "writable" in rows["numba"]


def test_an_extra_that_lacks_a_package_is_told_with_its_pip_line(told, monkeypatch):
    known = importlib.metadata.version

    def version(name):
        if name in ("dask", "distributed"):
            raise importlib.metadata.PackageNotFoundError
        return "1.2.3" if name == "h5py" else known(name)

    monkeypatch.setattr(doctor, "version", version)
    rows = told()
    assert rows["dask"] == "pip install 'pointmcd[dask]' (lacks dask, distributed)"
    assert rows["hdf5"] == "h5py 1.2.3"


def test_an_installed_package_that_cannot_be_imported_is_told(told, monkeypatch):
    def broken(name):
        if name == "h5py":
            raise RuntimeError("operator nms\ndoes not exist")
        return importlib.import_module(name)

    monkeypatch.setattr(doctor, "import_module", broken)
    rows = told()
    assert rows["hdf5"].endswith(" (cannot be imported: operator nms)")
    assert "cannot" not in rows["hub"]


def test_environment_variables(told, monkeypatch):
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "1")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    rows = told()
    assert rows["THP_MEM_ALLOC_ENABLE"] == "1"
    assert rows["OMP_NUM_THREADS"].startswith("not set")


def test_a_broken_torch_and_an_uninstalled_tree_do_not_stop_it(told, monkeypatch):
    def requires(name):
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(doctor, "requires", requires)
    monkeypatch.setitem(sys.modules, "torch", None)
    rows = told()
    assert "cannot be imported" in rows["torch"]
    assert "onnx" not in rows


def test_a_cache_that_cannot_be_written(told, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba.core.registry", None)
    assert "NUMBA_CACHE_DIR" in told()["numba"]
