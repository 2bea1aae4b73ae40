"""A session: operations applied once and in order, over state that a crash can't mix.

Threads of many calls meet here. An operation waits for its turn (turns.py), runs without the lock, and is
committed under it: epoch checked again, one log record, then the header. Readers take turns like everybody,
so they see the state between two operations.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from chainrule.errors import (
    Applied,
    ChainruleError,
    CorruptCheckpoint,
    GraphError,
    Incompatible,
    NameTaken,
    NumericError,
    NumericsChanged,
    Unsupported,
)
from chainrule.ir.operations import Method
from chainrule_server.sessions import replies
from chainrule_server.sessions.answering import Answerer
from chainrule_server.sessions.applying import Room, execute
from chainrule_server.sessions.bodies import METHOD_OF, Body, CloseBody, tensors_of
from chainrule_server.sessions.book import GraphBook
from chainrule_server.sessions.checkpoints import Checkpoints
from chainrule_server.sessions.failpoints import Failpoints
from chainrule_server.sessions.feeds import batch_size, resolve
from chainrule_server.sessions.journal import Journal
from chainrule_server.sessions.keeping import Keeper
from chainrule_server.sessions.manifest import Manifest
from chainrule_server.sessions.order import Kept
from chainrule_server.sessions.record import Kind, Record
from chainrule_server.sessions.runner import Runner
from chainrule_server.sessions.state import StateFile
from chainrule_server.sessions.steps import Outcome, notices_of, resources_of, run_reading
from chainrule_server.sessions.turns import Budget, Turns, not_found
from chainrule_server.sessions.types import (
    Caller,
    Durability,
    EvaluateReply,
    EvaluateSpec,
    Head,
    Notice,
    OpenSpec,
    OpHeader,
    OpReply,
    StateReply,
    StateSpec,
)
from chainrule_server.storage.failures import translated
from chainrule_server.storage.objects import ObjectStore

# The same bytes are refused again: what was sent to follow them can't be applied.
_FINAL = (
    GraphError,
    NumericError,
    Unsupported,
    Incompatible,
    NameTaken,
    NumericsChanged,
    CorruptCheckpoint,
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a session is given by whoever opens it."""

    tenant: str
    runner: Runner
    objects: ObjectStore
    budget: Budget
    failpoints: Failpoints
    numerics_id: bytes
    checkpoints: Checkpoints


class Session:
    """One open session. Every method is safe to call from any thread."""

    def __init__(
        self,
        manifest: Manifest,
        book: GraphBook,
        journal: Journal,
        around: Surroundings,
        keeper: Keeper | None = None,
    ) -> None:
        self.manifest = manifest
        self._book = book
        self._journal = journal
        self._ledger = journal.ledger
        self._around = around
        self._room = Room(
            manifest,
            book,
            journal,
            around.runner,
            around.objects,
            around.tenant,
            around.numerics_id,
            around.checkpoints,
        )
        self._keeper = keeper
        self._answerer = Answerer(journal, manifest.durability, around.numerics_id)
        self._turns = Turns(journal.ledger, around.budget)

    def apply(self, caller: Caller, header: OpHeader, body: Body) -> OpReply:
        """Apply an operation once; a replay gets the stored reply.

        The header's digest has been checked against the body.

        Raises:
            SessionError: as `Ledger.admit`.
            ChainruleError: whatever refused the operation. It is then not logged and consumes no seq,
                unless `applied` says otherwise.
        """
        turn = self._turns.take(caller, header, _inline_bytes(body))
        if isinstance(turn, Kept):
            return self._durable(self._stored(turn))
        try:
            if not isinstance(body, CloseBody):
                self._journal.own_state(self._around.runner.forget)
            outcome = execute(self._room, caller, body, turn, header.client_cursor)
            kept = self._keeper.keep(body) if self._keeper is not None else b""
            reply = self._commit(header, body, outcome, kept)
            if self._keeper is not None:
                self._keeper.after(self._room, outcome)
        except ChainruleError as error:
            self._refused(header, error)
            raise
        finally:
            self._turns.give()
        return self._durable(reply)

    def open(self, spec: OpenSpec) -> Head:
        """Raise the epoch, durably before the answer. The same request again gets the same epoch.

        Raises:
            Fenced: expected_epoch isn't the session's, or another Open came after this one.
            StepConflict: STEPS_LOST or HISTORY_MISMATCH against what the client has seen.
        """
        with self._turns.lock:
            if self._ledger.is_closed:
                raise not_found()
            if self._ledger.check_open(spec.request_id, spec.expected_epoch, spec.last_seen):
                self._around.failpoints.reach("open.before_log")
                self._journal.append(
                    Record(
                        Kind.OPEN,
                        self._ledger.seq,
                        self._ledger.chain,
                        Method.OPEN,
                        self._ledger.epoch + 1,
                        spec.request_id,
                        bytes(32),
                        self._ledger.step,
                        self._ledger.state_version,
                    )
                )
                self._around.failpoints.reach("open.after_log")
                self._journal.witness()
                if self._keeper is not None:
                    self._journal.sync_log()
                self._turns.fence()
            return self.head(with_digest=True)

    def evaluate(self, caller: Caller, spec: EvaluateSpec) -> EvaluateReply:
        """Outputs of a graph over the state between two operations.

        Raises:
            ChainruleError: as graphs, feeds and runner.
        """
        batch = resolve(spec.batch, spec.batch_ref, self._around.objects, self._around.tenant)
        cancel = self._turns.take_reading(caller, spec.after_seq)
        try:
            graph, program = self._book.reader(spec.graph)
            n = batch_size(graph.main, batch, spec.examples)
            run = self._room.run(caller, cancel, spec.seed)
            result = run_reading(run, self._book, graph, program, batch, n, self._ledger.step)
            outputs = tuple(result.outputs.items())
            return EvaluateReply(
                outputs,
                self._ledger.seq,
                self._ledger.step,
                all(np.isfinite(a).all() for _, a in outputs if a.dtype.kind == "f"),
                resources_of(result),
                notices_of(program),
                program.rows_at(n),
            )
        finally:
            self._turns.give()

    @contextmanager
    def standing(self, caller: Caller) -> Iterator[Room]:
        """The parts of the session, which stands still as long as the block lasts.

        Raises:
            DeadlineExceeded, Cancelled, Unavailable: while it waited for its turn.
        """
        self._turns.take_reading(caller, 0)
        try:
            yield self._room
        finally:
            self._turns.give()

    def log(self, from_seq: int, limit: int) -> tuple[tuple[Record, ...], int]:
        """Up to `limit` applied operations from one on, and the first that the log still has."""
        kept = (e.record for e in self._journal.history() if e.record.kind is Kind.OPERATION)
        found: list[Record] = []
        first = 0
        for record in kept:
            first = first or record.seq
            if record.seq >= from_seq:
                found.append(record)
            if len(found) == limit:
                break
        return tuple(found), first or self._ledger.seq + 1

    def read(self, caller: Caller, spec: StateSpec) -> StateReply:
        """Copies of leaves between two operations; none where nothing has such a name.

        Raises:
            DeadlineExceeded, Cancelled, Unavailable: while it waited.
            Overloaded, Unavailable: the state can't be read now.
        """
        self._turns.take_reading(caller, spec.after_seq)
        try:
            names = [n for n in sorted(self._journal.names) if _is_asked(n, spec.prefixes)]
            with translated("reading the session's state"):
                version = self._ledger.state_version
                found = tuple((name, self._state.read(version, name)) for name in names)
            return StateReply(found, self.head())
        finally:
            self._turns.give()

    def head(self, *, with_digest: bool = False) -> Head:
        """Where the session stands."""
        with self._turns.lock:
            ledger, manifest = self._ledger, self.manifest
            digest = b""
            if with_digest:
                # A running step writes the other buffer, and its commit needs the lock we hold.
                with translated("reading the session's state"):
                    digest = self._state.digest(ledger.state_version, self._journal.names)
            return Head(
                session_id=manifest.session_id,
                name=manifest.name,
                epoch=ledger.epoch,
                next_seq=ledger.seq + 1,
                step=ledger.step,
                chain=ledger.chain,
                client_cursor=ledger.cursor,
                state_digest=digest,
                max_inflight=manifest.window,
                durability=manifest.durability,
                numerics_id=self._around.numerics_id,
                durable_seq=self._journal.durable_seq,
                graph_digests=self._book.digests,
                non_finite=manifest.non_finite,
                seed=manifest.seed,
                microshard_rows=manifest.microshard_rows,
                frozen=manifest.frozen,
                created_at=manifest.created_at,
                closed=ledger.is_closed,
                notices=self._drift(),
            )

    def drain(self, deadline: float) -> None:
        """Let the running operation end, refuse the others, and leave the files synced and proven.

        What still runs at the deadline is stopped; it isn't applied.
        """
        if not self._turns.drain(deadline) and self._turns.running is not None:
            self._turns.running.set()
            self._turns.drain(deadline + 5.0)
        if self.manifest.durability is not Durability.MEMORY:
            with self._turns.lock:
                self._journal.settle()

    def begin_keeping(self) -> None:
        """Of durability disk: the first snapshot, from which everything can be done again.

        Raises:
            Overloaded, Unavailable: there is no room for it.
        """
        if self._keeper is not None:
            self._keeper.begin(self._room)
            self._journal.settle()

    def moved(self, path: Path) -> None:
        """The folder of the session has its name now."""
        if self._keeper is not None:
            self._keeper.path = path

    @property
    def is_evictable(self) -> bool:
        """Whether it can be closed now and found again; what lives in memory only can't."""
        return self.is_closed or self.manifest.durability is not Durability.MEMORY

    @property
    def is_closed(self) -> bool:
        """Whether its last operation was Close."""
        return self._ledger.is_closed

    @property
    def tombstone(self) -> bytes | None:
        """The record of the operation that closed the session; None while it is open."""
        with self._turns.lock:
            if not self._ledger.is_closed:
                return None
            return self._journal.read(self._ledger.kept[self._ledger.seq]).encode()

    @property
    def _state(self) -> StateFile:
        """The file that the state lies in now."""
        return self._journal.state

    def close(self) -> None:
        """Give the files back. Nobody uses the session any more."""
        self._around.runner.forget(self._state.key)
        self._journal.close()

    def _commit(self, header: OpHeader, body: Body, outcome: Outcome, kept: bytes) -> OpReply:
        with self._turns.lock:
            self._ledger.check_epoch(header.epoch)
            reply = self._answerer.reply(header, outcome)
            record = Record(
                Kind.OPERATION,
                header.seq,
                header.prev,
                METHOD_OF[type(body)],
                header.epoch,
                header.request_id,
                header.digest,
                outcome.step,
                outcome.state_version,
                header.client_cursor,
                replies.encode(reply),
                outcome.pending,
                kept,
            )
            self._around.failpoints.reach("commit.before_log")
            self._journal.append(record)
            self._around.failpoints.reach("commit.after_log")
            self._journal.witness()
            self._around.failpoints.reach("commit.after_header")
            return reply

    def _durable(self, reply: OpReply) -> OpReply:
        """The reply, when what it acknowledges is as durable as it says.

        Operations that wait here together, each behind its own turn, share one sync of the log.
        """
        if self._keeper is None:
            return reply
        self._journal.make_durable(reply.seq, self._turns.lock)
        return replace(reply, durable_seq=self._journal.durable_seq)

    def _stored(self, kept: Kept) -> OpReply:
        return replies.decode(self._journal.read(kept).reply)

    def _refused(self, header: OpHeader, error: ChainruleError) -> None:
        """After a refusal: say that it was the epoch where it was; let successors not wait in vain.

        Raises:
            Fenced: another client has taken the session over meanwhile.
        """
        with self._turns.lock:
            if error.applied is Applied.NO:
                self._ledger.check_epoch(header.epoch)
            if isinstance(error, _FINAL):
                self._ledger.fail(header)

    def _drift(self) -> tuple[Notice, ...]:
        if self.manifest.numerics_id == self._around.numerics_id:
            return ()
        text = "this server's numerics differ from those the session began with: later bits may too"
        return (Notice("NUMERICS_CHANGED", text),)


def _is_asked(name: str, prefixes: tuple[str, ...]) -> bool:
    """A prefix is a whole name or a beginning that ends at a component."""
    return not prefixes or any(name == p or name.startswith(p.rstrip("/") + "/") for p in prefixes)


def _inline_bytes(body: Body) -> int:
    return sum(t.value.nbytes for t in tensors_of(body) if isinstance(t.value, np.ndarray))
