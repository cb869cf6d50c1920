"""Probe scores as texts."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from pointmcd.metrics.statistics import Spread
from pointmcd.probing.scores import (
    EPISODES,
    PROBE_COLUMNS,
    PROBE_NOTES,
    ProbeRow,
    ProbeScores,
    probe_cells,
    probe_table,
)
from pointmcd.tables import to_markdown

KEYS = [f"{ways}w{shots}s" for ways, shots in EPISODES]


USUAL = Spread(0.7, 0.05)


def scores(svm=0.5, spread=USUAL, retrieval_map=0.25):
    few_shot = dict.fromkeys(KEYS, spread)
    return ProbeScores(svm, svm - 0.1, 0.01, svm + 0.1, 3, few_shot, retrieval_map, 100)


def row(*of_seeds, name="a run"):
    return ProbeRow(name, of_seeds)


def cells(found):
    """The texts by their column."""
    return dict(zip(PROBE_COLUMNS, probe_cells(found)[1:], strict=True))


def printed(*rows, width=200):
    console = Console(file=io.StringIO(), width=width)
    console.print(probe_table(rows, "a title"))
    return console.file.getvalue()


def test_one_seed():
    found = cells(row(scores(svm=0.51239)))
    assert probe_cells(row(scores(), name="lite0"))[0] == "lite0"
    assert (found["SVM"], found["by class"], found["kNN"]) == ("51.2", "41.2", "61.2")
    assert found["mAP"] == "25.0"
    assert [found[key] for key in KEYS] == ["70.0 ± 5.0"] * 4
    assert found["CV"] == "-"
    assert cells(row(replace(scores(), svm_cross_validated=0.625)))["CV"] == "62.5"


def test_the_accuracy_has_an_interval_over_shapes():
    out = printed(row(*(scores(svm) for svm in (0.4, 0.6))))
    assert "95% interval of SVM over shapes: a run [40.4, 59.6]." in out  # Wilson's, of 50 of 100


def test_several_seeds():
    found = cells(row(*(scores(svm, Spread(svm, svm / 10), svm) for svm in (0.4, 0.5, 0.6))))
    assert found["SVM"] == "50.0 ± 10.0"
    assert found["mAP"] == "50.0 ± 10.0"
    # Over seeds, the deviation over trials stays what the column is about.
    assert found["5w10s"] == "50.0 ± 5.0"


def test_all_is_right_or_all_is_wrong():
    assert cells(row(scores(svm=0.9)))["kNN"] == "100.0"
    assert cells(row(scores(retrieval_map=0.0)))["mAP"] == "0.0"
    assert cells(row(scores(spread=Spread(0.0, 0.0))))["5w20s"] == "0.0 ± 0.0"
    assert cells(row(scores(), scores()))["SVM"] == "50.0 ± 0.0"


def test_too_few_classes_for_some_episodes():
    some = scores()
    some.few_shot.update({"10w10s": None, "10w20s": None})
    found = cells(row(some))
    assert [found[key] for key in KEYS] == ["70.0 ± 5.0", "70.0 ± 5.0", "-", "-"]


@pytest.mark.parametrize("seeds", [1, 3])
def test_what_cannot_be_measured_is_a_dash(seeds):
    found = cells(row(*[scores(spread=None, retrieval_map=None)] * seeds))
    assert {found[key] for key in (*KEYS, "mAP")} == {"-"}


def test_one_trial_has_no_deviation():
    assert cells(row(scores(spread=Spread(0.5, None))))["5w10s"].startswith("50.0")


def test_columns_are_the_episodes_in_their_order():
    assert [column for column in PROBE_COLUMNS if column in KEYS] == KEYS
    different = scores()
    different.few_shot.clear()  # as read from JSON, sorted by name
    different.few_shot.update({k: Spread(KEYS.index(k) / 10, 0.0) for k in sorted(KEYS)})
    found = cells(row(different))
    assert [found[key] for key in KEYS] == [f"{10 * i}.0 ± 0.0" for i in range(4)]


def test_markdown_is_a_table_of_equal_rows():
    rows = [row(scores()), row(scores(), scores(), name="other")]
    *lines, _, interval, notes = to_markdown(probe_table(rows)).splitlines()
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {11}
    assert all(line.startswith("| ") and line.endswith(" |") for line in lines)
    assert set(lines[1].replace("|", " ").split()) == {"---", "---:"}
    assert [cell.strip() for cell in lines[0].split("|")[1:-1]] == ["features", *PROBE_COLUMNS]
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["a run", "other"]
    assert notes == f"- {PROBE_NOTES}"
    assert interval.startswith("- 95% interval of SVM over shapes: a run [")


def test_brackets_in_a_name_are_no_markup():
    assert "run [red] one" in to_markdown(probe_table([row(scores(), name="run [red] one")]))
    assert "run [red] one" in printed(row(scores(), name="run [red] one"))
    assert "[/]" in printed(row(scores(), name="[/]"))


def test_the_printed_table_shows_every_cell_and_the_notes():
    found = row(scores(0.3), scores(0.4), name="pointnet, random weights")
    out = printed(found)
    assert "a title" in out
    (line,) = [line for line in out.splitlines() if "random weights" in line and "│" in line]
    assert [cell.strip() for cell in line.split("│")[1:-1]] == probe_cells(found)
    assert all(column in out for column in PROBE_COLUMNS)
    assert PROBE_NOTES.split(";")[0].split()[-1] in out
    assert "ddof 1" in out
