"""The spawner under servers started in every way, and under servers that are killed."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chainrule_server.workers import launch
from support import pool_server

TIMEOUT_S = 60.0
SOURCE = Path(pool_server.__file__)
TESTS = SOURCE.parent.parent
CONSOLE = "#!{python}\nimport sys\nfrom support.pool_server import main\nsys.exit(main())\n"

pytestmark = pytest.mark.faults


class Server:
    """A server process, what it said, and the write end that keeps it alive."""

    def __init__(self, process: "subprocess.Popen[bytes]", control: int) -> None:
        assert process.stdout is not None
        line = process.stdout.readline()
        while line and not line.startswith(b"{"):  # what its log says
            line = process.stdout.readline()
        self.process, self.control = process, control
        self.report: dict[str, Any] = json.loads(line)
        self.pids: list[int] = [self.report["spawner"], *self.report["workers"]]
        self.pidfds = [os.pidfd_open(pid) for pid in self.pids]

    def wait_all_gone(self) -> None:
        for pid, fd in zip(self.pids, self.pidfds, strict=True):
            readable, _, _ = select.select([fd], [], [], TIMEOUT_S)
            assert readable, f"process {pid} outlives its server"


@contextmanager
def serving(*command: str, stdin: bytes | None = None) -> Iterator[Server]:
    theirs, ours = os.pipe()
    process = subprocess.Popen(
        [part.format(control=theirs) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(theirs,),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
    )
    os.close(theirs)
    assert process.stdin is not None
    process.stdin.write(stdin or b"")
    process.stdin.close()
    server = Server(process, ours)
    try:
        yield server
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        for fd in (ours, *server.pidfds):
            os.close(fd)


WAYS = {
    "script": (sys.executable, str(SOURCE), "{control}"),
    "module": (sys.executable, "-m", "support.pool_server", "{control}"),
    "stdin": (sys.executable, "-", "{control}"),
    "console": ("CONSOLE", "{control}"),
    "thread": (sys.executable, str(SOURCE), "{control}", "thread"),
}


@pytest.mark.parametrize("way", WAYS)
def test_workers_are_clean_however_the_server_was_started(way: str, tmp_path: Path) -> None:
    console = tmp_path / "pool-server"
    console.write_text(CONSOLE.format(python=sys.executable))
    console.chmod(0o755)
    command = [str(console) if part == "CONSOLE" else part for part in WAYS[way]]
    stdin = SOURCE.read_bytes() if way == "stdin" else None
    with serving(*command, stdin=stdin) as server:
        loaded = {name.split(".")[0] for name in server.report["modules"]}
        assert "numpy" in loaded
        assert not loaded & {"grpc", "google", "multiprocessing", "__mp_main__", "pytest"}
        os.write(server.control, b"!")
        server.wait_all_gone()
        assert server.process.wait(TIMEOUT_S) == 0


def test_workers_are_clean_under_xdist() -> None:
    test = Path(__file__).with_name("test_pool.py")
    only = "test_workers_hold_no_grpc_and_no_main_of_the_server"
    command = [sys.executable, "-m", "pytest", "-q", "-n", "1", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, f"{test}::{only}"], capture_output=True, text=True, cwd=TESTS)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("stopped", ["nobody", "spawner", "workers", "all"])
def test_a_killed_server_leaves_no_process(stopped: str) -> None:
    with serving(*WAYS["script"]) as server:
        spawner, *workers = server.pids
        if stopped in ("spawner", "all"):
            os.kill(spawner, signal.SIGSTOP)
        if stopped in ("workers", "all"):
            for pid in workers:
                os.kill(pid, signal.SIGSTOP)
        server.process.kill()
        server.wait_all_gone()


def test_signals_to_the_group_are_left_to_the_server() -> None:
    with serving(*WAYS["script"]) as server:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            for pid in server.pids:
                os.kill(pid, number)
        os.write(server.control, b"!")
        assert server.process.wait(TIMEOUT_S) == 0
        server.wait_all_gone()


def test_the_environment_has_one_blas_thread_and_finds_the_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "8")
    monkeypatch.setenv("PYTHONPATH", "relative")
    monkeypatch.chdir(tmp_path)
    environment = launch.environment()
    assert environment["OPENBLAS_NUM_THREADS"] == "1"
    path = environment["PYTHONPATH"].split(os.pathsep)
    assert path[-1] == str(tmp_path / "relative")
    assert all(Path(entry).is_absolute() for entry in path)
    assert any((Path(entry) / "chainrule_server").is_dir() for entry in path)
