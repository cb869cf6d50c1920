"""Tables of results and their Markdown."""

from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table

from pointmcd.tables import first_few, result_table, to_markdown


def printed(table: Table, width: int = 80) -> str:
    console = Console(width=width, file=StringIO())
    console.print(table)
    return console.file.getvalue()


def test_markdown_has_title_aligned_columns_and_notes() -> None:
    rows = [["baseline", "71.2", "-"], ["distilled", "75.0", "+3.8"]]
    table = result_table(["run", "accuracy", "gain"], rows, "A title", ["in percent", "one seed"])
    assert to_markdown(table) == (
        "**A title**\n\n"
        "| run | accuracy | gain |\n"
        "| --- | ---: | ---: |\n"
        "| baseline | 71.2 | - |\n"
        "| distilled | 75.0 | +3.8 |\n\n"
        "- in percent\n"
        "- one seed\n"
    )


def test_markdown_of_a_bare_table() -> None:
    assert to_markdown(result_table(["a", "b"], [])) == "| a | b |\n| --- | ---: |\n"


def test_a_pipe_ends_no_cell() -> None:
    table = result_table(["a|b"], [["c|d"]])
    assert to_markdown(table) == "| a\\|b |\n| --- |\n| c\\|d |\n"


def test_brackets_are_no_markup() -> None:
    table = result_table(["run [red]", "n"], [["[/]", "[bold]"]], "[blue] title", ["[green] note"])
    for text in ("run [red]", "[/]", "[bold]", "[blue] title", "[green] note"):
        assert text in to_markdown(table)
        assert text in printed(table)


def test_the_terminal_shows_whole_texts_however_narrow() -> None:
    out = printed(result_table(["run", "accuracy"], [["a-long-name-of-a-run", "71.2"]]), 20)
    assert "…" not in out
    assert "71.2" in out


@pytest.mark.parametrize("title", ["", "A title"])
def test_numbers_stand_on_the_right(title: str) -> None:
    lines = printed(result_table(["run", "number"], [["a", "1"], ["bcd", "12345"]], title))
    (line,) = [line for line in lines.splitlines() if line.startswith("│ a ")]
    assert line.endswith("     1 │")


@pytest.mark.parametrize(
    ("count", "told"), [(0, ""), (1, "a"), (5, "a, b, c, d, e"), (6, "a, b, c, d, e, ...")]
)
def test_many_names_are_told_by_the_first(count: int, told: str) -> None:
    assert first_few("abcdef"[:count]) == told
