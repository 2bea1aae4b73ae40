"""The pool as a pure state machine: events in, instructions out. No clock, no process, no socket.

    machine.handle(event, now) -> instructions

Its promises, each with a test:
  - a task's result counts once, however late, doubled or stale the replies are;
  - the work of a lost worker is done again elsewhere; two workers in a row that die of one round with
    no success between make it POISON, deaths that the pool wished don't count;
  - a round ends (well or not) only when no worker can touch its memory any more, so boards and state
    buffers may be reused at once: what is killed counts as running until its death is seen;
  - queue, attempts, programs and mappings are bounded; every round has a deadline.
"""

from collections import deque
from dataclasses import dataclass, field

from chainrule import errors
from chainrule.errors import ChainruleError, ErrorCode
from chainrule_server.workers.events import (
    Cancelled,
    Closing,
    Died,
    Event,
    Fail,
    Finish,
    Forgotten,
    Forked,
    ForkFailed,
    Instruction,
    Ready,
    Replied,
    Report,
    Round,
    SpawnerDied,
    Started,
    Submitted,
    Tick,
    Unsent,
)
from chainrule_server.workers.failures import Failure
from chainrule_server.workers.staff import Assignment, Limits, Staff, Worker

# Row 75 of the threat table: the second death in a row is no accident.
_POISON_DEATHS = 2


@dataclass(slots=True)
class _State:
    """A round under way."""

    round: Round
    pending: deque[int]
    attempts: list[int]
    running: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)
    cpu_ns: int = 0
    workers: set[int] = field(default_factory=set)
    redone: int = 0
    deaths: int = 0
    failure: Failure | None = None
    failed_task: int = -1
    abandoned: bool = False

    @property
    def report(self) -> Report:
        return Report(self.cpu_ns, frozenset(self.workers), self.redone)


class Machine:
    """The pool's state. One caller at a time."""

    def __init__(self, n_workers: int, limits: Limits) -> None:
        self.staff = Staff(n_workers, limits)
        self._limits = limits
        self._rounds: dict[int, _State] = {}
        # Rounds with pending tasks take turns, so a small one does not wait behind a large one.
        self._turns: deque[int] = deque()
        self._dispatches = 0
        self._n_tasks = 0

    @property
    def n_tasks(self) -> int:
        """Tasks waiting or running."""
        return self._n_tasks

    def next_timer(self, now: float) -> float | None:
        """When a Tick is needed at the latest."""
        deadlines = [s.round.deadline for s in self._rounds.values() if not s.abandoned]
        timer = self.staff.next_timer(now)
        return min(deadlines + ([] if timer is None else [timer]), default=None)

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take in an event; returns what to do, in order."""
        out: list[Instruction] = []
        match event:
            case Submitted(round):
                self._submit(round, now, out)
            case Replied():
                self._replied(event, out)
            case Unsent(index, generation, dispatch):
                self._unsent(index, generation, dispatch, out)
            case Died(index, generation, running):
                worker = self.staff.find(index, generation)
                if worker is not None:
                    self._died(worker, running, now, out)
            case Cancelled(round_id):
                self._abandon(round_id, _cancelled(), out)
            case Forgotten(resource_id):
                self.staff.forget(resource_id, out)
            case Started():
                self.staff.spawner_started()
            case SpawnerDied():
                self.staff.spawner_died(now, out)
            case Forked(index, generation):
                self.staff.forked(index, generation, out)
            case ForkFailed(index, generation):
                self.staff.fork_failed(index, generation, now)
            case Ready(index, generation):
                self.staff.ready(index, generation)
            case Closing():
                self._close(out)
            case Tick(progress):
                self._tick(progress, now, out)
        if isinstance(event, Started | SpawnerDied | ForkFailed | Died):
            self.staff.revive(now, out)
        self._deal(now, out)
        return out

    # ---- rounds ----

    def _submit(self, round: Round, now: float, out: list[Instruction]) -> None:
        refusal: ChainruleError | None = None
        if self.staff.closing:
            refusal = _draining()
        elif now >= round.deadline:
            refusal = _late()
        elif self._n_tasks + len(round.tasks) > self._limits.max_tasks:
            refusal = _overloaded(self._limits.max_tasks)
        if refusal is not None:
            out.append(Fail(round.id, Failure(refusal), Report()))
            return
        n = len(round.tasks)
        self._n_tasks += n
        state = self._rounds[round.id] = _State(round, deque(range(n)), [0] * n)
        self._turns.append(round.id)
        self._settle(state, out)  # a round of nothing is done

    def _deal(self, now: float, out: list[Instruction]) -> None:
        while self._turns:
            state = self._rounds.get(self._turns[0])
            if state is None or not state.pending:
                self._turns.popleft()
                continue
            index = state.pending[0]
            task = state.round.tasks[index]
            worker = self.staff.idle(task.program.id)
            if worker is None:
                return
            state.pending.popleft()
            self._turns.rotate(-1)
            self._dispatches += 1
            # A false alarm on a busy machine must not repeat: each attempt gets twice the time.
            patience_s = state.round.patience_s * 2 ** state.attempts[index]
            state.attempts[index] += 1
            state.running.add(index)
            work = Assignment(self._dispatches, state.round.id, index, patience_s)
            self.staff.assign(worker, work, task, now, out)

    def _settle(self, state: _State, out: list[Instruction]) -> None:
        """End the round if nothing of it runs or waits."""
        if state.running or state.pending:
            return
        del self._rounds[state.round.id]
        self._n_tasks -= len(state.round.tasks)
        if state.failure is not None:
            out.append(Fail(state.round.id, state.failure, state.report))
        else:
            out.append(Finish(state.round.id, state.report))

    def _abandon(self, round_id: int, error: ChainruleError, out: list[Instruction]) -> None:
        """Fail a round and kill what works on it; it ends when the last of these is dead."""
        state = self._rounds.get(round_id)
        if state is None or state.abandoned:
            return
        state.abandoned = True
        state.pending.clear()
        if state.failure is None:
            state.failure = Failure(error)
        for worker in self.staff.workers:
            if worker.assigned is not None and worker.assigned.round_id == round_id:
                self.staff.doom(worker, f"its round ended: {error.code.name}", out)
        self._settle(state, out)

    # ---- workers ----

    def _replied(self, reply: Replied, out: list[Instruction]) -> None:
        worker = self.staff.find(reply.worker, reply.generation)
        if worker is None or worker.assigned is None:
            return  # of a process that is gone, or the same answer twice
        if worker.assigned.dispatch != reply.dispatch:
            return
        work = self.staff.release(worker)
        state = self._rounds.get(work.round_id) if work is not None else None
        if work is None or state is None:
            return
        state.running.discard(work.task)
        state.deaths = 0
        if reply.failure is not None:
            # Of several failures the first task's is told, whoever was quicker.
            if state.failure is None or -1 < work.task < state.failed_task:
                state.failure, state.failed_task = reply.failure, work.task
            state.pending.clear()
        else:
            state.done.add(work.task)
            state.workers.add(worker.index)
            state.cpu_ns += reply.cpu_ns
        self._settle(state, out)

    def _unsent(self, index: int, generation: int, dispatch: int, out: list[Instruction]) -> None:
        worker = self.staff.find(index, generation)
        if worker is None or worker.assigned is None or worker.assigned.dispatch != dispatch:
            return
        work, worker.assigned = worker.assigned, None
        self.staff.doom(worker, "it takes no tasks", out)
        state = self._rounds.get(work.round_id)
        if state is not None:
            state.attempts[work.task] -= 1
            self._again(state, work.task, out)

    def _died(self, worker: Worker, running: int, now: float, out: list[Instruction]) -> None:
        work, ours = self.staff.died(worker, now)
        state = self._rounds.get(work.round_id) if work is not None else None
        if work is None or state is None:
            return
        if state.failure is None:
            state.redone += 1
            if not ours and running == work.dispatch:
                state.deaths += 1
            if state.deaths >= _POISON_DEATHS:
                state.running.discard(work.task)
                self._abandon(state.round.id, _poison(state.deaths), out)
                return
            if state.attempts[work.task] >= self._limits.max_attempts:
                state.running.discard(work.task)
                self._abandon(state.round.id, _lost(state.attempts[work.task]), out)
                return
        self._again(state, work.task, out)

    def _again(self, state: _State, task: int, out: list[Instruction]) -> None:
        """A task came back undone: to the head of its round, if that still wants it."""
        state.running.discard(task)
        if state.failure is None:
            state.pending.appendleft(task)
            if state.round.id not in self._turns:
                self._turns.appendleft(state.round.id)
        self._settle(state, out)

    def _tick(self, progress: dict[int, int], now: float, out: list[Instruction]) -> None:
        late = [s.round.id for s in self._rounds.values() if s.round.deadline <= now]
        for round_id in late:
            self._abandon(round_id, _late(), out)
        self.staff.tick(now, progress, out)

    def _close(self, out: list[Instruction]) -> None:
        self.staff.closing = True
        for worker in self.staff.workers:
            self.staff.doom(worker, "the pool closes", out)
        for round_id in tuple(self._rounds):
            self._abandon(round_id, _draining(), out)


# ---- what callers are told ----


def _cancelled() -> ChainruleError:
    return errors.Cancelled("the run was cancelled by its caller", code=ErrorCode.CANCELLED)


def _late() -> ChainruleError:
    cure = "give it more time, or send a smaller batch"
    return errors.DeadlineExceeded(
        "the run passed its deadline", code=ErrorCode.DEADLINE, cure=cure
    )


def _draining() -> ChainruleError:
    cure = "try again in a moment"
    return errors.Unavailable("the server is closing", code=ErrorCode.DRAINING, cure=cure)


def _overloaded(limit: int) -> ChainruleError:
    fact = f"the pool's queue of {limit} tasks is full"
    return errors.Overloaded(fact, code=ErrorCode.OVERLOADED, cure="try again later", limit=limit)


def _poison(deaths: int) -> ChainruleError:
    fact = f"{deaths} workers in a row died while they ran this request"
    return errors.ServerFault(
        fact, code=ErrorCode.POISON, cure="don't send it again; report the graph"
    )


def _lost(attempts: int) -> ChainruleError:
    fact = f"a part of the run lost its worker {attempts} times"
    return errors.Unavailable(fact, code=ErrorCode.UNAVAILABLE, cure="try again later")
