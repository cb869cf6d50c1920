"""`accelerate launch` of the command line on two CPU processes, plain or with a fault in one.

The tests call `launch`. With a fault it starts this file in place of the command line.
"""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from killing import die_at_rename

HERE = Path(__file__).parent


def launch(*commands, fault=None, cwd=None, processes=2):
    """Run command lines one after the other in two processes that stay the same.

    Args:
        commands: lists of arguments of `pointmcd`; all but the last may fail.
        fault: None; {"die": [rank, n]}: that process is killed at its n-th file, written but not
            yet in place; {"error": rank}: that one alone finds fault with the store; {"full": 0}:
            the one that writes finds no room for an epoch's record; {"apart": True}: batch norms
            are not synchronised.
        cwd: where to run them.
        processes: how many.

    Returns:
        the completed process, with its output.
    """
    # `accelerate` itself also imports timm, and with it torchvision, where that is installed.
    launcher = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        *["--multi_gpu"][: processes - 1],
    ]
    launcher += [
        "--num_processes",
        str(processes),
        "--num_machines",
        "1",
        "--main_process_port",
        "0",
    ]
    launcher += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    if fault is None and len(commands) == 1:
        program = ["-m", "pointmcd", *map(str, commands[0])]
    else:
        program = [__file__, json.dumps(fault), json.dumps(commands, default=str)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = f"{HERE}{os.pathsep}{environment.get('PYTHONPATH', '')}"
    return subprocess.run(
        [*launcher, *program],
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
        timeout=300,
        check=False,
    )


def said(done):
    """The lines in which the command line told of an error."""
    return [line for line in done.stderr.splitlines() if line.startswith("pointmcd: ")]


def _put_in(fault, rank):
    import pointmcd.training.train as training
    import pointmcd.training.trainer as loop
    from pointmcd.errors import StoreError

    def refuse(*arguments):
        raise StoreError("store: not on this machine")

    if fault.get("error") == rank:
        training._check_store = refuse
    if fault.get("full") == rank:
        training.Run.append = refuse
    if "apart" in fault:
        loop.synchronise = lambda module: None
    if fault.get("die", [None])[0] == rank:
        die_at_rename(fault["die"][1])


if __name__ == "__main__":
    from pointmcd.cli import main

    _put_in(json.loads(sys.argv[1]) or {}, int(os.environ["RANK"]))
    *_before, _last = [[str(a) for a in command] for command in json.loads(sys.argv[2])]
    for _command in _before:
        with suppress(SystemExit):
            main(_command)
    main(_last)
