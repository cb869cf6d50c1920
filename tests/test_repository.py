"""What must hold of the repository as a whole, whichever file breaks it."""

import ast
import functools
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

import pointmcd

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "pointmcd"
# From the ground up; a room may import itself and the rooms before it.
GROUND = (
    "ahead",
    "errors",
    "options",
    "checking",
    "plugs",
    "settings",
    "specs",
    "files",
    "progress",
    "checkpoint",
    "device",
    "extras",
    "onnx_file",
    "tables",
    "templates",
    "typing",
)
ROOMS = (
    *("ops", "plots", "metrics", "students", "shapes", "data", "distill", "datasets", "views"),
    *("encoders", "tasks", "preparation", "teachers", "training", "evaluation", "inference"),
    *("probing", "robustness", "labelling", "report", "estimators", "demo", "cli", "__main__"),
)
LEVEL = dict.fromkeys(GROUND, 0) | {room: level for level, room in enumerate(ROOMS, 1)}
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MESH_OR_ARRAY = {".off", ".obj", ".ply", ".stl", ".glb", ".seg", ".npy", ".npz", ".safetensors"}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
# The front door alone may reach everywhere: it loads the public names at first use.
INSIDE = {name: path for name, path in MODULES.items() if name != "pointmcd"}


def imported_modules(path: Path) -> Iterator[str]:
    """Every module of this package that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name != "pointmcd"]
        elif isinstance(node, ast.Attribute):
            # After `import pointmcd`, its attributes are imports too: it loads them on demand.
            is_package = isinstance(node.value, ast.Name) and node.value.id == "pointmcd"
            names = [f"pointmcd.{node.attr}"] if is_package else []
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} has a relative import"
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            at_top = node.module == "pointmcd"
            names = [name if at_top or name in MODULES else str(node.module) for name in full]
        else:
            continue
        inside = (name for name in names if name.partition(".")[0] == "pointmcd")
        yield from (name for name in inside if name != "pointmcd.__version__")


def room(module: str) -> str:
    return module.split(".")[1]


def test_every_module_has_a_room() -> None:
    assert {room(module) for module in INSIDE} <= set(LEVEL)


def test_the_architecture_page_lists_the_rooms_that_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.partition("## Rooms")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    ground = section.partition("ground modules: ")[2].partition(".")[0]
    found = {room(module) for module in INSIDE}
    assert listed == [name for name in ROOMS if name in found]
    assert set(re.findall(r"`(\w+)`", ground)) == found - set(ROOMS)


def test_imports_point_down() -> None:
    upward = [
        f"{module} imports {target}"
        for module, path in INSIDE.items()
        for target in imported_modules(path)
        if target not in MODULES or LEVEL[room(target)] > LEVEL[room(module)]
    ]
    assert not upward


def test_imports_have_no_circle() -> None:
    graph = {module: set(imported_modules(path)) for module, path in INSIDE.items()}
    TopologicalSorter(graph).prepare()


def imported_packages(path: Path) -> Iterator[str]:
    """The first part of every import of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).partition(".")[0]


def test_every_third_party_import_is_declared() -> None:
    declared = (ROOT / "pyproject.toml").read_text().partition("dependencies = [")[2]
    names = {
        re.sub("[-.]", "_", name).lower() for name in re.findall(r'"([\w.-]+)[^"]*"', declared)
    }
    imported = {name for path in MODULES.values() for name in imported_packages(path)}
    installed_as = {"PIL": "pillow", "sklearn": "scikit_learn", "yaml": "pyyaml"}
    installed_as |= {"igl": "libigl", "triton": "torch"}
    third_party = imported - sys.stdlib_module_names - {"pointmcd"}
    assert {installed_as.get(name, name) for name in third_party} - names == set()


def test_import_is_fast_and_leaves_torch_alone() -> None:
    code = (
        "import sys, time; start = time.perf_counter(); import pointmcd;"
        "print(time.perf_counter() - start, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, has_torch = done.stdout.split()
    assert float(seconds) < 1
    assert has_torch == "False"


def test_public_names_exist() -> None:
    assert [name for name in pointmcd.__all__ if not hasattr(pointmcd, name)] == []
    # The import of a room sets its name in the package, and would hide a function of that name.
    assert set(pointmcd.__all__) & set(LEVEL) == set()


def test_no_public_name_is_that_of_a_room() -> None:
    """An import of such a room would set it in the place of the function."""
    rooms = {room(module) for module in INSIDE}
    assert rooms.isdisjoint(pointmcd.__all__)


def test_released_version_is_the_same_everywhere() -> None:
    """Tags give the version; the newest one has its heading in the changelog."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "\n## [Unreleased]\n" in text
    newest = re.findall(r"^## \[(\d.*)\]", text, re.MULTILINE)[0]
    assert f"\nversion: {newest}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    without_git = re.findall(r'^fallback_version = "(.+)"$', project, re.MULTILINE)[0]
    assert Version(without_git) > Version(newest), "pyproject.toml: raise fallback_version"


def test_release_notes_are_the_section_of_the_changelog() -> None:
    def notes(tag: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / ".ci" / "release_notes.py"), tag]
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8")

    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert notes("v0.1.0").stdout == text.partition("## [0.1.0]\n\n")[2]
    assert "has no notes under [0.0.9]" in notes("v0.0.9").stderr


def test_repository_has_one_address() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    address = re.findall(r'^Repository = "(.+)"$', project, re.MULTILINE)[0]
    for name in ("pyproject.toml", "README.md", "CITATION.cff", "mkdocs.yml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        found = re.findall(r"https?://[^\s\"')>]+/pointmcd\b", text)
        assert found, f"{name} lacks {address}"
        assert set(found) == {address}, name


def project_files() -> list[Path]:
    """Files that git holds or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if (ROOT / name).is_file()]


def test_no_mesh_in_git_but_the_embedded_set_a_free_block_and_weights_of_free_sets() -> None:
    files = project_files()
    shipped = [path for path in files if PACKAGE / "training" / "assets" in path.parents]
    others = [path for path in files if path not in shipped]
    meshes = {path.name for path in others if path.suffix.lower() in MESH_OR_ARRAY}
    assert meshes == {"mfcad_block.off", "mfcad_block.seg"}  # MIT, attributed in NOTICE
    assert "mfcad_block.off" in (ROOT / "NOTICE").read_text(encoding="utf-8")
    for path in shipped:  # weights of sets whose terms allow it
        assert path.parent.name.rpartition("-")[2] in ("furniture10", "ldraw32", "mfcad16")
        assert path.name in ("model.safetensors", "README.md")
        assert "## Attribution" in (path.parent / "README.md").read_text(encoding="utf-8")
    archives = [path for path in files if zipfile.is_zipfile(path)]
    assert [path.name for path in archives] == ["furniture10.zip"]
    members = zipfile.ZipFile(archives[0]).namelist()
    assert {member.split("/")[0] for member in members} == {"furniture10"}
    assert "furniture10/ATTRIBUTION.csv" in members


def commands_in_documents() -> dict[str, set[str]]:
    """Each `pointmcd COMMAND` in code of the README and the docs, with the options it is given."""
    found: dict[str, set[str]] = {}
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8").replace("\\\n", " ")
        code = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)
        for line in "\n".join(code).splitlines():
            for command, rest in re.findall(r"\bpointmcd ([a-z]+)\b([^#;&|`]*)", line):
                found.setdefault(command, set()).update(re.findall(r"--[a-z][a-z-]*", rest))
    return found


def help_text(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    from pointmcd.cli import main

    monkeypatch.setattr(sys, "argv", ["pointmcd", *arguments, "--help"])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as exit_info:
        main()
    assert exit_info.value.code == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)


def test_documented_commands_exist(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = commands_in_documents()
    assert {"prepare", "teach", "train", "evaluate", "compare", "predict", "report", "demo"} <= set(
        commands
    )
    listed = help_text([], monkeypatch, capsys)
    for command, options in commands.items():
        assert re.search(rf"\b{command}\b", listed), f"no command {command}"
        text = help_text([command], monkeypatch, capsys)
        offered = set(re.findall(r"--[a-z][a-z-]*", text))
        assert options <= offered, f"pointmcd {command} has no {sorted(options - offered)}"


def lines_to_type() -> list[list[str]]:
    """The arguments of each `pointmcd` line in blocks of shell code, 1 for each variable."""
    found = []
    for document in [*DOCUMENTS, ROOT / "CONTRIBUTING.md"]:
        text = re.sub(r"\$\w+", "1", document.read_text(encoding="utf-8").replace("\\\n", " "))
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
            commands = re.findall(
                r"^\s*(?:for .*; do )?pointmcd ([a-z][^#;\n]*)", block, re.MULTILINE
            )
            found += [shlex.split(command) for command in commands]
    return found


def test_documented_lines_parse(monkeypatch: pytest.MonkeyPatch) -> None:
    from pointmcd.cli import app

    def parsed_only(command: Callable[..., Any]) -> Callable[..., Any]:
        return functools.wraps(command)(lambda **_: called.append(command))

    called: list[Any] = []
    commands = app._commands
    monkeypatch.setattr(
        app, "_commands", lambda line: {n: parsed_only(c) for n, c in commands(line).items()}
    )
    lines = lines_to_type()
    for line in lines:
        app.main(line)
    assert len(called) == len(lines) > 40


def test_documents_link_to_files_that_exist() -> None:
    pages = (ROOT / "benchmarks").rglob("*.md")
    documents = [*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *pages]
    broken = [
        f"{document.name}: {target}"
        for document in documents
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8"))
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert broken == []


def test_lists_are_indented_for_the_site() -> None:
    """GitHub takes two or three spaces for what belongs to an item, the site four alone."""
    for document in [*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        text = re.sub(
            r"^```.*?^```", "", document.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE
        )
        assert re.findall(r"^ {1,3}\S.*", text, re.MULTILINE) == [], document.name
