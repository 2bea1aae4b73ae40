"""What a worker process does all its life: take a task, run it, say how it went.

It decides nothing. What it maps, loads and forgets is told by the supervisor, whose record of it is
therefore exact; what it computes goes to shared memory; its answer is a frame of fixed size.
"""

import os
import socket
import time
from collections.abc import Sequence

import numpy as np

from chainrule.errors import ErrorCode, ServerFault
from chainrule_server.workers import framing
from chainrule_server.workers.failures import encode_failure, failure_of
from chainrule_server.workers.interfaces import BOARD, STATE_READ, STATE_WRITE, Load, Loaded
from chainrule_server.workers.memory import map_file
from chainrule_server.workers.page import Page


def serve(sock: socket.socket, load: Load) -> None:
    """Run tasks from `sock` until the server is gone.

    Args:
        sock: SOCK_SEQPACKET, blocking; the first frame attaches the shared page.
        load: the engine's constructor of a program from its bytes and a progress callback.

    Raises:
        ServerFault: the supervisor broke the protocol. The process has to end.
    """
    first = framing.receive(sock)
    if first is None:
        return
    frame, fds = first
    if not isinstance(frame, framing.Attach) or len(fds) != 1:
        raise ServerFault(f"worker protocol: {frame} instead of a page", code=ErrorCode.INTERNAL)
    page = Page(_take(fds[0], 0, frame.nbytes, writable=True))
    worker = _Worker(frame.generation, page, load)
    framing.send(sock, framing.Ready(frame.generation))
    # The engine decides what a non-finite number means; a warning on stderr helps nobody.
    with np.errstate(all="ignore"):
        while (received := framing.receive(sock)) is not None:
            reply = worker.handle(*received)
            if reply is not None:
                framing.send(sock, reply)


class _Worker:
    """What one process holds: mappings and programs by the supervisor's ids."""

    __slots__ = ("_generation", "_load", "_mapped", "_page", "_programs")

    def __init__(self, generation: int, page: Page, load: Load) -> None:
        self._generation = generation
        self._page = page
        self._load = load
        self._mapped: dict[int, memoryview] = {}
        self._programs: dict[int, Loaded] = {}

    def handle(self, frame: framing.Frame, fds: Sequence[int]) -> framing.Done | None:
        match frame:
            case framing.Run():
                self._map(frame, fds)
                return self._run(frame)
            case framing.Drop(id):
                self._drop(id)
                return None
            case _:
                raise ServerFault(f"worker protocol: unexpected {frame}", code=ErrorCode.INTERNAL)

    def _drop(self, id: int) -> None:
        self._programs.pop(id, None)
        view = self._mapped.pop(id, None)
        if view is not None:
            # A program bound to this memory would keep it, however many boards come and go.
            for program in self._programs.values():
                program.forget(view)

    def _map(self, run: framing.Run, fds: Sequence[int]) -> None:
        coming = iter(fds)
        for mapping in run.mappings:
            if mapping.attached:
                view = _take(
                    next(coming), mapping.offset, mapping.nbytes, writable=mapping.writable
                )
                self._mapped[mapping.id] = view

    def _run(self, run: framing.Run) -> framing.Done:
        self._page.running = run.dispatch
        self._page.bump()
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        error_nbytes = 0
        failed = False
        try:
            self._compute(run)
        except Exception as error:  # the boundary of the process: everything becomes a record
            failed = True
            error_nbytes = self._page.write_error(encode_failure(failure_of(error)))
        cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
        self._page.running = 0
        return framing.Done(self._generation, run.dispatch, cpu, wall, error_nbytes, failed)

    def _compute(self, run: framing.Run) -> None:
        program = self._programs.get(run.program.id)
        if program is None:
            data = bytes(self._mapped[run.program.id])
            program = self._programs[run.program.id] = self._load(data, self._page.bump)
            del self._mapped[run.program.id]  # loaded; a mapping holds an fd
        board = self._mapped[run.board.id]
        regions = {BOARD: board}
        for number, mapping in ((STATE_READ, run.state_read), (STATE_WRITE, run.state_write)):
            if mapping.id:
                regions[number] = self._mapped[mapping.id]
        if run.whole:
            program.run_whole(run.stage, run.n, regions)
        else:
            out = board[run.out_offset : run.out_offset + run.out_nbytes]
            program.run_block(run.stage, run.n, regions, run.lo, run.hi, out)


def _take(fd: int, offset: int, nbytes: int, *, writable: bool) -> memoryview:
    try:
        return map_file(fd, offset, nbytes, writable=writable)
    finally:
        os.close(fd)
