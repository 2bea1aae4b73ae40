"""The command line, `chainrule ...`."""

from chainrule.cli.entry import main

__all__ = ["main"]
