"""Steps and their halves: programs that read one buffer of the state and write the other one."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from chainrule.errors import ErrorCode, GraphError, Incompatible, NonFinite
from chainrule.ir.graph import Graph
from chainrule.ir.tensors import Array
from chainrule_server.sessions.book import GraphBook
from chainrule_server.sessions.checks import is_under
from chainrule_server.sessions.feeds import batch_size
from chainrule_server.sessions.keys import step_key
from chainrule_server.sessions.order import Ledger
from chainrule_server.sessions.record import NO_GRADIENTS, Pending
from chainrule_server.sessions.runner import STATE_WRITE, ProgramLike, ResultLike, Runner
from chainrule_server.sessions.state import StateFile, names_of
from chainrule_server.sessions.types import NonFinitePolicy, Notice, Resources
from chainrule_server.storage.failures import translated
from chainrule_server.workers.cancellation import Cancellation

_NORM = "grad_norm/"


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What an operation did; becomes a record and a reply at commit.

    Attributes:
        step: optimizer updates after it.
        state_version: after it; the next one when the other buffer became valid.
        pending: gradients that have accumulated, after it.
        checkpoint: digest of the checkpoint that was saved or restored.
        microshard_rows: of the program as it was run; 0 where it was not split.
    """

    step: int
    state_version: int
    loss: float | None = None
    grad_norm: float | None = None
    grad_norms: tuple[tuple[str, float], ...] = ()
    finite: bool = True
    metrics: tuple[tuple[str, Array], ...] = ()
    resources: Resources = field(default_factory=Resources)
    notices: tuple[Notice, ...] = ()
    microshard_rows: int = 0
    pending: Pending = NO_GRADIENTS
    checkpoint: bytes = b""


@dataclass(frozen=True, slots=True)
class Run:
    """What a run needs beside its program."""

    runner: Runner
    state: StateFile
    version: int
    seed: int
    deadline: float
    cancel: Cancellation


def run_step(
    run: Run,
    book: GraphBook,
    ledger: Ledger,
    digest: bytes,
    batch: dict[str, Array],
    policy: NonFinitePolicy,
) -> Outcome:
    """Run a step on the buffers of `run.state`; nothing counts before it is committed.

    Raises:
        Incompatible: gradients have accumulated.
        NonFinite: loss or gradient is NaN or infinite and the policy is ERROR; nothing is applied.
        ChainruleError: as feeds, compiler and runner.
    """
    check_nothing_pending(ledger)
    graph, program = book.step(digest)
    n = batch_size(graph.main, batch)
    feeds = book.feeds(graph, program, batch, step_key(run.seed, ledger.step))
    result = _write(run, program, n, feeds | _step(program, ledger), with_gradients=False)
    outcome = _outcome(ledger, program, n, result)
    _check_finite(outcome, ledger, policy)
    applies = outcome.finite or policy is NonFinitePolicy.APPLY
    return replace(
        outcome,
        step=ledger.step + applies,
        state_version=ledger.state_version + applies,
    )


def run_gradients(
    run: Run,
    book: GraphBook,
    ledger: Ledger,
    digest: bytes,
    batch: dict[str, Array],
    policy: NonFinitePolicy,
    weight: float,
) -> Outcome:
    """Add the gradient of a batch to what has accumulated; each example counts `weight` times.

    Raises:
        NonFinite, ChainruleError: as `run_step`.
        GraphError: a weight that is no positive number.
    """
    if not (math.isfinite(weight) and weight > 0):
        raise GraphError(
            f"weight {weight}",
            code=ErrorCode.BAD_FIELD,
            field="weight",
            cure="give a positive number; 1 counts every example once",
        )
    graph, program = book.half(digest)
    n = batch_size(graph.main, batch)
    held = ledger.pending
    unit = held.unit if held.count else weight * n
    share = weight * n / unit
    feeds = book.feeds(graph, program, batch, step_key(run.seed, ledger.step, held.count))
    feeds |= {"weight": np.asarray(share), "keep": np.asarray(held.count > 0)}
    result = _write(run, program, n, feeds, with_gradients=True)
    outcome = _outcome(ledger, program, n, result)
    _check_finite(outcome, ledger, policy)
    if not outcome.finite and policy is NonFinitePolicy.SKIP:
        return replace(outcome, pending=held)
    loss = held.loss + share * (outcome.loss or 0.0)
    return replace(
        outcome,
        state_version=ledger.state_version + 1,
        pending=Pending(held.count + 1, unit, held.total + share, loss),
    )


def run_update(run: Run, book: GraphBook, ledger: Ledger, policy: NonFinitePolicy) -> Outcome:
    """Update with the mean of the accumulated gradients, which are then gone.

    Raises:
        Incompatible: nothing has accumulated.
        NonFinite: the mean is NaN or infinite and the policy is ERROR; it stays.
    """
    held = ledger.pending
    if not held.count:
        raise Incompatible(
            "no gradient has accumulated since the last update",
            cure="send forward_backward before optim_step",
            **ledger.facts(),
        )
    program = book.update()
    feeds = _step(program, ledger) | {"total": np.asarray(held.total)}
    result = _write(run, program, 1, feeds, with_gradients=False)
    outcome = replace(_outcome(ledger, program, 1, result), loss=held.loss / held.total)
    _check_finite(outcome, ledger, policy)
    applies = outcome.finite or policy is NonFinitePolicy.APPLY
    return replace(
        outcome,
        step=ledger.step + applies,
        state_version=ledger.state_version + applies,
    )


def check_nothing_pending(ledger: Ledger) -> None:
    """That an operation which would overlook accumulated gradients may be applied.

    Raises:
        Incompatible: some have accumulated.
    """
    if ledger.pending.count:
        raise Incompatible(
            f"gradients of {ledger.pending.count} batches have accumulated",
            cure="apply them by optim_step, or discard them, first",
            **ledger.facts(),
        )


def run_reading(
    run: Run,
    book: GraphBook,
    graph: Graph,
    program: ProgramLike,
    batch: dict[str, Array],
    n: int,
    step: int,
) -> ResultLike:
    """Run a program that only reads the state."""
    return _run(run, program, n, book.feeds(graph, program, batch, step_key(run.seed, step)))


def resources_of(result: ResultLike) -> Resources:
    """What a run took."""
    stats = result.stats
    return Resources(
        wall_seconds=stats.wall_s,
        cpu_seconds=stats.cpu_s,
        flops=float(stats.flops),
        peak_bytes=stats.peak_bytes,
        workers_used=stats.workers_used,
        blocks_redone=stats.redone,
    )


def notices_of(program: ProgramLike) -> tuple[Notice, ...]:
    """What the engine wants the caller to know of a program."""
    return tuple(Notice(n.code, n.text, label=n.label, source_line=n.line) for n in program.notices)


def write_leaves(
    state: StateFile, version: int, arrays: dict[str, Array], names: Iterable[str]
) -> None:
    """Make the next version of the state: these arrays, and the other `names` as they are."""
    state.spoil(arrays)
    state.write(version + 1, arrays.items())
    state.carry(version, [name for name in names if name not in arrays])


def _write(
    run: Run, program: ProgramLike, n: int, feeds: dict[str, Array], *, with_gradients: bool
) -> ResultLike:
    """Run a program that makes the next version of the state; what it doesn't write is carried over."""
    written = {port.name for port in program.outputs if port.place.region == STATE_WRITE}
    run.state.spoil(written)
    result = _run(run, program, n, feeds)
    names = names_of(run.state.layout, with_gradients=with_gradients)
    with translated("writing the session's state"):
        run.state.carry(run.version, [name for name in names if name not in written])
    return result


def _step(program: ProgramLike, ledger: Ledger) -> dict[str, Array]:
    wanted = any(port.name == "step" for port in program.inputs)
    return {"step": np.asarray(ledger.step, np.int64)} if wanted else {}


def _outcome(ledger: Ledger, program: ProgramLike, n: int, result: ResultLike) -> Outcome:
    """What a run reports, before anything of it counts."""
    values = {name: float(v) for name, v in result.outputs.items() if v.shape == ()}
    loss, norm = values.get("loss"), values.get("grad_norm", 0.0)
    is_finite = math.isfinite(norm) and (loss is None or math.isfinite(loss))
    return Outcome(
        step=ledger.step,
        state_version=ledger.state_version,
        loss=loss,
        grad_norm=norm,
        grad_norms=tuple(
            ("params/" + name.removeprefix(_NORM), value)
            for name, value in sorted(values.items())
            if name.startswith(_NORM)
        ),
        finite=bool(values.get("finite", is_finite)),
        metrics=tuple(
            (name, array) for name, array in result.outputs.items() if is_under(name, "metrics")
        ),
        resources=resources_of(result),
        notices=notices_of(program),
        microshard_rows=program.rows_at(n),
    )


def _check_finite(outcome: Outcome, ledger: Ledger, policy: NonFinitePolicy) -> None:
    if not outcome.finite and policy is NonFinitePolicy.ERROR:
        raise NonFinite(
            f"loss {outcome.loss}, gradient norm {outcome.grad_norm}: nothing was applied",
            cure="look at the batch, lower the learning rate, or create the session with another policy",
            loss=outcome.loss,
            grad_norm=outcome.grad_norm,
            **ledger.facts(),
        )


def _run(run: Run, program: ProgramLike, n: int, feeds: dict[str, Array]) -> ResultLike:
    return run.runner.run(
        program,
        n,
        feeds,
        state=run.state.buffers(run.version),
        deadline=run.deadline,
        cancel=run.cancel,
    )
