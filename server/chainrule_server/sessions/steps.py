"""One step: loss, gradient and update by one program that reads one buffer and writes the other."""

import math
from dataclasses import dataclass, field

import numpy as np

from chainrule.errors import NonFinite
from chainrule.ir.graph import Graph
from chainrule.ir.tensors import Array
from chainrule_server.sessions.book import GraphBook
from chainrule_server.sessions.checks import is_under
from chainrule_server.sessions.feeds import batch_size
from chainrule_server.sessions.order import Ledger
from chainrule_server.sessions.runner import ProgramLike, ResultLike, Runner
from chainrule_server.sessions.types import NonFinitePolicy, Notice, Resources
from chainrule_server.workers.cancellation import Cancellation
from chainrule_server.workers.interfaces import StateRegions

_NORM = "grad_norm/"


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What an operation did; becomes a record and a reply at commit.

    Attributes:
        step: optimizer updates after it.
        state_version: after it; the next one when the other buffer became valid.
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


@dataclass(frozen=True, slots=True)
class Run:
    """What a run needs beside its program."""

    runner: Runner
    state: StateRegions
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
        NonFinite: loss or gradient is NaN or infinite and the policy is ERROR; nothing is applied.
        ChainruleError: as feeds, compiler and runner.
    """
    graph, program = book.step(digest)
    n = batch_size(graph.main, batch)
    feeds = book.feeds(graph, program, batch, run.seed, ledger.step)
    if any(port.name == "step" for port in program.inputs):
        feeds["step"] = np.asarray(ledger.step, np.int64)
    result = _run(run, program, n, feeds)
    values = {name: float(v) for name, v in result.outputs.items() if v.shape == ()}
    loss, norm = values["loss"], values.get("grad_norm", 0.0)
    finite = bool(values.get("finite", math.isfinite(loss) and math.isfinite(norm)))
    if not finite and policy is NonFinitePolicy.ERROR:
        raise NonFinite(
            f"loss {loss}, gradient norm {norm}: nothing was applied",
            cure="look at the batch, lower the learning rate, or create the session with another policy",
            loss=loss,
            grad_norm=norm,
            **ledger.facts(),
        )
    applies = finite or policy is NonFinitePolicy.APPLY
    return Outcome(
        step=ledger.step + applies,
        state_version=ledger.state_version + applies,
        loss=loss,
        grad_norm=norm,
        grad_norms=tuple(
            ("params/" + name.removeprefix(_NORM), value)
            for name, value in sorted(values.items())
            if name.startswith(_NORM)
        ),
        finite=finite,
        metrics=tuple(
            (name, array) for name, array in result.outputs.items() if is_under(name, "metrics")
        ),
        resources=resources_of(result),
        notices=notices_of(program),
        microshard_rows=program.rows_at(n),
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
    return _run(run, program, n, book.feeds(graph, program, batch, run.seed, step))


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


def _run(run: Run, program: ProgramLike, n: int, feeds: dict[str, Array]) -> ResultLike:
    return run.runner.run(
        program, n, feeds, state=run.state, deadline=run.deadline, cancel=run.cancel
    )
