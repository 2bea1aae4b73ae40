"""A server's life in a process of its own that ends itself by SIGKILL at a named moment.

    python -m support.session_child DATA FAILPOINT K [memory|process]

Creates a session, takes six steps and closes it; the k-th time that the failpoint is reached is the end. What
was acknowledged is a line on stdout each, written before the next call.
"""

import os
import signal
import sys
from pathlib import Path

from support.session_scene import Scene

STEPS = 6


class Killer:
    """A failpoint that no process survives."""

    def __init__(self, name: str, k: int) -> None:
        self._name = name
        self._left = k

    def reach(self, name: str) -> None:
        """Count, and end at the k-th time."""
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def main(data: str, name: str, k: str) -> None:
    """One life."""
    scene = Scene(Path(data), failpoints=Killer(name, int(k)))
    client = scene.create()
    _say("create")
    client.step(0)
    _say("step 0")
    client = scene.open()
    _say("open")
    for i in range(1, STEPS):
        client.step(i)
        _say(f"step {i}")
    client.close()
    _say("close")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
