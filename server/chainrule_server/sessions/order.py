"""The order of a session's operations, as a pure state machine: no clock, no file, no thread.

An operation is (epoch, seq, prev, digest). It is applied when it follows the last applied one, held when its
predecessors may still come, answered from the log when it was applied before, refused otherwise. A refused
operation changes nothing here and consumes no seq.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeVar

from chainrule.errors import ErrorCode, Fenced, StepConflict, StepGap, StepTooOld
from chainrule.ir.operations import Method, next_chain
from chainrule_server.sessions.log import Entry
from chainrule_server.sessions.record import NO_GRADIENTS, Kind, Pending
from chainrule_server.sessions.types import LastSeen, OpHeader

_OPENS_KEPT = 1024
K = TypeVar("K")
V = TypeVar("V")


class Turn(Enum):
    """What to do with an operation that isn't refused and wasn't applied before."""

    APPLY = auto()
    HOLD = auto()


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays in memory of an applied operation; its reply is in the log at `offset`."""

    digest: bytes
    prev: bytes
    chain: bytes
    offset: int


@dataclass(slots=True)
class Ledger:
    """Where a session stands.

    Attributes:
        window: operations from the next one on that are held or applied.
        replies: how many applied operations are answered again.
        seq, chain, step, epoch, state_version, cursor, pending: after the last record.
        made_by: chain value of the operation that made the state's version.
        kept: by seq, the last `replies`.
        opens: epoch by the request id that raised it.
        doomed: chain values that a failed operation would have made, and its seq.
    """

    window: int
    replies: int
    seq: int
    chain: bytes
    epoch: int = 1
    step: int = 0
    state_version: int = 0
    cursor: bytes = b""
    pending: Pending = NO_GRADIENTS
    records: int = 0
    made_by: bytes = b""
    is_closed: bool = False
    kept: OrderedDict[int, Kept] = field(default_factory=OrderedDict)
    opens: OrderedDict[bytes, int] = field(default_factory=OrderedDict)
    doomed: OrderedDict[bytes, int] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        self.made_by = self.made_by or self.chain

    def admit(self, header: OpHeader) -> Turn | Kept:
        """Whether an operation may be applied now, must wait, or was applied before (Kept).

        Raises:
            Fenced: its epoch is older than the session's.
            StepConflict: STEP_CONFLICT, HISTORY_MISMATCH, PREDECESSOR_FAILED, or STEPS_LOST when the
                session has never been so far.
            StepGap: too far ahead.
            StepTooOld: applied, and its reply no longer kept.
        """
        self.check_epoch(header.epoch)
        if header.seq <= self.seq:
            return self._replay(header)
        if header.seq == self.seq + 1:
            if header.prev != self.chain:
                raise self._mismatch(header.seq)
            return Turn.APPLY
        if header.prev in self.doomed:
            failed = self.doomed[header.prev]
            self._doom(next_chain(header.prev, header.digest), failed)
            raise StepConflict(
                f"operation {failed}, which operation {header.seq} follows, has failed",
                code=ErrorCode.PREDECESSOR_FAILED,
                cure=f"mend operation {failed} and send it and its successors again",
                failed_seq=failed,
                **self.facts(),
            )
        if header.seq > self.seq + self.window:
            raise self.gap(header.seq)
        return Turn.HOLD

    def check_epoch(self, epoch: int) -> None:
        """Again before commit: another client may have opened the session meanwhile.

        Raises:
            Fenced: the epoch is older.
            StepConflict: it was never given (STEPS_LOST): the session stands before a lost Open.
        """
        if epoch < self.epoch:
            raise Fenced(
                f"epoch {epoch} has ended, the session was opened again and is at {self.epoch}",
                cure="stop, or open the session to take it over",
                **self.facts(),
            )
        if epoch > self.epoch:
            raise self._lost(f"epoch {epoch} is ahead of the session's {self.epoch}")

    def check_open(self, request_id: bytes, expected_epoch: int, seen: LastSeen | None) -> bool:
        """Whether an Open raises the epoch; False when this very request has raised it before.

        Raises:
            Fenced: the epoch isn't the expected one, or was raised again since this request did.
            StepConflict: the client has seen more (STEPS_LOST) or something else (HISTORY_MISMATCH).
        """
        if request_id in self.opens:
            self.check_epoch(self.opens[request_id])
            return False
        if expected_epoch not in (0, self.epoch):
            raise Fenced(
                f"epoch {expected_epoch} was expected, the session is at {self.epoch}",
                cure="open it with the epoch it has, or with 0 to take it over",
                **self.facts(),
            )
        if seen is not None and seen.seq > self.seq:
            raise self._lost(f"operation {seen.seq} was seen, the session ends at {self.seq}")
        if seen is not None and not self._is_history(seen):
            raise self._mismatch(seen.seq)
        return True

    def note(self, entry: Entry) -> None:
        """Take a record in: one just written, or one read at recovery."""
        record = entry.record
        self.records += 1
        self.epoch = record.epoch
        if record.kind is Kind.OPEN:
            _remember(self.opens, record.request_id, record.epoch, _OPENS_KEPT)
            return
        if record.state_version != self.state_version or not self.made_by:
            self.made_by = entry.chain
        if record.kind is Kind.BASE:
            self.step, self.state_version = record.step, record.state_version
            self.made_by = entry.chain
            self.cursor, self.pending = record.cursor, record.pending
            return
        kept = Kept(record.digest, record.prev, entry.chain, entry.offset)
        _remember(self.kept, record.seq, kept, self.replies)
        self.seq, self.chain = record.seq, entry.chain
        self.step, self.state_version = record.step, record.state_version
        self.cursor, self.pending = record.cursor, record.pending
        self.is_closed = record.method is Method.CLOSE
        self.doomed.clear()

    def begin(self) -> None:
        """An operation starts: what an earlier try of this number doomed may come to pass after all."""
        self.doomed.clear()

    def fail(self, header: OpHeader) -> None:
        """An operation was refused for good: what was sent to follow it can't be applied."""
        self._doom(next_chain(header.prev, header.digest), header.seq)

    def gap(self, seq: int) -> StepGap:
        """The refusal of an operation whose predecessors are missing."""
        return StepGap(
            f"operation {seq} came before operation {self.seq + 1}",
            cure=f"send operation {self.seq + 1} first",
            **self.facts(),
        )

    def facts(self) -> dict[str, Any]:
        """What every refusal tells: where the session stands."""
        return {"next_seq": self.seq + 1, "chain": self.chain, "epoch": self.epoch}

    def _replay(self, header: OpHeader) -> Kept:
        kept = self.kept.get(header.seq)
        if kept is None:
            raise StepTooOld(
                f"operation {header.seq} was applied; replies are kept for {self.replies} operations",
                cure=f"go on with operation {self.seq + 1}",
                **self.facts(),
            )
        if kept.digest != header.digest:
            raise StepConflict(
                f"another operation was applied as number {header.seq}",
                cure="open the session and go on from where it stands",
                **self.facts(),
            )
        if kept.prev != header.prev:
            raise self._mismatch(header.seq)
        return kept

    def _is_history(self, seen: LastSeen) -> bool:
        if seen.seq == self.seq:
            return seen.chain == self.chain
        kept = self.kept.get(seen.seq)
        return kept is None or kept.chain == seen.chain

    def _mismatch(self, seq: int) -> StepConflict:
        return StepConflict(
            f"operation {seq} follows another history than the session's",
            code=ErrorCode.HISTORY_MISMATCH,
            cure="open the session and go on from where it stands",
            **self.facts(),
        )

    def _lost(self, fact: str) -> StepConflict:
        return StepConflict(
            f"{fact}: later operations were lost",
            code=ErrorCode.STEPS_LOST,
            cure=f"open the session and go on at operation {self.seq + 1}",
            cursor=self.cursor,
            **self.facts(),
        )

    def _doom(self, chain: bytes, failed: int) -> None:
        _remember(self.doomed, chain, failed, self.window)


def _remember(table: OrderedDict[K, V], key: K, value: V, limit: int) -> None:
    table[key] = value
    if len(table) > limit:
        table.popitem(last=False)
