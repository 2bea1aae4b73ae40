"""What happens to the pool and what it does about it: the vocabulary of `protocol`, as values."""

from dataclasses import dataclass, field
from typing import TypeAlias

from chainrule_server.workers.failures import Failure


@dataclass(frozen=True, slots=True)
class Resource:
    """A range of a file that a worker maps once and knows by `id` from then on.

    Attributes:
        id: the same range has the same id, another one never; at least 1.
        fd: open as long as a round that names it runs.
    """

    id: int
    fd: int
    offset: int
    nbytes: int
    writable: bool


@dataclass(frozen=True, slots=True)
class Task:
    """One message to one worker: a block of a sharded stage, or a whole unsharded one."""

    program: Resource
    board: Resource
    stage: int
    n: int
    whole: bool
    lo: int = 0
    hi: int = 0
    out_offset: int = 0
    out_nbytes: int = 0
    state_read: Resource | None = None
    state_write: Resource | None = None

    @property
    def regions(self) -> tuple[Resource, ...]:
        """What has to be mapped, besides the program."""
        states = (self.state_read, self.state_write)
        return (self.board, *(state for state in states if state is not None))


@dataclass(frozen=True, slots=True)
class Round:
    """The tasks of one stage of one request; it ends when no worker can touch its memory.

    Attributes:
        deadline: monotonic seconds.
        patience_s: a task without progress for this long is a hang.
    """

    id: int
    tasks: tuple[Task, ...]
    deadline: float
    patience_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """What a round took.

    Attributes:
        cpu_ns: of the tasks that counted, summed.
        workers: the indices of workers whose results counted.
        redone: tasks done again because their worker was lost.
    """

    cpu_ns: int = 0
    workers: frozenset[int] = frozenset()
    redone: int = 0


# ---- events ----


@dataclass(frozen=True, slots=True)
class Started:
    """The spawner process was started."""


@dataclass(frozen=True, slots=True)
class SpawnerDied:
    """The spawner is gone, and by the kernel's doing its workers are or soon will be."""


@dataclass(frozen=True, slots=True)
class Forked:
    """A worker process exists; from now on its death is certain to be told."""

    worker: int
    generation: int


@dataclass(frozen=True, slots=True)
class ForkFailed:
    """The spawner could not fork."""

    worker: int
    generation: int


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker is set up and waits."""

    worker: int
    generation: int


@dataclass(frozen=True, slots=True)
class Replied:
    """A worker ended a task, well if `failure` is None."""

    worker: int
    generation: int
    dispatch: int
    cpu_ns: int
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Unsent:
    """A task could not be handed to its worker, which is dying; it never saw it."""

    worker: int
    generation: int
    dispatch: int


@dataclass(frozen=True, slots=True)
class Died:
    """A worker process is gone for certain. `running` is the dispatch it had begun, or 0."""

    worker: int
    generation: int
    running: int


@dataclass(frozen=True, slots=True)
class Submitted:
    """Somebody wants a round done."""

    round: Round


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Somebody no longer wants it."""

    round_id: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Nothing will name this resource again."""

    resource_id: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed; the progress counter of each worker as read now."""

    progress: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Closing:
    """The pool ends."""


Event: TypeAlias = (
    Started
    | SpawnerDied
    | Forked
    | ForkFailed
    | Ready
    | Replied
    | Unsent
    | Died
    | Submitted
    | Cancelled
    | Forgotten
    | Tick
    | Closing
)


# ---- instructions ----


@dataclass(frozen=True, slots=True)
class StartSpawner:
    """Start a spawner process."""


@dataclass(frozen=True, slots=True)
class KillSpawner:
    """It does not answer: SIGKILL."""


@dataclass(frozen=True, slots=True)
class Fork:
    """Ask the spawner for a worker."""

    worker: int
    generation: int


@dataclass(frozen=True, slots=True)
class Send:
    """Hand a task over; `attach` are the resources whose fds the worker has not had."""

    worker: int
    generation: int
    dispatch: int
    task: Task
    attach: frozenset[int]


@dataclass(frozen=True, slots=True)
class Drop:
    """Have a worker forget a resource."""

    worker: int
    generation: int
    resource_id: int


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL a worker."""

    worker: int
    generation: int
    why: str


@dataclass(frozen=True, slots=True)
class Finish:
    """A round is done."""

    round_id: int
    report: Report


@dataclass(frozen=True, slots=True)
class Fail:
    """A round ends without a result."""

    round_id: int
    failure: Failure
    report: Report


Instruction: TypeAlias = StartSpawner | KillSpawner | Fork | Send | Drop | Kill | Finish | Fail
