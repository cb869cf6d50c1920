"""What the report says of settings: no folder of this machine."""

from pathlib import Path

from pointmcd.report.settings import _scores, _teacher, _without_folders


def test_absolute_paths_are_names():
    home = Path.home() / "secret"
    assert _without_folders(str(home / "store")) == "store"
    assert _without_folders([str(home / "more"), "near"]) == "['more', 'near']"
    assert _without_folders(0.5) == "0.5"
    assert _without_folders("module:/home/me/my code/mine.py:Net") == "module:mine.py:Net"
    assert _without_folders("C:\\Users\\me\\mine.py:Net") == "mine.py:Net"
    for kept in ("runs/a/b", "hf-hub:me/net", "../x/y", "3/4", "timm:vit"):
        assert _without_folders(kept) == kept


def test_a_teacher_in_words():
    made = {"name": "lite0-0.1-s0", "command": f"x --labels {Path.home()}", "steps": 1500}
    settings = {"teacher": "lite0", "finetune": False}
    scores = {"val_accuracy": 0.75, "val_view_accuracy": 0.7, "val_shapes": 20}
    whole = made | scores | {"settings": settings, "task": "classification", "licence": "MIT"}
    score = _scores(whole)
    assert score.startswith("validation accuracy 75.0% (95% interval 53.1% to 88.8%) on 20 shapes")
    assert (
        _teacher(whole) == f"lite0-0.1-s0 (encoder lite0, 1,500 steps, {score}, weights under MIT)"
    )
    tuned = {"name": "a", "settings": settings | {"finetune": True}, "task": "gone:Lesson"}
    assert _teacher(tuned) == "a (encoder lite0, fine-tuned)"
    own = {"name": "a", "weights_file": "/home/me/w.pt"}
    assert _teacher(own | {"settings": {"teacher": "module:/home/me/enc.py:build"}}) == (
        "a (encoder module:enc.py:build, weights of w.pt)"
    )
    assert _teacher({"name": "a", "settings": None} | scores) == "a"
    assert _teacher(None) == ""
