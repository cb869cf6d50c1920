"""What the report says of settings: no folder of this machine."""

from pathlib import Path

from pointmcd.report.settings import _teacher, _without_folders


def test_absolute_paths_are_names():
    home = Path.home() / "secret"
    assert _without_folders(str(home / "store")) == "store"
    assert _without_folders([str(home / "more"), "near"]) == "['more', 'near']"
    assert _without_folders(0.5) == "0.5"
    told = _teacher(
        {"name": "a", "weights_file": str(home / "w.pt"), "command": f"x --labels {home}"}
    )
    assert told == "name a, weights_file w.pt"
    assert _teacher(None) == ""
