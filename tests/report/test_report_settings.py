"""What the report says of settings: no folder of this machine."""

from pathlib import Path

from pointmcd.report.settings import _scores, _teacher, _without_folders


def test_absolute_paths_are_names():
    home = Path.home() / "secret"
    assert _without_folders(str(home / "store")) == "store"
    assert _without_folders([str(home / "more"), "near"]) == "['more', 'near']"
    assert _without_folders(0.5) == "0.5"


def test_a_teacher_in_words():
    made = {"name": "lite0-0.1-s0", "command": f"x --labels {Path.home()}", "steps": 1500}
    settings = {"teacher": "lite0", "finetune": False}
    scores = {"val_accuracy": 0.75, "val_view_accuracy": 0.7, "val_shapes": 20}
    whole = made | scores | {"settings": settings, "task": "classification", "licence": "MIT"}
    score = _scores(whole)
    assert score.startswith("validation accuracy 75.0% (95% interval 53.1% to 88.8%) on 20 shapes")
    assert _teacher(whole) == f"lite0-0.1-s0 (encoder lite0, 1,500 steps, {score}, weights MIT)"
    tuned = {"name": "a", "settings": settings | {"finetune": True}, "task": "gone:Lesson"}
    assert _teacher(tuned) == "a (encoder lite0, fine-tuned)"
    assert _teacher({"name": "a"} | scores) == "a"
    assert _teacher(None) == ""
