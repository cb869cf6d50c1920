"""Every study of benchmarks/: its command, its page, and its runs, which differ as they say."""

import os
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.corruptions import __main__ as corruptions
from benchmarks.kept_points.__main__ import lap
from benchmarks.kept_points.__main__ import page as kept_page
from benchmarks.psb25 import __main__ as psb25
from benchmarks.psb_parts17 import __main__ as psb_parts17
from benchmarks.shared.guesses import cosine, guesses, l1
from benchmarks.shared.page import ROOT, machine, table, write
from benchmarks.shared.trials import VARIANTS, share_of, write_page
from benchmarks.unsupervised import runs as unsupervised
from pointmcd.datasets.furniture import furniture10

STUDIES = sorted(path.parent for path in (ROOT / "benchmarks").glob("*/__main__.py"))


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.name)
def test_a_study_runs_by_the_command_that_its_page_names(study):
    command = f"python -m benchmarks.{study.name}"
    described = import_module(f"benchmarks.{study.name}.__main__").__doc__
    assert f"\n    {command}" in described
    page = (study / "README.md").read_text(encoding="utf-8").split("\n\n")
    assert page[0].startswith("# ")
    assert command in page[1] or ("make bench" in page[1] and "`make bench`" in described)


@pytest.mark.parametrize("study", [psb25, psb_parts17])
def test_runs_of_a_trial_differ_in_their_variant_alone(study):
    base = study.settings(Path("work"))
    for trial in study.TRIALS:
        configs = list(trial.configs(base, Path("work")))
        assert len({config.folder for config in configs}) == len(configs)
        assert len(configs) == len(trial.seeds) * len(trial.variants)
        common = {"student": trial.student, "epochs": trial.epochs, "rotation": trial.rotation}
        for number, config in enumerate(configs):
            config.check()
            variant = trial.variants[number % len(trial.variants)]
            own = {"seed": config.seed, "out": config.out}
            assert asdict(config) == asdict(base) | common | own | VARIANTS[variant]


def test_parts_were_searched_with_runs_that_are_all_different():
    searched = psb_parts17.search(Path("work"))
    decisive = [str(config.decisive()) for config in searched.values()]
    assert len(set(decisive)) == len(searched) == len(psb_parts17.SEARCH)
    for config in searched.values():
        config.check()


@pytest.mark.parametrize("student", unsupervised.SEEDS)
def test_fine_tuning_differs_from_scratch_in_the_first_weights_alone(student):
    pretrained = unsupervised.pretraining(Path("work"), student, 0)
    pretrained.check()
    for share in unsupervised.SHARES:
        scratch, finetuned = (
            unsupervised.training(Path("work"), student, variant, share, 0)
            for variant in unsupervised.VARIANTS
        )
        finetuned.check()
        assert scratch.decisive() == finetuned.decisive()
        assert (scratch.init, finetuned.init) == (None, pretrained.folder)


def test_corrupted_variants_share_the_runs_of_unsupervised():
    for variant in ("scratch", "finetuned"):
        run = corruptions.config(Path("work"), variant, 0)
        assert run == unsupervised.training(Path("work"), corruptions.STUDENT, variant, 1.0, 0)
    assert corruptions.config(Path("work"), "distilled", 0).teacher == "lite0"


def test_meshes_are_pooled_without_their_classes(tmp_path):
    furniture = furniture10()
    unsupervised.pool({furniture: ("test",)}, tmp_path)
    unsupervised.pool({furniture: ("test",)}, tmp_path)  # once more, after an interruption
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 66
    assert all(name.startswith("furniture10-") and name.endswith(".off") for name in names)


def test_guesses_of_growing_knowledge():
    targets = np.array([0, 1, 5], dtype=np.float32).reshape(3, 1, 1)
    found = guesses(targets, np.array([0, 0, 1]), l1)
    assert found == pytest.approx([5 / 3, 1 / 3, 0])


def test_cosine_of_guesses():
    targets = np.array([[[1, 0], [0, 3]], [[2, 0], [5, 0]]], dtype=np.float32)
    everything, of_class, of_shape = guesses(targets, np.array([7, 9]), cosine)
    assert everything == pytest.approx(1 - (3 * 3 + 1) / (4 * 10**0.5))
    assert of_class == of_shape == pytest.approx((1 - 0.5**0.5) / 2)


def test_shares_cover_all_runs_once():
    assert sorted([*share_of(range(7), "0/2"), *share_of(range(7), "1/2")]) == list(range(7))


def test_sections_that_were_not_run_stay(tmp_path):
    page, trials = tmp_path / "page.md", psb25.TRIALS[:2]
    write(page, ["# old", f"## {trials[1].title}", "kept", "## of no trial", "gone"])
    write_page(page, ["# new"], trials, tmp_path / "work", "overall_accuracy")
    assert page.read_text() == f"# new\n\n## {trials[1].title}\n\nkept\n"


def test_the_machine_is_looked_at(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 77)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "77 cores, no GPU, " in machine()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A Card")
    found = machine("numpy")
    assert "77 cores, A Card, " in found
    assert f"torch {torch.__version__}, numpy {np.__version__}." in found


def test_table():
    lines = table(["a", "b", "c"], [("x", 1, 2.5)], left=2).splitlines()
    assert lines == ["| a | b | c |", "| --- | --- | ---: |", "| x | 1 | 2.5 |"]


def test_kept_points():
    found = lap(64, batch=2, repeats=1)
    assert found.ours > 0
    assert found.yardstick > 0
    assert kept_page([found])[-1].splitlines()[2].startswith("| 64 points | ")
