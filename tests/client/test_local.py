"""A private server goes with its client, however that ends."""

import os
import select
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import chainrule as cr
from chainrule.local import PrivateServer, _make_folder
from support.processes import descendants

# A client in a process of its own: says which server it has, forks where it is told to, and waits.
CLIENT = """
    import os, sys
    import chainrule as cr
    client = cr.connect("local", workers=1)
    folder = client.address.removeprefix("unix:").rpartition("/")[0]
    child = os.fork() if "fork" in sys.argv else None
    if child == 0:
        sys.stdin.read()
        os._exit(0)
    print(client.server_pid, folder, child or 0, flush=True)
    sys.stdin.read()
"""


def test_the_folder_is_the_user_s_alone_and_goes_with_the_server() -> None:
    server = PrivateServer(workers=1)
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    command = Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert server.token.encode() not in command
    pidfd = os.pidfd_open(server.pid)
    server.close()
    assert wait_for(pidfd)
    assert not server.folder.exists()
    server.close()


def test_a_server_that_can_t_start_says_why() -> None:
    server = PrivateServer(options=("--no-such-option",))
    server.process.wait(60)
    with pytest.raises(cr.ServerFault, match=r"ended with status 2:\n.*--no-such-option"):
        server.check_alive()
    server.close()


def test_a_socket_s_path_stays_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    folder = _make_folder()
    assert len(str(folder)) < 80
    folder.rmdir()


@pytest.mark.faults
@pytest.mark.parametrize("fork", ["plain", "fork"])
def test_a_killed_client_leaves_no_server_and_no_folder(fork: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(CLIENT), fork],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdout is not None
        pid, folder, child = client.stdout.readline().split()
        server = os.pidfd_open(int(pid))
        workers = [os.pidfd_open(p) for p in descendants(int(pid))]
        assert workers
        client.kill()
        client.wait()
        assert wait_for(server), "the server outlived its client"
        assert all(map(wait_for, workers)), "a worker outlived its server"
        assert not Path(folder).exists()
        if int(child):
            os.kill(int(child), signal.SIGKILL)


def wait_for(pidfd: int, seconds: float = 60.0) -> bool:
    """Whether the process behind a pidfd ends in time."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    ended = bool(poll.poll(1000 * seconds))
    os.close(pidfd)
    return ended
