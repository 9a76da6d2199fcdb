"""The command line, `modelgates`: one file per noun."""

from modelgates_server.cli.program import main

__all__ = ["main"]
