"""Runs know the code of the plugs of one's own that they were trained with."""

import json
import re
import sys
from pathlib import Path

import pytest

from pointmcd.data.store import Store
from pointmcd.errors import RunError
from pointmcd.evaluation.seeds import train_seeds
from pointmcd.inference.pretrained import from_pretrained
from pointmcd.plugs import code_digests
from pointmcd.training.run import Run
from pointmcd.training.train import train

TESTS = Path(__file__).parents[1]


def edit(file, before, after):
    """Replace a text by one of another length, which Python's cache goes by, as another process."""
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))
    for name in [n for n, m in sys.modules.items() if getattr(m, "__file__", None) == str(file)]:
        del sys.modules[name]


@pytest.fixture
def student(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "my_student.py"
    file.write_bytes((TESTS / "tiny_student.py").read_bytes())
    return file


@pytest.fixture
def own(make, student):
    """Make configs of runs of the student in the file."""
    return lambda out, **options: make(out, student="my_student.py:TinyStudent", **options)


@pytest.fixture
def cloud(taught_store, tmp_path):
    file = tmp_path / "cloud.xyz"
    lines = (" ".join(map(str, point)) for point in Store(taught_store).points([0], 64)[0])
    file.write_text("\n".join(lines) + "\n")
    return file


def code_of(folder):
    return json.loads((folder / "run.json").read_text())["settings"].get("code")


def test_other_code_is_refused_and_overwrite_trains_again(own, student, files_of):
    folder = train(own("a"))
    before, code = files_of(folder), code_of(folder)
    assert list(code) == ["my_student.py"]
    assert train(own("a")) == folder
    edit(student, ".relu()", ".sigmoid()")
    line = (
        "runs/a: holds a run that differs in code of my_student.py; choose another --out, or --over"
    )
    with pytest.raises(RunError, match=line):
        train(own("a"))
    assert files_of(folder) == before
    train(own("a", overwrite=True))
    assert code_of(folder).keys() == code.keys()
    assert code_of(folder) != code
    assert files_of(folder)["last.safetensors"] != before["last.safetensors"]


def test_the_same_code_goes_on(own, student, monkeypatch):
    def die(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Run, "finish", die)
        with pytest.raises(KeyboardInterrupt):
            train(own("a"))
    edit(student, "", "")  # another process
    assert Run(train(own("a"))).finished


def test_an_edit_while_it_trains_changes_nothing(own, student):
    """The process goes on with what it has imported, and so do its hash and its notes."""
    folder = train(own("a"))
    student.write_text("raise AssertionError\n")
    assert train(own("a")) == folder


def test_every_own_plug_counts(make, student):
    for name in ("toy_task", "toy_objective"):
        (student.parent / f"my_{name}.py").write_bytes((TESTS / f"{name}.py").read_bytes())
    options = {"teacher": "lite0", "student": "tiny_student:TinyStudent"}
    options["task"] = "my_toy_task.py:Height"
    options["objective"] = ("vafp", "my_toy_objective.py:ShapeMatch:0.5")
    code = make("a", **options).decisive()["code"]
    assert list(code) == ["my_toy_objective.py", "my_toy_task.py", "tiny_student"]
    edit(student.parent / "my_toy_objective.py", "", "# ")
    changed = make("a", **options).decisive()["code"]
    assert {place for place in code if code[place] != changed[place]} == {"my_toy_objective.py"}
    assert list(make("a", **options | {"teacher": None}).decisive()["code"]) == [
        "my_toy_task.py",
        "tiny_student",
    ]


def test_a_comment_gives_a_note_once(own, student, cli, cloud):
    folder = train(own("a"))
    command = ("predict", folder, cloud, "--device", "cpu")
    status, quiet, err = cli(*command)
    assert (status, "has changed" in err) == (0, False)
    edit(student, "import nn", "import nn  # neural networks")
    status, out, err = cli(*command)
    assert (status, out) == (0, quiet)
    line = f"note: {folder}: the code of my_student.py has changed since it was trained"
    assert err.splitlines().count(line) == 1
    assert "has changed" not in cli(*command)[2]


def test_an_export_gives_the_note_too(own, student, cli, capsys):
    folder = train(own("a"))
    assert cli("export", folder, "--to", "safetensors")[0] == 0
    edit(student, "import nn", "import nn  # neural networks")
    from_pretrained(folder / "export")
    assert re.search(r"^note: .*export.*: the code of my_student.py has", capsys.readouterr().err)


def test_fine_tuning_gives_the_note_too(own, student, capsys):
    start = train(own("a"))
    edit(student, "import nn", "import nn  # neural networks")
    train(own("b", init=start))
    assert f"note: {start}: the code of my_student.py has changed" in capsys.readouterr().err


def test_a_file_that_is_gone_fails_by_itself(own, student, cli, cloud):
    folder = train(own("a"))
    edit(student, "", "")
    student.unlink()
    status, _, err = cli("predict", folder, cloud, "--device", "cpu")
    assert status == 1
    assert "my_student.py: no such file" in err
    assert "has changed" not in err


def test_several_seeds_go_the_same_way(own, student):
    config = own("several")
    train_seeds(config, [0])
    edit(student, ".relu()", ".sigmoid()")
    with pytest.raises(RunError, match="holds a run that differs in code of my_stud"):
        train_seeds(config, [0])


def test_a_run_without_a_hash_is_taken_as_it_was(own, student):
    folder = train(own("a"))
    meta = json.loads((folder / "run.json").read_text())
    del meta["settings"]["code"]
    (folder / "run.json").write_text(json.dumps(meta))
    assert train(own("a")) == folder


def test_plugs_of_the_package_have_no_hash(make):
    assert "code" not in make("a", student="pointnet", teacher="lite0").decisive()
    names = ["pointnet", "pointmcd.students.pointnet:PointNet", "absent_file:Mine", "no.py:Mine"]
    assert code_digests(names) == {}
