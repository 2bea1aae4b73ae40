"""A server in a process of its own, as an operator starts it: its log is read, its end is waited for."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WAIT_S = 60


class ServerProcess:
    """`python -m chainrule_server` on a free port.

    Args:
        folder: for its data.
        options: of the command line, after those given here, so that they win.
        pass_fds: descriptors that it inherits.
    """

    def __init__(
        self, folder: Path, options: Sequence[str] = (), pass_fds: Sequence[int] = ()
    ) -> None:
        command = [sys.executable, "-m", "chainrule_server", "--listen", "127.0.0.1:0"]
        command += ["--health-listen", "127.0.0.1:0", "--workers", "1", "--threads", "8"]
        command += ["--data-dir", str(folder / "data"), *options]
        bare = {k: v for k, v in os.environ.items() if not k.startswith("CHAINRULE_")}
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, env=bare, text=True, pass_fds=pass_fds
        )
        self.log: list[dict[str, Any]] = []

    def until(self, event: str) -> dict[str, Any]:
        """Read the log up to an event; AssertionError with what was said where it ends before."""
        assert self.process.stderr is not None
        said = ""
        for line in self.process.stderr:
            said += line
            if line.startswith("{"):
                self.log.append(json.loads(line))
                if self.log[-1]["event"] == event:
                    return self.log[-1]
        raise AssertionError(f"no {event!r} before the end:\n{said}")

    def end(self) -> tuple[int, str]:
        """Wait for the end: exit code, and what it still said."""
        _, rest = self.process.communicate(timeout=WAIT_S)
        for line in rest.splitlines():
            if line.startswith("{"):
                self.log.append(json.loads(line))
        return self.process.returncode, rest

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)


@contextmanager
def server_process(
    folder: Path, *options: str, pass_fds: Sequence[int] = ()
) -> Iterator[ServerProcess]:
    """A server for the block; killed at its end where it still runs."""
    server = ServerProcess(folder, options, pass_fds)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate()
