"""The entry point: which command, with which defaults, and what an error prints."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from pointmcd.cli.compare import compare
from pointmcd.cli.demo import demo
from pointmcd.cli.download import download
from pointmcd.cli.evaluate import evaluate
from pointmcd.cli.export import export
from pointmcd.cli.predict import predict
from pointmcd.cli.prepare import prepare
from pointmcd.cli.probe import probe
from pointmcd.cli.report import report
from pointmcd.cli.settings import SETTINGS
from pointmcd.cli.teach import teach
from pointmcd.cli.teachers import teachers
from pointmcd.cli.train import train_command
from pointmcd.errors import ConfigError, PointMCDError
from pointmcd.progress import console


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's error prints one line and exits with status 1."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "" not in sys.path:  # `--student my_file:MyStudent` finds a file in the current folder
        sys.path.append("")
    try:
        _check_launch(given)
        tyro.extras.subcommand_cli_from_dict(
            _commands(given),
            prog="pointmcd",
            description="Teach point cloud encoders what image models know.",
            args=given,
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone),
            registry=SETTINGS,
        )
    except PointMCDError as error:
        for line in [] if error.printed_elsewhere else str(error).splitlines():
            console.print(f"pointmcd: {line}", style="red", markup=False, soft_wrap=True)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        console.print("pointmcd: interrupted; run the same command again to go on", markup=False)
        raise SystemExit(130) from None


def _commands(arguments: Sequence[str]) -> dict[str, Callable[..., Any]]:
    return {
        "download": download,
        "prepare": prepare,
        "teach": teach,
        "teachers": teachers,
        "train": train_command(arguments),
        "evaluate": evaluate,
        "compare": compare,
        "probe": probe,
        "predict": predict,
        "report": report,
        "export": export,
        "demo": demo,
    }


def _check_launch(arguments: Sequence[str]) -> None:
    """Refuse several processes where each would do all the work, and write the same files."""
    launched = "LOCAL_RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1
    command = next(iter(arguments), "")
    if launched and command not in ("train", "--help", "-h"):
        error = ConfigError(f"{command}: runs in one process; start it without a launcher")
        error.printed_elsewhere = os.environ.get("RANK", "0") != "0"
        raise error
