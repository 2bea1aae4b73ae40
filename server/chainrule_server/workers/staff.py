"""The life of spawner and workers: who lives, who is due, who is doomed. Pure; half of `protocol`."""

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum

from chainrule_server.workers.events import (
    Drop,
    Fork,
    Instruction,
    Kill,
    KillSpawner,
    Send,
    StartSpawner,
    Task,
)


class Phase(Enum):
    """Where a worker stands. Only the last four have a process."""

    ABSENT = "absent"
    REQUESTED = "requested"
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    DOOMED = "doomed"


_ALIVE = frozenset({Phase.STARTING, Phase.IDLE, Phase.BUSY, Phase.DOOMED})


@dataclass(frozen=True, slots=True)
class Limits:
    """The pool's bounds.

    Attributes:
        max_tasks: tasks waiting or running; more are refused.
        max_attempts: how often a task is handed out before its round fails.
        spawn_timeout_s: from a fork's request to the worker's first word.
        sample_s: how often progress is looked at while somebody works.
        max_programs, max_regions: what a worker keeps loaded and mapped; the least recently used go.
        backoff_s, max_backoff_s: wait before the third start in a row without a success, doubled each
            time; the first two come at once.
    """

    max_tasks: int = 4096
    max_attempts: int = 5
    spawn_timeout_s: float = 60.0
    sample_s: float = 0.25
    max_programs: int = 16
    max_regions: int = 96
    backoff_s: float = 0.05
    max_backoff_s: float = 5.0

    def backoff(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        return (
            0.0 if failures < 2 else min(self.backoff_s * 2 ** (failures - 2), self.max_backoff_s)
        )


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker has in hand."""

    dispatch: int
    round_id: int
    task: int
    patience_s: float


@dataclass(slots=True)
class Worker:
    """The record of one worker; `generation` counts its processes."""

    index: int
    generation: int = 0
    phase: Phase = Phase.ABSENT
    since: float = 0.0
    due: float = 0.0
    failures: int = 0
    tasks_done: int = 0
    assigned: Assignment | None = None
    programs: OrderedDict[int, None] = field(default_factory=OrderedDict)
    regions: OrderedDict[int, None] = field(default_factory=OrderedDict)
    progress: int = -1
    progress_at: float = 0.0


class Staff:
    """All workers and their spawner. Methods append to `out` what is to be done."""

    def __init__(self, n_workers: int, limits: Limits) -> None:
        self.workers = tuple(Worker(index) for index in range(n_workers))
        self.closing = False
        self._limits = limits
        self._spawner_up = False
        self._spawner_due: float | None = 0.0
        self._spawner_failures = 0
        self._spawner_killed = False

    def find(self, index: int, generation: int) -> Worker | None:
        """The worker, if this is still its living process."""
        worker = self.workers[index]
        return worker if worker.generation == generation and worker.phase in _ALIVE else None

    @property
    def is_ready(self) -> bool:
        """Whether every worker can work."""
        return all(worker.phase in (Phase.IDLE, Phase.BUSY) for worker in self.workers)

    @property
    def is_empty(self) -> bool:
        """Whether no process lives or is being born."""
        return all(worker.phase is Phase.ABSENT for worker in self.workers)

    # ---- the spawner ----

    def spawner_started(self) -> None:
        self._spawner_up, self._spawner_due, self._spawner_killed = True, None, False

    def spawner_died(self, now: float, out: list[Instruction]) -> None:
        """The kernel ends the workers too; they are told to go in case one had not begun to."""
        self._spawner_up = False
        self._spawner_failures += 1
        self._spawner_due = now + self._limits.backoff(self._spawner_failures)
        for worker in self.workers:
            if worker.phase is Phase.REQUESTED:
                worker.phase, worker.due = Phase.ABSENT, now
            else:
                self.doom(worker, "its spawner died", out)

    # ---- a worker ----

    def forked(self, index: int, generation: int, out: list[Instruction]) -> None:
        worker = self.workers[index]
        if worker.generation == generation and worker.phase is Phase.REQUESTED:
            worker.phase = Phase.STARTING
            if self.closing:
                self.doom(worker, "the pool closes", out)

    def fork_failed(self, index: int, generation: int, now: float) -> None:
        worker = self.workers[index]
        if worker.generation == generation and worker.phase is Phase.REQUESTED:
            self._leave(worker, now)

    def ready(self, index: int, generation: int) -> None:
        worker = self.find(index, generation)
        if worker is not None and worker.phase is Phase.STARTING:
            worker.phase = Phase.IDLE
            self._spawner_failures = 0

    def idle(self, program_id: int) -> Worker | None:
        """Who is to get the next task: one that has its program loaded, if there is one."""
        idle = [worker for worker in self.workers if worker.phase is Phase.IDLE]
        warm = [worker for worker in idle if program_id in worker.programs]
        return warm[0] if warm else idle[0] if idle else None

    def assign(
        self, worker: Worker, work: Assignment, task: Task, now: float, out: list[Instruction]
    ) -> None:
        """Hand a task to an idle worker, with what it lacks; what it has too much of goes."""
        attach = set()
        limits = self._limits
        used = {task.program.id, *(region.id for region in task.regions)}
        for held, wanted, bound in (
            (worker.programs, (task.program,), limits.max_programs),
            (worker.regions, task.regions, limits.max_regions),
        ):
            for resource in wanted:
                if resource.id not in held:
                    attach.add(resource.id)
                held[resource.id] = None
                held.move_to_end(resource.id)
            while len(held) > bound and next(iter(held)) not in used:
                oldest, _ = held.popitem(last=False)
                out.append(Drop(worker.index, worker.generation, oldest))
        worker.phase, worker.assigned, worker.since = Phase.BUSY, work, now
        worker.progress, worker.progress_at = -1, now
        out.append(Send(worker.index, worker.generation, work.dispatch, task, frozenset(attach)))

    def release(self, worker: Worker) -> Assignment | None:
        """It has answered (unless it is doomed it waits again); returns what it had in hand."""
        work, worker.assigned = worker.assigned, None
        if worker.phase is Phase.BUSY:
            worker.phase = Phase.IDLE
            worker.failures = 0
            worker.tasks_done += 1
        return work

    def doom(self, worker: Worker, why: str, out: list[Instruction]) -> None:
        """Have it killed; its death is ours and says nothing about its task."""
        if worker.phase in _ALIVE and worker.phase is not Phase.DOOMED:
            worker.phase = Phase.DOOMED
            out.append(Kill(worker.index, worker.generation, why))

    def died(self, worker: Worker, now: float) -> tuple[Assignment | None, bool]:
        """It is gone; returns what it had in hand and whether the pool had wished it dead."""
        work, ours = worker.assigned, worker.phase is Phase.DOOMED
        if ours:
            worker.phase, worker.due = Phase.ABSENT, now
            self._empty(worker)
        else:
            self._leave(worker, now)
        return work, ours

    def forget(self, resource_id: int, out: list[Instruction]) -> None:
        for worker in self.workers:
            for held in (worker.programs, worker.regions):
                if held.pop(resource_id, 0) is None and worker.phase is not Phase.DOOMED:
                    out.append(Drop(worker.index, worker.generation, resource_id))

    # ---- time ----

    def tick(self, now: float, progress: dict[int, int], out: list[Instruction]) -> None:
        """End what hangs, start what is due."""
        for worker in self.workers:
            self._watch(worker, now, progress.get(worker.index, worker.progress), out)
        self.revive(now, out)

    def revive(self, now: float, out: list[Instruction]) -> None:
        """Start what is due: the spawner, and the workers that have no process."""
        if self._spawner_due is not None and self._spawner_due <= now and not self.closing:
            self._spawner_due = None
            out.append(StartSpawner())
        for worker in self.workers:
            if worker.phase is Phase.ABSENT and worker.due <= now:
                self._request(worker, now, out)

    def next_timer(self, now: float) -> float | None:
        """When `tick` has something to do at the latest."""
        times = [] if self._spawner_due is None else [self._spawner_due]
        for worker in self.workers:
            if worker.phase is Phase.BUSY:
                times.append(now + self._limits.sample_s)
            elif worker.phase in (Phase.REQUESTED, Phase.STARTING):
                times.append(worker.since + self._limits.spawn_timeout_s)
            elif worker.phase is Phase.ABSENT and self._spawner_up:
                times.append(worker.due)
        return min(times, default=None)

    def _watch(self, worker: Worker, now: float, progress: int, out: list[Instruction]) -> None:
        if worker.phase is Phase.BUSY and worker.assigned is not None:
            if progress != worker.progress:
                worker.progress, worker.progress_at = progress, now
            elif now - worker.progress_at > worker.assigned.patience_s:
                self.doom(worker, f"no progress for {worker.assigned.patience_s:g} s", out)
            return
        late = now - worker.since > self._limits.spawn_timeout_s
        if worker.phase is Phase.STARTING and late:
            self.doom(worker, "not ready in time", out)
        elif worker.phase is Phase.REQUESTED and late and not self._spawner_killed:
            # A spawner that does not fork is stopped or stuck: its death repairs everything.
            self._spawner_killed = True
            out.append(KillSpawner())

    def _request(self, worker: Worker, now: float, out: list[Instruction]) -> None:
        if not self._spawner_up or self.closing:
            return
        worker.generation += 1
        worker.phase, worker.since = Phase.REQUESTED, now
        out.append(Fork(worker.index, worker.generation))

    def _leave(self, worker: Worker, now: float) -> None:
        worker.failures += 1
        worker.phase, worker.due = Phase.ABSENT, now + self._limits.backoff(worker.failures)
        self._empty(worker)

    @staticmethod
    def _empty(worker: Worker) -> None:
        worker.assigned = None
        worker.programs.clear()
        worker.regions.clear()
