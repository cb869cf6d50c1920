"""Common ground of all settings: paths as text, choices."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
from tyro.conf import Positional

from pointmcd.errors import ConfigError
from pointmcd.settings import check_choices, convert_paths


@dataclass(frozen=True)
class Toy:
    store: Positional[Path]
    source: Annotated[str | Path, "a set or a path"] = "modelnet40:/data"
    out: Path | None = None
    name: str | None = None
    axis: Literal["x", "y"] | None = None
    pool_kind: Literal["max", "mean"] = "max"

    def __post_init__(self) -> None:
        convert_paths(self)


def test_text_becomes_a_path_only_where_nothing_but_a_path_is_meant() -> None:
    text = Toy("stores/mine", "a:b", "runs", "out")  # type: ignore[arg-type]
    assert text == Toy(Path("stores/mine"), "a:b", Path("runs"), "out")
    assert isinstance(text.source, str)
    assert isinstance(text.name, str)
    assert Toy(Path("here")).out is None


def test_values_of_the_choice_pass() -> None:
    check_choices(Toy(Path(), axis="x", pool_kind="mean"))
    check_choices(Toy(Path()))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"axis": "z"}, "--axis z: use one of x, y"),
        ({"axis": ["x"]}, r"--axis \['x'\]: use one of x, y"),
        ({"pool_kind": "sum"}, "--pool-kind sum: use one of max, mean"),
        ({"pool_kind": None}, "--pool-kind None: use one of max, mean"),
    ],
)
def test_another_value_is_refused_by_the_name_of_the_option(changes, text) -> None:
    with pytest.raises(ConfigError, match=f"^{text}$"):
        check_choices(Toy(Path(), **changes))
