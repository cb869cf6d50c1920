import os
import shutil
from pathlib import Path

import pytest
from hard_names import HARD_NAMES
from store_copies import edit_shapes


def harden(source: Path, target: Path) -> Path:
    """Copy a store without its labels; its first shapes get hard names."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("teachers"))
    names = iter(HARD_NAMES)

    def change(record):
        record["name"] = next(names, record["name"])
        record |= {"class": None, "split": "train"}

    edit_shapes(target, change)
    return target


@pytest.fixture
def hard_store(taught_store, tmp_path):
    """A store of 18 shapes without labels, some with hard names, whose views are encoded."""
    name = "hard </title> store" if os.name == "posix" else "hard store"
    return harden(taught_store, tmp_path / name)


@pytest.fixture
def plain_store(tiny_store, tmp_path):
    """The same without encoded views."""
    return harden(tiny_store, tmp_path / "store")
