"""Processes that a test starts, finds and kills."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import chainrule as cr

START_S = 60.0


class ServerProcess:
    """`python -m chainrule_server` on a socket below a folder; its data stays there over restarts."""

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self.folder = folder
        self.workers = workers
        self.address = f"unix:{folder / 's'}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CHAINRULE_")}
        command = [sys.executable, "-P", "-m", "chainrule_server", "--listen", self.address]
        command += ["--health-listen", "off", "--workers", str(self.workers)]
        command += ["--data-dir", str(self.folder / "data"), "--log-level", "warning"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, env=kept)
        with cr.connect(self.address) as client:
            while True:
                assert self.process.poll() is None, (self.folder / "server.log").read_text()
                try:
                    client.info(timeout_s=START_S)
                    return
                except cr.Unavailable:
                    client.pause(0.05)

    def kill(self) -> None:
        """SIGKILL, as a power cut of the process."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)


def descendants(pid: int) -> list[int]:
    """Processes below one, children before their own; what ends meanwhile is left out."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *descendants(child)]
    return found


def title(pid: int) -> str:
    """What a process list shows; empty where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0")
    return ""


def workers_of(server: int) -> list[int]:
    """The processes of a server that compute."""
    return [pid for pid in descendants(server) if title(pid).startswith("chainrule: worker")]


@contextmanager
def server_process(folder: Path, workers: int = 2) -> Iterator[str]:
    """The address of a server that lives as long as the block."""
    server = ServerProcess(folder, workers)
    server.start()
    try:
        yield server.address
    finally:
        server.stop()
