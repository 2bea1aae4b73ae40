"""What the pool hands out: a round under way, a picture of itself, a place for tests to step in."""

import threading
from dataclasses import dataclass
from typing import Protocol

from chainrule_server.workers.events import Report
from chainrule_server.workers.failures import Failure


class Failpoints(Protocol):
    """Where a test may step in. Production has none."""

    def reached(self, name: str, **facts: object) -> None:
        """Called in the thread that is there, without locks of ours held."""


class Pending:
    """A round under way."""

    __slots__ = ("_done", "_failure", "_report", "id")

    def __init__(self, round_id: int) -> None:
        self.id = round_id
        self._report = Report()
        self._failure: Failure | None = None
        self._done = threading.Lock()
        self._done.acquire()

    def wait(self) -> Report:
        """Wait for its end; once.

        Raises:
            ChainruleError: what ended it without a result.
        """
        self._done.acquire()
        try:
            if self._failure is not None:
                raise self._failure.error
            return self._report
        finally:
            # An error reachable from its own traceback would keep the run's memory until a collection.
            self._failure = None

    def end(self, report: Report, failure: Failure | None) -> None:
        """Let those who wait go on; once."""
        self._report, self._failure = report, failure
        self._done.release()


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """One worker now; pid is None while it has no process, running the dispatch in hand or 0."""

    index: int
    pid: int | None
    phase: str
    generation: int
    tasks_done: int
    progress: int
    running: int


@dataclass(frozen=True, slots=True)
class PoolStats:
    """The pool now, and what it has gone through."""

    workers: tuple[WorkerStats, ...]
    spawner_pid: int | None
    spawners: int
    tasks: int
    deaths: int
    kills: int
