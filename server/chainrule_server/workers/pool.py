"""The pool of worker processes, as the rest of the server sees it."""

import itertools
from collections.abc import Sequence
from typing import Self

from chainrule.errors import Unavailable
from chainrule_server.workers import events
from chainrule_server.workers.events import Round, Task
from chainrule_server.workers.launch import SPAWNER
from chainrule_server.workers.nursery import Bounds
from chainrule_server.workers.pending import Failpoints, Pending, PoolStats, WorkerStats
from chainrule_server.workers.protocol import Machine
from chainrule_server.workers.staff import Limits
from chainrule_server.workers.supervisor import Supervisor


class Pool:
    """Worker processes that do tasks. Thread-safe; start it before gRPC.

    with Pool(2) as pool:
        report = pool.submit(tasks, deadline=time.monotonic() + 60, patience_s=5).wait()
    """

    def __init__(
        self,
        n_workers: int,
        *,
        bounds: Bounds | None = None,
        limits: Limits | None = None,
        command: tuple[str, ...] = SPAWNER,
        failpoints: Failpoints | None = None,
    ) -> None:
        """Nothing is started yet.

        Args:
            n_workers: at least 1.
            bounds: what a worker may take.
            limits: of queue, attempts, times and caches.
            command: the spawner's command line; tests run another engine by it.
            failpoints: for tests.
        """
        if n_workers < 1:
            raise ValueError(f"a pool of {n_workers} workers; it needs at least 1")
        self.n_workers = n_workers
        self._ids = itertools.count(1)
        machine = Machine(n_workers, limits or Limits())
        self._supervisor = Supervisor(machine, command, bounds or Bounds(), failpoints)

    def start(self, timeout_s: float = 60.0) -> Self:
        """Start spawner and workers and wait until all are ready.

        Raises:
            Unavailable: they were not in time; the pool is closed again.
        """
        self._supervisor.start()
        if not self._supervisor.ready.wait(timeout_s):
            self.close()
            fact = f"the {self.n_workers} workers were not ready within {timeout_s:g} s"
            raise Unavailable(fact, cure="see the server's log for what the spawner said")
        return self

    def close(self) -> None:
        """Fail what runs, end all processes, wait until they are gone. Idempotent."""
        self._supervisor.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.close()

    def new_id(self) -> int:
        """An id for a resource, never given twice."""
        return next(self._ids)

    def submit(self, tasks: Sequence[Task], *, deadline: float, patience_s: float) -> Pending:
        """Have tasks done, in any order, by anybody.

        Args:
            tasks: all of one stage; their fds stay open until the round has ended.
            deadline: monotonic seconds; later the round fails and its workers are killed.
            patience_s: a task without progress for this long is begun again elsewhere.
        """
        return self._supervisor.submit(Round(self.new_id(), tuple(tasks), deadline, patience_s))

    def cancel(self, round_id: int) -> None:
        """End a round; it fails as CANCELLED when its workers are dead. No-op if it has ended."""
        self._supervisor.tell(events.Cancelled(round_id))

    def forget(self, resource_id: int) -> None:
        """Have workers unmap a resource that no round will name again."""
        self._supervisor.tell(events.Forgotten(resource_id))

    def stats(self) -> PoolStats:
        """A consistent picture of now."""
        supervisor = self._supervisor
        with supervisor.lock:
            machine, spawner = supervisor.machine, supervisor.spawner
            workers = []
            for worker in machine.staff.workers:
                link = supervisor.links.get(worker.index)
                workers.append(
                    WorkerStats(
                        index=worker.index,
                        pid=link.pid if link else None,
                        phase=worker.phase.value,
                        generation=worker.generation,
                        tasks_done=worker.tasks_done,
                        progress=link.page.progress if link else 0,
                        running=link.page.running if link else 0,
                    )
                )
            return PoolStats(
                workers=tuple(workers),
                spawner_pid=spawner.pid if spawner else None,
                spawners=supervisor.spawners,
                tasks=machine.n_tasks,
                deaths=supervisor.deaths,
                kills=supervisor.kills,
            )
