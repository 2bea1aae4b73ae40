"""Runs a program on the pool: feeds to a board, stages to workers, partial results up the tree.

The result depends on program, n and feeds alone. How many workers there are, who took which block and who
died on the way shows in the statistics only.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ChainruleError, ErrorCode, ShapeMismatch
from chainrule.ir.graph import Debug
from chainrule_server.engine import tree
from chainrule_server.workers.boards import Board, Boards
from chainrule_server.workers.cancellation import Cancellation
from chainrule_server.workers.events import Report, Resource, Task
from chainrule_server.workers.interfaces import (
    BOARD,
    LayoutLike,
    PartialsLike,
    ProgramLike,
    SlotLike,
    StateRegions,
)
from chainrule_server.workers.pending import Failpoints
from chainrule_server.workers.pool import Pool
from chainrule_server.workers.programs import Programs
from chainrule_server.workers.states import States

_ALIGN = 64
# No machine we know is slower than this on one core; a single long product is no hang.
_SLOWEST_FLOPS = 1e9


@dataclass(frozen=True, slots=True)
class RunStats:
    """What a run took.

    Attributes:
        wall_s: from call to return. cpu_s: of the workers, for the tasks that counted.
        flops, peak_bytes: promised by the plan.
        workers: indices of the workers whose results counted.
        redone: tasks done again because their worker was lost.
    """

    wall_s: float
    cpu_s: float
    flops: float
    peak_bytes: int
    workers: frozenset[int]
    redone: int

    @property
    def workers_used(self) -> int:
        """How many workers did work that counted."""
        return len(self.workers)


@dataclass(frozen=True, slots=True)
class RunResult:
    """The outputs on the board by name, copied out, and what they took."""

    outputs: dict[str, NDArray[Any]]
    stats: RunStats


@dataclass(frozen=True, slots=True)
class _Run:
    """What all stages of one run share."""

    n: int
    layout: LayoutLike
    program: Resource
    board: Board
    states: tuple[Resource, Resource] | tuple[None, None]
    deadline: float
    cancel: Cancellation | None

    def task(self, stage: int, **block: int) -> Task:
        read, write = self.states
        return Task(
            self.program,
            self.board.resource,
            stage,
            self.n,
            whole=not block,
            state_read=read,
            state_write=write,
            **block,
        )


class Coordinator:
    """Thread-safe; runs of several threads share the workers, task by task."""

    def __init__(
        self,
        pool: Pool,
        *,
        board_bytes: int = 4 << 30,
        patience_s: float = 5.0,
        max_programs: int = 64,
        max_states: int = 4096,
        failpoints: Failpoints | None = None,
    ) -> None:
        """The pool is started and closed by whoever made it; close this first.

        Args:
            pool: does the work.
            board_bytes: bound of all boards, lent or kept.
            patience_s: a task without progress for this long is begun again elsewhere; longer
                where the plan says that it computes longer.
            max_programs, max_states: programs and state files remembered.
            failpoints: for tests.
        """
        self.pool = pool
        self._boards = Boards(pool, board_bytes)
        self._programs = Programs(pool, max_programs)
        self._states = States(pool, max_states)
        self._patience_s = patience_s
        self._failpoints = failpoints

    def run(
        self,
        program: ProgramLike,
        n: int,
        feeds: Mapping[str, NDArray[Any]],
        *,
        state: StateRegions | None = None,
        deadline: float,
        cancel: Cancellation | None = None,
    ) -> RunResult:
        """Run `program` once on a batch of n rows.

        When it returns or raises, no worker touches board or state any more.

        Args:
            program: the same object for the same program, so that it is sent once.
            n: rows of the batch; anything where nothing is batched.
            feeds: an array for each input on the board, of exactly its dtype and shape.
            state: where inputs and outputs in the session's state lie.
            deadline: monotonic seconds.
            cancel: ends the run early.

        Raises:
            ShapeMismatch: feeds that don't fit the program.
            Overloaded: no memory for the board, or a full queue.
            DeadlineExceeded, Cancelled: the wish to end came from outside.
            ServerFault: POISON, the request kills workers.
            ChainruleError: what the engine refused, with its facts.
        """
        start = time.perf_counter()
        layout = program.layout(n)
        deals = [
            self._deal(layout, index, stage.sharded) for index, stage in enumerate(program.stages)
        ]
        extra = max((deal.nbytes for deal in deals if deal is not None), default=0)
        with (
            self._programs.use(program) as resource,
            self._boards.lend(_aligned(layout.nbytes) + extra) as board,
        ):
            states = self._states.resources(state) if state is not None else (None, None)
            run = _Run(n, layout, resource, board, states, deadline, cancel)
            _copy_in(program, layout, board, feeds)
            reports = []
            for index, deal in enumerate(deals):
                self._reached("coordinator.stage", stage=index)
                try:
                    if deal is None:
                        reports.append(self._do(run, (run.task(index),)))
                    else:
                        reports.append(self._sharded(run, index, deal))
                except ChainruleError as error:
                    _tell_line(error, program.stages[index].debug)
                    raise
            outputs = _copy_out(program, layout, board)
        return RunResult(outputs, _stats(start, layout, reports))

    def forget(self, key: bytes) -> None:
        """The state file of this key is closed or replaced: no worker shall hold it."""
        self._states.forget(key)

    def close(self) -> None:
        """Give boards and programs back; no run is under way."""
        self._boards.close()
        self._programs.close()

    def _deal(self, layout: LayoutLike, stage: int, sharded: bool) -> "_Deal | None":
        """How a sharded stage is cut: blocks, and a place for each one's partial vector."""
        if not sharded:
            return None
        n_shards = len(layout.microshards)
        if not n_shards:
            raise ShapeMismatch(
                "a batch of 0 rows",
                code=ErrorCode.BATCH_MISMATCH,
                cure="send at least one row",
            )
        blocks = tree.blocks(n_shards, self.pool.n_workers)
        return _Deal(layout.partials(stage), n_shards, blocks, _aligned(layout.nbytes))

    def _sharded(self, run: _Run, stage: int, deal: "_Deal") -> Report:
        offsets = deal.offsets
        report = self._do(
            run,
            tuple(
                run.task(stage, lo=lo, hi=hi, out_offset=at, out_nbytes=deal.partials.nbytes)
                for (lo, hi), at in zip(deal.blocks, offsets, strict=True)
            ),
        )
        view = run.board.view
        parts = {
            block: view[at : at + deal.partials.nbytes]
            for block, at in zip(deal.blocks, offsets, strict=True)
        }
        segments = deal.partials.segments
        whole = tree.finish(segments, deal.n_shards, parts)
        for key, segment in zip(deal.partials.keys, segments, strict=True):
            if segment.length:
                value = np.frombuffer(whole, segment.dtype, segment.length, segment.offset)
                _array(run.board, run.layout.slots[key]).reshape(-1)[:] = value
        return report

    def _do(self, run: _Run, tasks: tuple[Task, ...]) -> Report:
        patience_s = max(self._patience_s, 4 * run.layout.flops / _SLOWEST_FLOPS)
        pending = self.pool.submit(tasks, deadline=run.deadline, patience_s=patience_s)
        unsubscribe = None
        try:
            if run.cancel is not None:
                unsubscribe = run.cancel.subscribe(lambda: self.pool.cancel(pending.id))
            return pending.wait()
        except KeyboardInterrupt:
            # The board must not go back while workers write to it.
            self.pool.cancel(pending.id)
            pending.wait()
            raise
        finally:
            if unsubscribe is not None:
                unsubscribe()

    def _reached(self, name: str, **facts: object) -> None:
        if self._failpoints is not None:
            self._failpoints.reached(name, **facts)


def _tell_line(error: ChainruleError, debug: Debug) -> None:
    """Say where in the source a kernel failed; the number of a row in a stage would mean nothing there."""
    if error.node is not None and (line := debug.line(error.node)):
        error.line = line
        error.label = debug.label(error.node) or error.label
        error.node = None


@dataclass(frozen=True, slots=True)
class _Deal:
    """A sharded stage's blocks, in the order in which they are dealt."""

    partials: PartialsLike
    n_shards: int
    blocks: tuple[tuple[int, int], ...]
    base: int

    @property
    def stride(self) -> int:
        return _aligned(self.partials.nbytes)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where on the board each block leaves its partial vector."""
        return tuple(self.base + index * self.stride for index in range(len(self.blocks)))

    @property
    def nbytes(self) -> int:
        """Of all partial vectors."""
        return len(self.blocks) * self.stride


def _aligned(nbytes: int) -> int:
    return -(-nbytes // _ALIGN) * _ALIGN


def _array(board: Board, slot: SlotLike) -> NDArray[Any]:
    return np.ndarray(slot.shape, slot.dtype, board.view, slot.offset)


def _copy_in(
    program: ProgramLike, layout: LayoutLike, board: Board, feeds: Mapping[str, NDArray[Any]]
) -> None:
    ports = {port.name: port.key for port in program.inputs if port.place.region == BOARD}
    if ports.keys() != feeds.keys():
        missing, unknown = sorted(ports.keys() - feeds), sorted(feeds.keys() - ports)
        raise ShapeMismatch(
            f"feeds: missing {missing}, unknown {unknown}",
            code=ErrorCode.MISSING_FIELD if missing else ErrorCode.BAD_NAME,
            cure="send an array for each input of the program",
        )
    for name, key in ports.items():
        target, feed = _array(board, layout.slots[key]), feeds[name]
        if feed.dtype != target.dtype:
            raise ShapeMismatch(
                f"feed {name} is {feed.dtype}, the program takes {target.dtype}",
                code=ErrorCode.DTYPE_MISMATCH,
                cure=f"convert it to {target.dtype}",
            )
        if feed.shape != target.shape:
            raise ShapeMismatch(
                f"feed {name} has the shape {feed.shape}, the program takes {target.shape}",
                code=ErrorCode.SHAPE_MISMATCH,
                cure="send the shape it was traced with",
            )
        np.copyto(target, feed)


def _copy_out(program: ProgramLike, layout: LayoutLike, board: Board) -> dict[str, NDArray[Any]]:
    ports = (port for port in program.outputs if port.place.region == BOARD)
    return {port.name: _array(board, layout.slots[port.key]).copy() for port in ports}


def _stats(start: float, layout: LayoutLike, reports: list[Report]) -> RunStats:
    return RunStats(
        wall_s=time.perf_counter() - start,
        cpu_s=sum(report.cpu_ns for report in reports) / 1e9,
        flops=layout.flops,
        peak_bytes=layout.peak_bytes,
        workers=frozenset().union(*(report.workers for report in reports)),
        redone=sum(report.redone for report in reports),
    )
