import shutil

import pytest
from hard_names import HARD_NAMES
from store_copies import edit_shapes


@pytest.fixture
def hard_store(taught_store, tmp_path):
    """A store whose shapes have no labels, and the first of which have hard names."""
    store = tmp_path / "hard </title> store"
    shutil.copytree(taught_store, store, ignore=shutil.ignore_patterns("teachers"))
    names = iter(HARD_NAMES)

    def change(record):
        record["name"] = next(names, record["name"])
        record |= {"class": None, "split": "train"}

    edit_shapes(store, change)
    return store
