"""The pool's state machine on a stage of its own: no clock, no process, time goes on when told."""

from typing import TypeVar

from chainrule_server.workers import events
from chainrule_server.workers.events import (
    Died,
    Event,
    Forked,
    Instruction,
    Ready,
    Replied,
    Resource,
    Round,
    Send,
    Started,
    StartSpawner,
    Submitted,
    Task,
    Tick,
)
from chainrule_server.workers.failures import Failure
from chainrule_server.workers.protocol import Machine
from chainrule_server.workers.staff import Limits

T = TypeVar("T")

LIMITS = Limits(max_tasks=64, max_attempts=3, spawn_timeout_s=10, max_programs=2, max_regions=3)


def resource(number: int) -> Resource:
    return Resource(number, number, 0, 64, writable=True)


def task(block: int, program: int = 1, board: int = 2) -> Task:
    return Task(resource(program), resource(board), 0, 8, False, block, block + 1)


class Scene:
    """A machine and what it said so far; time goes on only when told."""

    def __init__(self, n_workers: int, limits: Limits = LIMITS) -> None:
        self.machine = Machine(n_workers, limits)
        self.now = 0.0
        self.said: list[Instruction] = []
        self.tell(Tick())
        assert self.taken() == [StartSpawner()]
        self.tell(Started())
        self.hire()

    def tell(self, event: Event, after: float = 0.0) -> None:
        self.now += after
        self.said += self.machine.handle(event, self.now)

    def taken(self) -> list[Instruction]:
        said, self.said = self.said, []
        return said

    def hire(self) -> None:
        """Answer every request for a fork by a worker that is ready."""
        while forks := self.take(events.Fork):
            for fork in forks:
                self.tell(Forked(fork.worker, fork.generation))
                self.tell(Ready(fork.worker, fork.generation))

    def take(self, kind: type[T]) -> list[T]:
        found: list[T] = [order for order in self.said if isinstance(order, kind)]
        self.said = [order for order in self.said if not isinstance(order, kind)]
        return found

    def submit(self, n_tasks: int, id: int = 1, deadline: float = 1e9, patience: float = 5) -> None:
        tasks = tuple(task(block) for block in range(n_tasks))
        self.tell(Submitted(Round(id, tasks, deadline, patience)))

    def reply(self, send: Send, cpu_ns: int = 7, failure: Failure | None = None) -> None:
        self.tell(Replied(send.worker, send.generation, send.dispatch, cpu_ns, failure))

    def die(self, send: Send) -> None:
        self.tell(Died(send.worker, send.generation, send.dispatch))
        self.hire()


def blocks(sends: list[Send]) -> list[int]:
    return [send.task.lo for send in sends]
