"""Pools that run the toy program, and ways to wait for processes without sleeping."""

import os
import select
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule_server.workers.coordinator import Coordinator, RunResult
from chainrule_server.workers.pool import Pool
from support.toy_program import ToyProgram

PATIENCE_S = 60.0
_TESTS = Path(__file__).resolve().parent.parent
# The script puts its own folder on the path; the package it belongs to is one above.
_CODE = f"import sys; sys.path.insert(0, {str(_TESTS)!r}); import runpy; "
_CODE += "runpy.run_module('support.toy_spawner', run_name='__main__', alter_sys=True)"
TOY = (sys.executable, "-P", "-c", _CODE)


def toy_pool(n_workers: int, **options: Any) -> Pool:
    return Pool(n_workers, command=TOY, **options)


def deadline(seconds: float = PATIENCE_S) -> float:
    return time.monotonic() + seconds


def numbers(n: int) -> NDArray[np.float32]:
    """Values whose float32 sum depends on the order."""
    rng = np.random.default_rng(n)
    return (rng.standard_normal(n) * 10.0 ** rng.integers(-5, 5, n)).astype(np.float32)


def run(coordinator: Coordinator, program: ToyProgram, n: int = 50, **options: Any) -> RunResult:
    options.setdefault("deadline", deadline())
    return coordinator.run(program, n, {"x": numbers(n)}, **options)


def bits(result: RunResult) -> bytes:
    return b"".join(result.outputs[name].tobytes() for name in sorted(result.outputs))


def worker_pids(pool: Pool) -> list[int]:
    """Of the workers that live now."""
    return [worker.pid for worker in pool.stats().workers if worker.pid is not None]


def spawner_pid(pool: Pool) -> int:
    pid = pool.stats().spawner_pid
    assert pid is not None
    return pid


def wait_gone(*pids: int, timeout_s: float = PATIENCE_S) -> None:
    """Wait until no process has these pids."""
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            readable, _, _ = select.select([fd], [], [], timeout_s)
            assert readable, f"process {pid} still lives"
        finally:
            os.close(fd)


class Gate:
    """A meeting with the one task whose trap is `wait`: it says that it runs, and goes on when told."""

    def __init__(self, folder: Path) -> None:
        paths = folder / "begun", folder / "go"
        for path in paths:
            os.mkfifo(path)
        # Open for both directions: neither side ever waits for the other to open, or sees an end.
        self._begun, self._go = (os.open(path, os.O_RDWR | os.O_NONBLOCK) for path in paths)
        self.trap = {"kind": "wait", "begun": str(paths[0]), "go": str(paths[1])}

    def wait_begun(self) -> int:
        """The pid of the worker that runs the task now."""
        readable, _, _ = select.select([self._begun], [], [], PATIENCE_S)
        assert readable, "the task was not begun"
        return int.from_bytes(os.read(self._begun, 4), "little")

    def open(self) -> None:
        """Let one task go on."""
        os.write(self._go, b"!")

    def close(self) -> None:
        os.close(self._begun)
        os.close(self._go)
