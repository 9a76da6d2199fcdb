"""Way in: the command `modelgates`. One file per noun."""

from modelgates_server.cli.program import main

__all__ = ["main"]
