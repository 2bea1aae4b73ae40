"""Frames: fixed size, fds beside them, nothing that a broken process could make the reader parse."""

import array
import os
import socket
from collections.abc import Iterator

import pytest

from chainrule.errors import ServerFault
from chainrule_server.workers import framing
from chainrule_server.workers.framing import (
    Attach,
    Done,
    Drop,
    Fork,
    Forked,
    ForkFailed,
    Frame,
    Mapping,
    Ready,
    Run,
)

BIG = 2**63
FRAMES: tuple[Frame, ...] = (
    Fork(3, 2**31),
    Forked(3, 1, 4194304),
    ForkFailed(0, 1, 11),
    Attach(7, 20480),
    Drop(BIG),
    Ready(9),
    Done(1, BIG, 2, 3, 0, False),
    Done(1, 2, 3, 4, 16384, True),
    Run(
        BIG, 2, True, BIG, 5, 6, BIG, 8,
        Mapping(1, 2, BIG, False, True), Mapping(3, 4, 5, True, False),
        framing.NO_MAPPING, Mapping(6, BIG, 7, True, True),
    ),
)  # fmt: skip


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: type(frame).__name__)
def test_a_frame_comes_back_as_it_was(frame: Frame) -> None:
    data = framing.encode(frame)
    assert len(data) == framing.FRAME_BYTES
    assert framing.decode(data) == frame


@pytest.mark.parametrize("data", [b"", b"\x01", bytes(255), bytes(257), b"\xff" * 256, bytes(256)])
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(ServerFault, match="worker protocol"):
        framing.decode(data)


def test_fds_arrive_with_their_frame_and_close_on_exec(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    read, write = os.pipe()
    framing.send(ours, Ready(1), (write,))
    os.close(write)
    received = framing.receive(theirs)
    assert received is not None
    frame, (copy,) = received
    assert frame == Ready(1)
    assert not os.get_inheritable(copy)
    os.write(copy, b"x")
    assert os.read(read, 1) == b"x"
    os.close(copy)
    os.close(read)


def test_frames_keep_their_order_and_the_end_is_none(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    for number in range(3):
        framing.send(ours, Drop(number))
    ours.close()
    received = [framing.receive(theirs) for _ in range(4)]
    assert received == [(Drop(0), ()), (Drop(1), ()), (Drop(2), ()), None]


@pytest.mark.parametrize("n_fds", [1, 5, 9])
def test_a_broken_frame_leaves_no_fd_open(
    pair: tuple[socket.socket, socket.socket], n_fds: int
) -> None:
    ours, theirs = pair
    before = len(os.listdir("/proc/self/fd"))
    rights = array.array("i", [0] * n_fds)
    ours.sendmsg([b"short"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    with pytest.raises(ServerFault):
        framing.receive(theirs)
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_empty_socket_says_so(pair: tuple[socket.socket, socket.socket]) -> None:
    _, theirs = pair
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        framing.receive(theirs)
