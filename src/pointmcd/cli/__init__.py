"""The command line: parse, call the library, print. One file a command."""

from pointmcd.cli.app import main

__all__ = ["main"]
