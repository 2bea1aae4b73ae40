"""Named moments at which a test may stop the world.

create.before_rename  create.after_rename  open.before_log  open.after_log
commit.before_log  commit.after_log  commit.after_header  close.before_tombstone  close.after_tombstone
"""

from typing import Protocol


class Failpoints(Protocol):
    """Told of every moment as it comes."""

    def reach(self, name: str) -> None:
        """The moment `name` is now; what this does is the affair of who built it."""


class NoFailpoints:
    """What a server runs with."""

    def reach(self, name: str) -> None:
        """Go on."""
