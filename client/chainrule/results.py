"""What calls give back beside arrays: plain values that read well when printed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.wire.records import Head, NodeCost, Notice, Numerics, Receipt, Resources

Array = np.ndarray[Any, np.dtype[Any]]

DURABILITIES = {"memory": 1, "process": 2, "disk": 3}
_DURABILITY_NAMES = {number: name for name, number in DURABILITIES.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """The answer to `client.compute`.

    Attributes:
        value: what the function gives, None where it wasn't asked for.
        grad: as the argument in `wrt`, or a tuple of those; None where it wasn't asked for.
        stats: time, work and memory that it took.
        notices: what is worth knowing, such as a batch that couldn't be split.
        numerics: everything that may move a bit of the numbers.
        finite: no NaN and no infinity in any of them.
        grad_norm: Euclidean, over the whole gradient; None without one.
    """

    value: Any
    grad: Any
    stats: Resources
    notices: tuple[Notice, ...]
    numerics: Numerics
    finite: bool
    grad_norm: float | None

    def __repr__(self) -> str:
        parts = [
            f"{name}={_brief(getattr(self, name))}"
            for name in ("value", "grad")
            if getattr(self, name) is not None
        ]
        parts += [stats_text(self.stats), *(f"notice: {n.kind}" for n in self.notices)]
        return f"Result({', '.join(parts)})"


@dataclass(frozen=True, slots=True, eq=False)
class StepResult:
    """The answer to one training step.

    Attributes:
        loss: before the update.
        grad_norm: Euclidean, over all trained parameters.
        grad_norms: the same by parameter.
        step: updates so far, this one included.
        metrics: what the loss function gave beside the loss.
        finite: loss and gradients have no NaN and no infinity.
        replayed: the server had applied this step before and answered from its log.
        stats: time, work and memory that it took.
        receipt: the chain value after this step, in hex: one name for all steps so far.
        receipts, notices, numerics: as the server gave them.
        durability: what the step survives: `memory`, `process` or `disk`.
    """

    loss: float
    grad_norm: float
    grad_norms: Mapping[str, float]
    step: int
    metrics: Any
    finite: bool
    replayed: bool
    stats: Resources
    receipt: str
    receipts: tuple[Receipt, ...]
    notices: tuple[Notice, ...]
    numerics: Numerics
    durability: str

    def __repr__(self) -> str:
        parts = [f"step={self.step}", f"loss={self.loss:.6g}", f"grad_norm={self.grad_norm:.4g}"]
        parts += [] if not self.metrics else [f"metrics={_brief(self.metrics)}"]
        parts += [] if self.finite else ["NOT FINITE"]
        parts += ["replayed"] if self.replayed else []
        return f"StepResult({', '.join(parts)}, {stats_text(self.stats)})"


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The loss on a batch, nothing changed.

    Attributes:
        loss: the loss.
        metrics: what the loss function gave beside it.
        step: updates that the parameters had seen.
        stats, notices: as of any call.
    """

    loss: float
    metrics: Any
    step: int
    finite: bool
    stats: Resources
    notices: tuple[Notice, ...]

    def __repr__(self) -> str:
        metrics = f", metrics={_brief(self.metrics)}" if self.metrics else ""
        return f"Evaluation(loss={self.loss:.6g}{metrics}, step={self.step})"


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """What a call would take, by its plan; nothing was run.

    Attributes:
        flops: exact, or a bound where `flops_is_bound`.
        peak_bytes: of one microshard, as the run will keep it.
        wire_bytes: feeds and results.
        seconds: a guess for the server's machine.
        by_node: the shares of the nodes.
    """

    flops: float
    flops_is_bound: bool
    peak_bytes: int
    wire_bytes: int
    seconds: float
    by_node: tuple[NodeCost, ...]
    notices: tuple[Notice, ...]
    numerics: Numerics

    def __repr__(self) -> str:
        bound = "at most " if self.flops_is_bound else ""
        return (
            f"Estimate({bound}{si(self.flops)}FLOP, peak {si(self.peak_bytes)}B, "
            f"wire {si(self.wire_bytes)}B, about {self.seconds:.2g} s, {len(self.by_node)} nodes)"
        )


@dataclass(frozen=True, slots=True, eq=False)
class ServerInfo:
    """What a server is and allows.

    Attributes:
        version: of the distribution.
        protocol: the format versions it reads, both inclusive.
        primitives, functions, dtypes, computations: names that it serves.
        limits: its bounds, by name.
        durabilities: levels that a session may have.
        workers: worker processes.
        uptime_s: since the process began.
        instance_id, boot_id: hex; new at every start of process and machine.
        private: it was started by a client for itself.
    """

    version: str
    protocol: tuple[int, int]
    primitives: tuple[str, ...]
    functions: Mapping[str, int]
    dtypes: tuple[str, ...]
    computations: tuple[str, ...]
    limits: Mapping[str, float]
    durabilities: tuple[str, ...]
    workers: int
    uptime_s: float
    instance_id: str
    boot_id: str
    numerics: Numerics
    private: bool

    def __repr__(self) -> str:
        return (
            f"ServerInfo(chainrule {self.version}, {self.workers} workers, "
            f"up {self.uptime_s:.0f} s, {len(self.primitives)} primitives, "
            f"NumPy {self.numerics.numpy_version}, {self.numerics.blas})"
        )


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One row of `client.sessions()`. `id` is what `client.open_session` takes."""

    id: str
    name: str
    step: int
    durability: str
    closed: bool
    created_at: float


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One applied operation as the server's log keeps it.

    Attributes:
        seq: its number, from 1.
        method: `Step`, `Save`, ...
        epoch: it came from whoever had opened the session for the so-manieth time.
        step: updates after it.
        loss, grad_norm: None where the operation computes none.
        receipt: the chain value after it, in hex.
        digest: of what was asked, in hex.
    """

    seq: int
    method: str
    epoch: int
    step: int
    loss: float | None
    grad_norm: float | None
    receipt: str
    digest: str


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """The state of a session under a name.

    Attributes:
        name: what `client.restore` takes.
        digest: of everything it holds, in hex: equal states have equal digests.
        session: id of the session that saved it.
        step: updates that it has seen.
        nbytes: of its arrays.
        created_at: seconds since the epoch of UNIX.
    """

    name: str
    digest: str
    session: str
    step: int
    nbytes: int
    created_at: float


class SessionList(tuple[SessionInfo, ...]):
    """The sessions of a server; prints as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self:
            return "no sessions"
        rows = [("id", "name", "step", "durability"), *_rows(self)]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )


def session_info(head: Head) -> SessionInfo:
    """A row of the list."""
    return SessionInfo(
        head.session_id.hex(),
        head.name,
        head.step,
        durability_name(head.durability),
        head.closed,
        head.created_at,
    )


def durability_name(number: int) -> str:
    """`memory`, `process` or `disk`."""
    return _DURABILITY_NAMES.get(number, f"level {number}")


def stats_text(stats: Resources) -> str:
    """`1.2 ms on 2 workers`."""
    workers = f" on {stats.workers_used} workers" if stats.workers_used > 1 else ""
    return f"{1e3 * stats.wall_seconds:.3g} ms{workers}"


def si(number: float) -> str:
    """A number with its SI prefix, ready for the unit: `1.25 M`."""
    for prefix in ("", "k", "M", "G", "T"):
        if abs(number) < 1000:
            return f"{number:.3g} {prefix}"
        number /= 1000
    return f"{number:.3g} P"


def _rows(sessions: SessionList) -> Iterator[tuple[str, str, str, str]]:
    for s in sessions:
        yield s.id, s.name or "-", str(s.step), s.durability + (" closed" if s.closed else "")


def _brief(value: Any) -> str:
    """A value in one line: numbers themselves, arrays by dtype and shape."""
    if isinstance(value, np.ndarray):
        if value.ndim == 0:
            return f"{value.item():.6g}" if value.dtype.kind == "f" else str(value.item())
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    if isinstance(value, np.generic | float):
        return f"{value:.6g}" if np.issubdtype(type(value), np.floating) else str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_brief(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        ends = "()" if isinstance(value, tuple) else "[]"
        return ends[0] + ", ".join(map(_brief, value)) + ends[1]
    return repr(value)
