"""The command line: parse, call, print, exit. Commands import what they need when they run, so that `--help` is instant."""

from optimizer.cli.main import main

__all__ = ["main"]
