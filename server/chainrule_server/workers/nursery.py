"""The spawner's life: one thread, everything imported and warm, forking workers when asked.

A fork of this process has NumPy, the engine and a warm BLAS in 3 ms, and nothing of the serving
process: no gRPC, no threads, no locks held by somebody who is not there.
"""

import argparse
import contextlib
import gc
import os
import signal
import socket
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from chainrule_server.workers import framing, processes, worker
from chainrule_server.workers.interfaces import Load

# Odd sizes above a BLAS block, so that every kernel and buffer a product needs exists.
_WARM = 257


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a worker may take.

    Attributes:
        grant_bytes: private memory beyond the warm process, None for no bound.
        max_files: open fds; every mapping in use holds one.
        oom_score_adj: how much rather than the server the kernel shall end a worker.
    """

    grant_bytes: int | None = None
    max_files: int = 512
    oom_score_adj: int = 500


def main(load: Load, arguments: Sequence[str] | None = None) -> None:
    """Serve the pool that started this process until it is gone.

    Args:
        load: the engine's constructor of a program from its bytes and a progress callback.
        arguments: the command line, without the program's name.
    """
    parser = argparse.ArgumentParser(prog="chainrule-spawner", description=__doc__)
    parser.add_argument("--control-fd", type=int, required=True)
    parser.add_argument("--server-pid", type=int, required=True)
    parser.add_argument("--grant-bytes", type=int)
    parser.add_argument("--max-files", type=int, required=True)
    parser.add_argument("--oom-score-adj", type=int, required=True)
    options = parser.parse_args(arguments)
    bounds = Bounds(options.grant_bytes, options.max_files, options.oom_score_adj)
    with socket.socket(fileno=options.control_fd) as control:
        serve(control, options.server_pid, bounds, load)


def warm_up() -> None:
    """Have BLAS allocate what it allocates once: under a bound it would exit instead of raise."""
    for dtype in (np.float32, np.float64):
        a = np.ones((_WARM, _WARM), dtype)
        np.dot(a, a)


def serve(control: socket.socket, server: int, bounds: Bounds, load: Load) -> None:
    """Fork workers on request until the server is gone.

    Args:
        control: SOCK_SEQPACKET to the supervisor.
        server: the pid that started this process.
        bounds: what each worker may take.
        load: the engine's constructor, handed on to the workers.
    """
    processes.die_with_parent(server)
    processes.refuse_new_privileges()
    processes.ignore_group_signals()
    processes.set_title("chainrule: spawner")
    warm_up()
    # Shared pages stay shared: the collector would write to every object's header.
    gc.collect()
    gc.freeze()
    while (received := framing.receive(control)) is not None:
        request, _ = received
        if not isinstance(request, framing.Fork):
            break
        _reap()
        _fork(control, request, bounds, load)
    _reap()


def _reap() -> None:
    """Let go of the dead. Each is followed by a request for its successor, so none stays long."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _fork(control: socket.socket, request: framing.Fork, bounds: Bounds, load: Load) -> None:
    spawner = os.getpid()
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError as error:
        framing.send(control, framing.ForkFailed(*request, error.errno or 0))
        return
    with ours, theirs:
        try:
            pid = os.fork()
        except OSError as error:
            framing.send(control, framing.ForkFailed(*request, error.errno or 0))
            return
        if pid == 0:
            control.close()
            theirs.close()
            _live(ours, request.worker, spawner, bounds, load)
        try:
            # The child is not reaped yet, so the pid can't be another process's.
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            os.kill(pid, signal.SIGKILL)
            framing.send(control, framing.ForkFailed(*request, error.errno or 0))
            return
        try:
            framing.send(control, framing.Forked(*request, pid), (pidfd, theirs.fileno()))
        finally:
            os.close(pidfd)


def _live(sock: socket.socket, index: int, spawner: int, bounds: Bounds, load: Load) -> NoReturn:
    """The child: never returns into the spawner's loop, whatever happens."""
    status = 1
    try:
        processes.die_with_parent(spawner)
        processes.set_title(f"chainrule: worker {index}")
        processes.set_bounds(
            grant_bytes=bounds.grant_bytes,
            max_files=bounds.max_files,
            oom_score_adj=bounds.oom_score_adj,
        )
        worker.serve(sock, load)
        status = 0
    except BrokenPipeError:
        status = 0  # the server went while we answered
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
