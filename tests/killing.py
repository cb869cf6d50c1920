"""Teaching and training that are killed, and then run again until they end by themselves.

The tests call `run_killed`. It starts this file as a program, which pays for the imports once and
forks a child for each kill.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path


def run_killed(work, options, kills):
    """Begin `work` ("teach" or "train") once per kill and once more; return how many kills struck.

    Args:
        work: what to run.
        options: fields of its config.
        kills: when each child dies: ("rename", n): with its n-th file written but not yet in
            place; ("after", s): that many seconds from its start.
    """
    command = [sys.executable, __file__, work, json.dumps(options, default=str), json.dumps(kills)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def _work(work, options):
    import torch

    import pointmcd.checkpoint
    import pointmcd.teachers.teach
    import pointmcd.training.train  # imported before the forks, whatever the work

    torch.optim.SGD([torch.zeros(1)])  # the first optimizer imports for seconds; once is enough
    torch.set_num_threads(1)
    pointmcd.checkpoint.SAVE_EVERY = 0.0  # each epoch, however short
    paths = {name: Path(options[name]) for name in ("store", "out") if name in options}
    if work == "teach":
        module = pointmcd.teachers.teach
        return lambda: module.teach(module.TeachConfig(**(options | paths)))
    module = pointmcd.training.train
    return lambda: module.train(module.TrainConfig(**(options | paths)))


def die_at_rename(number):
    """Kill this process when its n-th file is written but not yet in place."""
    left = [number]
    rename = Path.replace

    def replace(self, target):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)

    Path.replace = replace


def _child(work, kind, value):
    """Run `work` in a child; return whether it was killed."""
    pid = os.fork()
    if not pid:
        try:
            if kind == "rename":
                die_at_rename(value)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if kind == "after":
        time.sleep(value)
        os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status not in (0, -signal.SIGKILL):
        sys.exit(f"the child ended with {status}")
    return status != 0


if __name__ == "__main__":
    _begin = _work(sys.argv[1], json.loads(sys.argv[2]))
    _struck = sum([_child(_begin, *kill) for kill in json.loads(sys.argv[3])])
    if _child(_begin, "never", None):
        sys.exit("killed by something else")
    sys.stdout.write(str(_struck))
