"""The examples run as a reader would run them."""

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*arguments):
    command = [sys.executable, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_plain_loop_trains_and_says_its_validation_accuracy(taught_store):
    done = run(EXAMPLES / "plain_loop.py", taught_store, "--epochs", 2, "--points", 64)
    assert done.returncode == 0, done.stderr
    *epochs, last = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in epochs] == ["epoch 1", "epoch 2"]
    assert re.fullmatch(r"validation accuracy (0|33\.3|66\.7|100)(\.0)?%", last)
