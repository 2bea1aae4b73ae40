"""What server, spawner and workers say to each other: one fixed frame a message, fds beside it.

Sockets are SOCK_SEQPACKET, so a frame arrives whole or not at all, and the end of the other process
is the end of the stream. A frame is a struct of fixed size; nothing on these sockets is parsed.
"""

import array
import socket
import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from chainrule.errors import ErrorCode, ServerFault

FRAME_BYTES = 256
# A task names a program, a board and two state buffers; a new worker gets a pidfd and a socket.
MAX_FDS = 4

_FD_BYTES = array.array("i").itemsize


class Kind(IntEnum):
    """The first byte of a frame."""

    # server -> spawner, and its answers
    FORK = 1
    FORKED = 2
    FORK_FAILED = 3
    # server -> worker
    ATTACH = 10
    RUN = 11
    DROP = 12
    # worker -> server
    READY = 20
    DONE = 21
    FAILED = 22


class Fork(NamedTuple):
    """Ask for a process of worker number `worker`; `generation` tells its successive processes apart."""

    worker: int
    generation: int


class Forked(NamedTuple):
    """A worker is born; its pidfd and its socket come with the frame."""

    worker: int
    generation: int
    pid: int


class ForkFailed(NamedTuple):
    """fork() gave `errno`."""

    worker: int
    generation: int
    errno: int


class Attach(NamedTuple):
    """The worker's shared page, whose fd comes with the frame."""

    generation: int
    nbytes: int


class Mapping(NamedTuple):
    """A range of a file to have mapped under `id`; 0 is none. Its fd comes if it is new."""

    id: int
    offset: int
    nbytes: int
    writable: bool
    attached: bool


NO_MAPPING = Mapping(0, 0, 0, False, False)


class Run(NamedTuple):
    """One task: stage `stage` of a program on a batch of n rows.

    Microshards lo..hi-1 write their packed partials to `out_nbytes` of the board at `out_offset`;
    with `whole` set the stage runs unsharded and the rest is 0.
    """

    dispatch: int
    stage: int
    whole: bool
    n: int
    lo: int
    hi: int
    out_offset: int
    out_nbytes: int
    program: Mapping
    board: Mapping
    state_read: Mapping
    state_write: Mapping

    @property
    def mappings(self) -> tuple[Mapping, Mapping, Mapping, Mapping]:
        return (self.program, self.board, self.state_read, self.state_write)


class Drop(NamedTuple):
    """Forget what is mapped or loaded under `id`."""

    id: int


class Ready(NamedTuple):
    """The worker is set up."""

    generation: int


class Done(NamedTuple):
    """A task's end. With `failed` set, `error_nbytes` of the shared page say why."""

    generation: int
    dispatch: int
    cpu_ns: int
    wall_ns: int
    error_nbytes: int
    failed: bool


Frame: TypeAlias = Fork | Forked | ForkFailed | Attach | Run | Drop | Ready | Done

_MAPPING = "QQQ??"
_LAYOUTS: dict[Kind, struct.Struct] = {
    Kind.FORK: struct.Struct("<BII"),
    Kind.FORKED: struct.Struct("<BIII"),
    Kind.FORK_FAILED: struct.Struct("<BIII"),
    Kind.ATTACH: struct.Struct("<BIQ"),
    Kind.RUN: struct.Struct("<BQI?QIIQQ" + 4 * _MAPPING),
    Kind.DROP: struct.Struct("<BQ"),
    Kind.READY: struct.Struct("<BI"),
    Kind.DONE: struct.Struct("<BIQQQI"),
    Kind.FAILED: struct.Struct("<BIQQQI"),
}
_RUN_HEAD = 8


def encode(frame: Frame) -> bytes:
    """The FRAME_BYTES of a frame."""
    kind: Kind
    values: tuple[int, ...]
    match frame:
        case Run():
            flat = [value for mapping in frame.mappings for value in mapping]
            kind, values = Kind.RUN, (*_run_head(frame), *flat)
        case Done():
            kind, values = (Kind.FAILED if frame.failed else Kind.DONE), frame[:-1]
        case Fork():
            kind, values = Kind.FORK, frame
        case Forked():
            kind, values = Kind.FORKED, frame
        case ForkFailed():
            kind, values = Kind.FORK_FAILED, frame
        case Attach():
            kind, values = Kind.ATTACH, frame
        case Drop():
            kind, values = Kind.DROP, frame
        case Ready():
            kind, values = Kind.READY, frame
    return _LAYOUTS[kind].pack(kind, *values).ljust(FRAME_BYTES, b"\0")


def decode(data: bytes) -> Frame:
    """The frame in FRAME_BYTES.

    Raises:
        ServerFault: another size or an unknown kind; the sender is broken.
    """
    if len(data) != FRAME_BYTES:
        raise _broken(f"a frame of {len(data)} bytes where frames have {FRAME_BYTES}")
    try:
        kind = Kind(data[0])
    except ValueError as error:
        raise _broken(f"a frame of unknown kind {data[0]}") from error
    values = _LAYOUTS[kind].unpack_from(data)[1:]
    match kind:
        case Kind.RUN:
            tail = values[_RUN_HEAD:]
            mappings = (Mapping(*tail[at : at + 5]) for at in range(0, 20, 5))
            return Run(*values[:_RUN_HEAD], *mappings)
        case Kind.DONE | Kind.FAILED:
            generation, dispatch, cpu_ns, wall_ns, nbytes = values
            return Done(generation, dispatch, cpu_ns, wall_ns, nbytes, kind is Kind.FAILED)
        case Kind.FORK:
            return Fork(*values)
        case Kind.FORKED:
            return Forked(*values)
        case Kind.FORK_FAILED:
            return ForkFailed(*values)
        case Kind.ATTACH:
            return Attach(*values)
        case Kind.DROP:
            return Drop(*values)
        case Kind.READY:
            return Ready(*values)


def send(sock: socket.socket, frame: Frame, fds: Sequence[int] = ()) -> None:
    """Send one frame with fds.

    Raises:
        OSError: the other process is gone (EPIPE) or reads nothing (EAGAIN).
    """
    if not fds:
        sock.send(encode(frame), socket.MSG_NOSIGNAL)
        return
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
    sock.sendmsg([encode(frame)], rights, socket.MSG_NOSIGNAL)


def receive(sock: socket.socket) -> tuple[Frame, tuple[int, ...]] | None:
    """The next frame and its fds (now the caller's), or None when the other process is gone.

    Raises:
        BlockingIOError: a non-blocking socket holds no frame.
        ServerFault: something that is no frame; no fd stays open.
    """
    space = socket.CMSG_SPACE(MAX_FDS * _FD_BYTES)
    try:
        data, control, flags, _ = sock.recvmsg(FRAME_BYTES + 1, space, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return None
    fds = array.array("i")
    for level, kind, rights in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(rights[: len(rights) // _FD_BYTES * _FD_BYTES])
    if not data and not fds:
        return None
    try:
        if flags & socket.MSG_CTRUNC:
            raise _broken(f"a frame with more than {MAX_FDS} fds")
        return decode(data), tuple(fds)
    except ServerFault:
        for fd in fds:
            socket.close(fd)
        raise


def _run_head(run: Run) -> tuple[int, ...]:
    return (
        run.dispatch,
        run.stage,
        run.whole,
        run.n,
        run.lo,
        run.hi,
        run.out_offset,
        run.out_nbytes,
    )


def _broken(fact: str) -> ServerFault:
    return ServerFault(f"worker protocol: {fact}", code=ErrorCode.INTERNAL, cure="report this bug")
