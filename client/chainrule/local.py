"""A private server: one process of `chainrule_server` for one client, gone when the client is.

It listens on a socket in a folder that only this user may enter, and takes its token through a pipe,
so neither shows in a process list. It holds a pidfd of the client and ends when that process does,
however it does: also by SIGKILL, also where the client has forked. Then it removes the folder.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

from chainrule.errors import Retry, ServerFault, Unsupported

STOP_S = 15.0
# The kernel's bound of a socket's path is 108 bytes with its end; the folder holds longer names too.
_MAX_FOLDER = 80
_LOG = "server.log"


class PrivateServer:
    """The process, its address and its token.

    Args:
        workers: worker processes; None leaves the choice to the server (one a core).
        data_dir: where sessions are kept; None: in the folder that goes with the server.
        options: further options of `chainrule serve`.

    Raises:
        Unsupported: not on Linux.
    """

    def __init__(
        self,
        workers: int | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        options: Sequence[str] = (),
    ) -> None:
        _check_platform()
        self.token = secrets.token_urlsafe(32)
        self.folder = _make_folder()
        self.address = f"unix:{self.folder / 's'}"
        command = [sys.executable, "-P", "-m", "chainrule_server", "--listen", self.address]
        command += ["--data-dir", str(data_dir or self.folder / "data")]
        command += ["--health-listen", "off", "--log-level", "warning"]
        if workers is not None:
            command += ["--workers", str(workers)]
        try:
            self.process = self._start([*command, *options])
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self._finalizer = weakref.finalize(self, _stop, self.process, self.folder, os.getpid())

    def _start(self, command: list[str]) -> "subprocess.Popen[bytes]":
        client = os.pidfd_open(os.getpid())
        reader, writer = os.pipe()
        try:
            # Far below the 64 KiB of a pipe, so it can't block.
            os.write(writer, self.token.encode() + b"\n")
            os.close(writer)
            command += ["--token-fd", str(reader), "--client-pidfd", str(client)]
            with (self.folder / _LOG).open("wb") as log:
                return subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    pass_fds=(reader, client),
                    env=_environment(),
                    # A Ctrl-C at the terminal is the client's; it tells the server when to stop.
                    start_new_session=True,
                )
        finally:
            os.close(reader)
            os.close(client)

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self.process.pid

    def log_tail(self) -> str:
        """The end of what it wrote to its log."""
        try:
            return (self.folder / _LOG).read_text(errors="replace")[-2_000:].strip()
        except OSError:
            return ""

    def check_alive(self) -> None:
        """Nothing while it runs.

        Raises:
            ServerFault: it has ended; the text holds the end of its log.
        """
        status = self.process.poll()
        if status is None:
            return
        log = self.log_tail()
        missing = "No module named" in log
        raise ServerFault(
            f"the private server ended with status {status}" + (f":\n{log}" if log else ""),
            cure='install the server: pip install "chainrule[server]"'
            if missing
            else "run `chainrule doctor`",
            retry=Retry.FIX,
        )

    def close(self) -> None:
        """Stops the process and removes the folder; at once, if it has been done before."""
        self._finalizer()


def _check_platform() -> None:
    if sys.platform != "linux":
        raise Unsupported(
            f"a private server needs Linux, this is {sys.platform}",
            cure="run `chainrule serve` in a container or on a Linux machine and connect to its address",
        )


def _environment() -> dict[str, str]:
    """This process's, without what is meant for a public server: its listeners, tokens, certificates."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("CHAINRULE_") or key == "CHAINRULE_WORKERS"
    }


def _make_folder() -> Path:
    """A new folder with mode 0700 and a path short enough for a socket inside."""
    folder = Path(tempfile.mkdtemp(prefix="chainrule-"))
    if len(os.fsencode(folder)) > _MAX_FOLDER:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="chainrule-", dir="/tmp"))
    return folder


def _stop(process: "subprocess.Popen[bytes]", folder: Path, owner: int) -> None:
    # A fork of the client inherits this finalizer, but not the server.
    if os.getpid() != owner:
        return
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    shutil.rmtree(folder, ignore_errors=True)
