"""One worker process as the supervisor holds it: its socket, its pidfd, its shared page."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator

from chainrule.errors import ServerFault
from chainrule_server.workers import framing
from chainrule_server.workers.events import Event, Ready, Replied, Resource, Send
from chainrule_server.workers.failures import decode_failure
from chainrule_server.workers.memory import Region
from chainrule_server.workers.page import PAGE_BYTES, Page


class Link:
    """Owns what it was given. Sending may happen in any thread, under the pool's lock.

    Attributes:
        worker, generation, pid: which process.
        sock: non-blocking, readable on a reply or the worker's end.
        pidfd: readable when the process is gone.
        page: its progress and its last error.
    """

    __slots__ = ("_region", "generation", "page", "pid", "pidfd", "sock", "worker")

    def __init__(self, frame: framing.Forked, pidfd: int, sock: int) -> None:
        """Take over a worker that was just forked, and give it its page.

        Raises:
            Overloaded: there is no memory for the page; the worker goes by the end of its socket.
        """
        self.worker, self.generation, self.pid = frame
        self.pidfd = pidfd
        self.sock = socket.socket(fileno=sock)
        try:
            self.sock.setblocking(False)
            self._region = Region(f"chainrule-worker-{self.worker}", PAGE_BYTES)
        except BaseException:
            self.sock.close()
            os.close(pidfd)
            raise
        self.page = Page(self._region.view)
        try:
            attach = framing.Attach(self.generation, PAGE_BYTES)
            framing.send(self.sock, attach, (self._region.fd,))
        except OSError:
            return  # already dead, which the pidfd says

    def send(self, order: Send) -> bool:
        """Hand a task over; False if the worker does not take it."""
        task = order.task
        fds: list[int] = []

        def mapping(resource: Resource | None) -> framing.Mapping:
            if resource is None:
                return framing.NO_MAPPING
            attached = resource.id in order.attach
            if attached:
                fds.append(resource.fd)
            return framing.Mapping(
                resource.id, resource.offset, resource.nbytes, resource.writable, attached
            )

        run = framing.Run(
            order.dispatch,
            task.stage,
            task.whole,
            task.n,
            task.lo,
            task.hi,
            task.out_offset,
            task.out_nbytes,
            mapping(task.program),
            mapping(task.board),
            mapping(task.state_read),
            mapping(task.state_write),
        )
        try:
            framing.send(self.sock, run, fds)
        except OSError:
            return False
        return True

    def drop(self, resource_id: int) -> None:
        """Have it forget a resource; one that is dying has nothing to forget."""
        try:
            framing.send(self.sock, framing.Drop(resource_id))
        except OSError:
            return

    def replies(self) -> Iterator[Event]:
        """What it has said, until nothing more is there.

        Raises:
            ServerFault: it broke the protocol.
            EOFError: it closed its socket.
        """
        while True:
            try:
                received = framing.receive(self.sock)
            except BlockingIOError:
                return
            if received is None:
                raise EOFError(f"worker {self.worker} closed its socket")
            yield self._event(*received)

    def kill(self) -> None:
        """SIGKILL; the pidfd can't be another process's."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return

    def close(self) -> None:
        """The process is gone."""
        self.sock.close()
        # Its parent reaps it, the spawner; where that died first and this process is a container's
        # init, the orphan is ours to reap.
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        os.close(self.pidfd)
        self._region.close()

    def _event(self, frame: framing.Frame, fds: tuple[int, ...]) -> Event:
        for fd in fds:
            os.close(fd)
        match frame:
            case framing.Ready(generation) if generation == self.generation and not fds:
                return Ready(self.worker, generation)
            case framing.Done() if frame.generation == self.generation and not fds:
                failure = None
                if frame.failed:
                    failure = decode_failure(self.page.read_error(frame.error_nbytes))
                return Replied(self.worker, self.generation, frame.dispatch, frame.cpu_ns, failure)
            case _:
                raise ServerFault(f"worker {self.worker} sent {frame} with {len(fds)} fds")
