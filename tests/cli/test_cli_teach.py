"""`pointmcd teach`: what it prints and what it refuses."""

import json

from store_copies import copy_store

CPU = ["--device", "cpu"]


def test_teacher_that_nobody_knows(refused, tiny_store):
    assert "lite9" in refused("teach", tiny_store, "--teacher", "lite9")
    assert not (tiny_store / "teachers").exists()


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
