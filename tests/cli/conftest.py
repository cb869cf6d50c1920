"""What tests of the command line share."""

import pytest


@pytest.fixture
def refused(cli):
    """A caller that expects one line of error; it returns the line."""

    def call(*arguments):
        status, out, err = cli(*arguments)
        assert (status, out) == (1, "")
        (line,) = err.splitlines()
        assert line.startswith("pointmcd: ")
        return line.removeprefix("pointmcd: ")

    return call
