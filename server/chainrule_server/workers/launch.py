"""Starting the spawner process, and the fork requests to it."""

import os
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import chainrule
import chainrule_server
from chainrule_server.workers import framing
from chainrule_server.workers.nursery import Bounds

# -P: the folder the server was started in is no place to import from.
SPAWNER = (sys.executable, "-P", "-m", "chainrule_server.workers.spawner")

_CLOSE_TIMEOUT_S = 5.0


class Spawner:
    """A spawner process as the supervisor holds it. Used by one thread at a time.

    Attributes:
        control: non-blocking; readable when workers are born and when the spawner is gone.
        pidfd: readable when it is gone.
        pid: of the process.
    """

    __slots__ = ("_process", "control", "pid", "pidfd")

    def __init__(self, command: tuple[str, ...], bounds: Bounds) -> None:
        """Start it. The calling thread has to live as long as it: the kernel ends it with this thread.

        Popen goes by vfork and exec here, so neither locks nor fork handlers of gRPC are touched
        when a dead spawner is replaced in a serving process.

        Raises:
            OSError: it can't be started.
        """
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            options = [
                f"--control-fd={theirs.fileno()}",
                f"--server-pid={os.getpid()}",
                f"--max-files={bounds.max_files}",
                f"--oom-score-adj={bounds.oom_score_adj}",
            ]
            if bounds.grant_bytes is not None:
                options.append(f"--grant-bytes={bounds.grant_bytes}")
            try:
                self._process = subprocess.Popen(
                    [*command, *options],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env=environment(),
                    cwd="/",
                    start_new_session=True,
                )
            except BaseException:
                self.control.close()
                raise
        self.control.setblocking(False)
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)

    def fork(self, worker: int, generation: int) -> None:
        """Ask for a worker; the answer comes on `control`. A dead spawner is seen there too."""
        try:
            framing.send(self.control, framing.Fork(worker, generation))
        except OSError:
            return

    def kill(self) -> None:
        """SIGKILL, which also ends a stopped process; its workers go with it."""
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Let it go, by force if need be, and reap it."""
        self.control.close()
        try:
            self._process.wait(_CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        os.close(self.pidfd)


def environment() -> dict[str, str]:
    """The spawner's environment: ours, one BLAS thread, and our packages to be found.

    Threads would change bits, and a process with threads must not fork. A server that found its packages
    by a path of its own (an editable checkout, a test) hands that path on; an installed one needs nothing,
    and site-packages before the standard library would shadow it.
    """
    packages = (chainrule.__file__, chainrule_server.__file__)
    roots = [str(Path(file).resolve().parent.parent) for file in packages if file]
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    path = [root for root in dict.fromkeys(roots) if root not in installed]
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path += [str(Path(entry).absolute()) for entry in given if entry]  # its cwd is another one
    single = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return {**os.environ, **single, "PYTHONPATH": os.pathsep.join(path)}
