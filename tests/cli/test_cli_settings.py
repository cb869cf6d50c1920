"""A class of settings on the command line: flat for the library, in two groups for the reader."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import tyro

from pointmcd.cli.settings import SETTINGS
from pointmcd.options import Advanced, Flag, metavar
from pointmcd.teachers.config import TeachConfig


@dataclass(frozen=True)
class Wash:
    """How to wash."""

    item: tyro.conf.Positional[Annotated[Path, metavar("ITEM")]]
    """What to
    wash."""
    spin: Advanced[float] = 0.5
    """Turns."""
    degrees: int = 40
    """Of the water."""
    drawer: Annotated[Path | None, metavar("DRAWER")] = None
    """Where it goes."""
    gently: Advanced[Flag] = False
    """Slowly."""


def wash(config: Annotated[Wash, tyro.conf.arg(name="")]) -> Wash:
    """Wash."""
    return config


def parse(*arguments: str, command=wash):
    return tyro.cli(
        command, args=arguments, registry=SETTINGS, config=(tyro.conf.FlagCreatePairsOff,)
    )


@pytest.fixture
def page(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit):
        parse("--help")
    return capsys.readouterr().out


def test_an_advanced_setting_is_an_option_like_any_other():
    given = parse("shirt", "--gently", "--spin", "0.25", "--degrees", "30", "--drawer", "top")
    assert given == Wash(Path("shirt"), 0.25, 30, Path("top"), True)
    assert parse("shirt") == Wash(Path("shirt"))


def test_a_default_of_the_command_reaches_both_groups():
    def rinse(config: Annotated[Wash, tyro.conf.arg(name="")] = Wash(tyro.MISSING, 2.0, 20)):
        return config

    assert parse("shirt", command=rinse) == Wash(Path("shirt"), 2.0, 20)


def test_help_lists_advanced_settings_last(page):
    usual, advanced = page.split(" advanced options ")
    usual = usual.split(" options ")[-1]
    assert all(f"--{name}" in usual for name in ("degrees INT", "drawer DRAWER"))
    assert all(f"--{name}" in advanced for name in ("spin FLOAT", "gently"))
    assert not any(f"--{name}" in usual for name in ("spin", "gently"))


def test_help_names_values_and_spares_empty_defaults(page):
    assert "--drawer DRAWER" in page
    assert "ITEM" in page
    assert "What to wash." in page
    assert "(default: 40)" in page
    assert not any(f"(default: {empty}" in page for empty in ("None", "False", ")"))


def test_settings_without_advanced_ones_have_one_group():
    @dataclass(frozen=True)
    class Bare:
        """Nothing advanced."""

        count: int = 1
        """How many."""

    def run(config: Annotated[Bare, tyro.conf.arg(name="")]) -> Bare:
        """Run."""
        return config

    assert parse("--count", "3", command=run) == Bare(3)


def test_the_library_sees_one_flat_class():
    assert TeachConfig(Path("store"), final_lr=1e-4).final_lr == 1e-4
