"""The entry point: which command, with which defaults, and what an error prints."""

import io
import os
import re
import sys
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from inspect import cleandoc, isfunction
from typing import Any

import tyro

from pointmcd import __version__
from pointmcd.cli.compare import compare
from pointmcd.cli.demo import demo
from pointmcd.cli.doctor import doctor
from pointmcd.cli.download import download
from pointmcd.cli.embed import embed
from pointmcd.cli.evaluate import evaluate
from pointmcd.cli.export import export
from pointmcd.cli.label import label
from pointmcd.cli.map import map_page
from pointmcd.cli.output import UsageError, print_line
from pointmcd.cli.predict import predict
from pointmcd.cli.prepare import prepare
from pointmcd.cli.probe import probe
from pointmcd.cli.report import report
from pointmcd.cli.settings import SETTINGS
from pointmcd.cli.similar import similar
from pointmcd.cli.teach import teach
from pointmcd.cli.teachers import teachers
from pointmcd.cli.train import train_command
from pointmcd.cli.view import view
from pointmcd.errors import ConfigError, PointMCDError
from pointmcd.progress import console, notes_once

VERSION = f"pointmcd {__version__}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    A user's error prints one line and exits with status 1, a wrong call with status 2.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # huge pages, before torch is imported
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # of any encoding: names and tables must get out
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, like `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + 13) from None  # as if ended by SIGPIPE, like other programs
    except PointMCDError as error:
        for line in [] if error.printed_elsewhere else str(error).splitlines():
            console.print(f"pointmcd: {line}", style="red", soft_wrap=True)
        raise SystemExit(2 if isinstance(error, UsageError) else 1) from None
    except KeyboardInterrupt:
        console.print("pointmcd: interrupted; run the same command again to go on")
        raise SystemExit(130) from None


def _run(arguments: Sequence[str]) -> None:
    if "" not in sys.path:  # `--student my_file:MyStudent` finds a file in the current folder
        sys.path.append("")
    if arguments[:1] == ["--version"]:
        print_line(VERSION)
        return
    commands = _commands(arguments)
    _check_command(arguments, commands)
    for command in filter(isfunction, commands.values()):
        command.__doc__ = _with_long_lines(command.__doc__)
    with notes_once():
        tyro.extras.subcommand_cli_from_dict(
            commands,
            prog="pointmcd",
            description="Teach point cloud encoders what image models know"
            f" ({VERSION}: --version).",
            args=arguments,
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone),
            registry=SETTINGS,
        )


def _commands(arguments: Sequence[str]) -> dict[str, Callable[..., Any]]:
    return {
        "download": download,
        "prepare": prepare,
        "label": label,
        "teach": teach,
        "teachers": teachers,
        "train": train_command(arguments),
        "evaluate": evaluate,
        "compare": compare,
        "probe": probe,
        "embed": embed,
        "similar": similar,
        "map": map_page,
        "predict": predict,
        "report": report,
        "view": view,
        "export": export,
        "demo": demo,
        "doctor": doctor,
    }


def _with_long_lines(doc: str | None) -> str | None:
    """Join the lines of each option's description, for the help to wrap."""
    return doc and re.sub(r"\n {8,}(?=\S)", " ", cleandoc(doc))


def _check_command(arguments: Sequence[str], commands: Collection[str]) -> None:
    """Refuse a mistyped command, and several processes where each would do all the work.

    Raises:
        UsageError: when there is no such command.
        ConfigError: when a launcher started a command that runs in one process.
    """
    command = next(iter(arguments), "")
    if command and not command.startswith("-") and command not in commands:
        near = get_close_matches(command, commands, n=1)
        advice = f"did you mean pointmcd {near[0]}?" if near else "see pointmcd --help"
        raise UsageError(f"{command}: no such command; {advice}")
    launched = "LOCAL_RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1
    if launched and command not in ("train", "--help", "-h"):
        error = ConfigError(f"{command}: runs in one process; start it without a launcher")
        error.printed_elsewhere = os.environ.get("RANK", "0") != "0"
        raise error
