"""The shell around the state machine of `protocol`: sockets, processes, time.

Events are fed under one lock by whichever thread has them, and that thread does what the machine says: so a
submitted task starts without a change of thread. The supervisor thread reads what workers say and
sees them die. It also starts the spawner, which the kernel ends with the thread that started it.
"""

import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from chainrule.errors import ChainruleError, ServerFault, Unavailable
from chainrule_server import telemetry
from chainrule_server.workers import events, framing
from chainrule_server.workers.events import Event, Fail, Finish, Instruction, Report, Round
from chainrule_server.workers.failures import Failure
from chainrule_server.workers.launch import Spawner
from chainrule_server.workers.link import Link
from chainrule_server.workers.nursery import Bounds
from chainrule_server.workers.pending import Failpoints, Pending
from chainrule_server.workers.protocol import Machine

log = telemetry.logger("workers")

# The supervisor looks around this often with nothing to do, so that a submit need not wake it to
# have progress watched.
_IDLE_S = 0.5
_CLOSE_TIMEOUT_S = 10.0

Handler: TypeAlias = Callable[[], None]


class Supervisor:
    """Runs a machine. Reading its attributes needs `lock`.

    Attributes:
        links: the worker processes there are.
        spawner: where they come from; None while there is none.
        spawners, deaths, kills: how many there have been.
    """

    def __init__(
        self,
        machine: Machine,
        command: tuple[str, ...],
        bounds: Bounds,
        failpoints: Failpoints | None,
    ) -> None:
        self.lock = threading.Lock()
        self.machine = machine
        self.links: dict[int, Link] = {}
        self.spawner: Spawner | None = None
        self.spawners = self.deaths = self.kills = 0
        self.ready = threading.Event()
        self._command = command
        self._bounds = bounds
        self._failpoints = failpoints
        self._pending: dict[int, Pending] = {}
        self._start_spawner = False
        self._selector = selectors.EpollSelector()
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._wake_at = 0.0
        self._stale = True
        self._thread = threading.Thread(target=self._supervise, name="supervisor", daemon=True)
        self._closing = False
        self._ended = False

    def start(self) -> None:
        """Begin; `ready` is set when every worker is."""
        self._thread.start()

    def close(self) -> None:
        """Fail what runs, end all processes, wait until they are gone. Idempotent."""
        with self.lock:
            self._closing = True
            if not self._ended:
                os.eventfd_write(self._wake_fd, 1)
        if self._thread.ident is None:
            self._release()
        else:
            self._thread.join()

    def submit(self, round: Round) -> Pending:
        """Have a round done."""
        pending = Pending(round.id)
        with self.lock:
            if self._ended:
                pending.end(Report(), Failure(_gone()))
                return pending
            self._pending[round.id] = pending
            self._feed(events.Submitted(round))
            if round.deadline < self._wake_at:
                os.eventfd_write(self._wake_fd, 1)
        self._reached("pool.submitted", round_id=round.id)
        return pending

    def tell(self, event: events.Cancelled | events.Forgotten) -> None:
        """Have the machine know something; nothing to know once closed."""
        with self.lock:
            if not self._ended:
                self._feed(event)

    # ---- with the lock held ----

    def _feed(self, event: Event) -> None:
        """Tell the machine and do what it says; doing may give further events."""
        coming = deque([event])
        while coming:
            for order in self.machine.handle(coming.popleft(), time.monotonic()):
                answer = self._do(order)
                if answer is not None:
                    coming.append(answer)

    def _do(self, order: Instruction) -> Event | None:
        match order:
            case events.Send(worker, generation, dispatch):
                if not self._link(worker, generation).send(order):
                    return events.Unsent(worker, generation, dispatch)
            case Finish(round_id, report):
                self._pending.pop(round_id).end(report, None)
            case Fail(round_id, failure, report):
                if failure.detail:
                    log.error("engine_failed", detail=failure.detail)
                self._pending.pop(round_id).end(report, failure)
            case events.Drop(worker, generation, resource_id):
                self._link(worker, generation).drop(resource_id)
            case events.Kill(worker, generation, why):
                self.kills += 1
                self._note("worker_killed", worker=worker, why=why)
                self._link(worker, generation).kill()
            case events.Fork(worker, generation):
                if self.spawner is not None:
                    self.spawner.fork(worker, generation)
            case events.KillSpawner():
                log.warning("spawner_killed", why="it does not fork")
                if self.spawner is not None:
                    self.spawner.kill()
            case events.StartSpawner():
                self._start_spawner = True
                os.eventfd_write(self._wake_fd, 1)
        return None

    def _note(self, event: str, **facts: object) -> None:
        """A death; when the pool closes it is no news."""
        (log.debug if self._closing else log.warning)(event, **facts)

    def _link(self, worker: int, generation: int) -> Link:
        link = self.links[worker]
        if link.generation != generation:
            raise ServerFault(f"worker {worker} is at {link.generation}, not {generation}")
        return link

    # ---- the supervisor thread ----

    def _supervise(self) -> None:
        self._selector.register(self._wake_fd, selectors.EVENT_READ, self._on_wake)
        try:
            while not self._closing:
                # Replies alone make nothing due, and whoever waits for one needs the GIL now.
                if self._stale or time.monotonic() >= self._wake_at:
                    self._look_around()
                self._poll(max(0.0, self._wake_at - time.monotonic()))
        except Exception:  # the boundary of the thread: nobody may wait for a pool that is no more
            log.exception("supervisor_failed")
        finally:
            self._shut_down()

    def _look_around(self) -> None:
        """Let the machine see the time and the progress of all; set the next time to do so."""
        with self.lock:
            self._stale = False
            progress = {index: link.page.progress for index, link in self.links.items()}
            self._feed(events.Tick(progress))
        self._start_if_wanted()
        with self.lock:
            now = time.monotonic()
            timer = self.machine.next_timer(now)
            self._wake_at = now + _IDLE_S if timer is None else min(timer, now + _IDLE_S)

    def _poll(self, timeout_s: float) -> None:
        """Wait, then read what was said before looking who is dead."""
        ready = self._selector.select(timeout_s)
        handlers: list[Handler] = [key.data for key, _ in ready]
        # A handler may close what another one of this round is about; that one then does nothing.
        for handler in handlers:
            handler()

    def _on_wake(self) -> None:
        os.eventfd_read(self._wake_fd)
        self._stale = True

    def _start_if_wanted(self) -> None:
        with self.lock:
            wanted, self._start_spawner = self._start_spawner, False
        if not wanted or self._closing:
            return
        try:
            spawner = Spawner(self._command, self._bounds)
        except OSError as error:
            log.error("spawner_not_started", error=str(error))
            with self.lock:
                self._feed(events.SpawnerDied())
            return
        log.info("spawner_started", pid=spawner.pid)
        with self.lock:
            self.spawner = spawner
            self.spawners += 1
            self._feed(events.Started())
        self._selector.register(spawner.control, selectors.EVENT_READ, self._on_control)
        self._selector.register(spawner.pidfd, selectors.EVENT_READ, self._on_control)

    def _on_control(self) -> None:
        """The spawner forked a worker, or is gone."""
        self._stale = True
        spawner = self.spawner
        if spawner is None:
            return
        try:
            while (received := framing.receive(spawner.control)) is not None:
                self._born(*received)
        except BlockingIOError:
            return
        except ServerFault as error:
            log.error("spawner_broken", error=str(error))
        self._spawner_gone(spawner)

    def _spawner_gone(self, spawner: Spawner) -> None:
        log.error("spawner_lost", pid=spawner.pid)
        self._selector.unregister(spawner.control)
        self._selector.unregister(spawner.pidfd)
        with self.lock:
            self.spawner = None
            self._feed(events.SpawnerDied())
        spawner.close()

    def _born(self, frame: framing.Frame, fds: tuple[int, ...]) -> None:
        match frame:
            case framing.Forked(worker, generation) if len(fds) == 2:
                try:
                    link = Link(frame, *fds)
                except (ChainruleError, OSError) as error:
                    log.error("worker_not_taken", worker=worker, error=str(error))
                    with self.lock:
                        self._feed(events.ForkFailed(worker, generation))
                    return
                with self.lock:
                    self.links[worker] = link
                    self._feed(events.Forked(worker, generation))
                self._selector.register(
                    link.sock, selectors.EVENT_READ, lambda: self._on_reply(link)
                )
                self._selector.register(
                    link.pidfd, selectors.EVENT_READ, lambda: self._on_death(link)
                )
            case framing.ForkFailed(worker, generation, errno):
                log.error("fork_failed", worker=worker, errno=errno)
                with self.lock:
                    self._feed(events.ForkFailed(worker, generation))
            case _:
                for fd in fds:
                    os.close(fd)
                raise ServerFault(f"the spawner sent {frame} with {len(fds)} fds")

    def _on_reply(self, link: Link) -> None:
        """A worker said something, or closed its socket: then its pidfd tells the rest."""
        if self.links.get(link.worker) is not link:
            return
        try:
            for event in link.replies():
                self._reached("pool.reply", worker=link.worker)
                with self.lock:
                    self._feed(event)
                    if self.machine.staff.is_ready:
                        self.ready.set()
        except (EOFError, ServerFault) as error:
            if isinstance(error, ServerFault):
                log.error("worker_broken", error=str(error))
            self._selector.unregister(link.sock)
            link.kill()

    def _on_death(self, link: Link) -> None:
        """A worker is gone: what it still said counts, and a dead spawner is to be known first."""
        if link.sock.fileno() in self._selector.get_map():
            self._on_reply(link)
        # The kernel closes the spawner's socket before it ends the spawner's children, so workers
        # that go with it are never taken for victims of their task.
        self._on_control()
        running = link.page.running
        for fd in (link.sock.fileno(), link.pidfd):
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
        self._note("worker_lost", worker=link.worker, pid=link.pid)
        with self.lock:
            self.deaths += 1
            self._feed(events.Died(link.worker, link.generation, running))
            if self.links.get(link.worker) is link:
                del self.links[link.worker]
        link.close()

    def _shut_down(self) -> None:
        """Kill, and wait for each end: rounds fail only when no worker can touch their memory."""
        with self.lock:
            self._closing = True
            self._feed(events.Closing())
        deadline = time.monotonic() + _CLOSE_TIMEOUT_S
        while not self.machine.staff.is_empty and time.monotonic() < deadline:
            self._poll(0.1)
        self._release()

    def _release(self) -> None:
        with self.lock:
            if self._ended:
                return
            self._ended = True
            for pending in self._pending.values():
                pending.end(Report(), Failure(_gone()))
            self._pending.clear()
            spawner, self.spawner = self.spawner, None
            links = list(self.links.values())
            self.links.clear()
        if spawner is not None:
            spawner.close()
        for link in links:
            link.close()
        self._selector.close()
        os.close(self._wake_fd)

    def _reached(self, name: str, **facts: object) -> None:
        if self._failpoints is not None:
            self._failpoints.reached(name, **facts)


def _gone() -> Unavailable:
    return Unavailable("the pool is closed", cure="connect again")
