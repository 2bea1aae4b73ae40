"""Rule by rule: what happens to an operation, by epoch, seq, prev and digest."""

import hashlib
from dataclasses import replace

import pytest

from chainrule.errors import ErrorCode, Fenced, StepConflict, StepGap, StepTooOld
from chainrule.ir.operations import Method, next_chain
from chainrule_server.sessions.log import Entry
from chainrule_server.sessions.order import Kept, Ledger, Turn
from chainrule_server.sessions.record import Kind, Record
from chainrule_server.sessions.types import LastSeen, OpHeader

START = bytes(32)


def digest(i: int, kind: str = "") -> bytes:
    return hashlib.sha256(f"{i}{kind}".encode()).digest()


def chain(n: int) -> bytes:
    value = START
    for i in range(1, n + 1):
        value = next_chain(value, digest(i))
    return value


def op(seq: int, **changes: object) -> OpHeader:
    header = OpHeader(bytes(16), 1, seq, chain(seq - 1), digest(seq)[:16], digest(seq))
    return replace(header, **changes)  # type: ignore[arg-type]


def record(seq: int, epoch: int = 1, kind: Kind = Kind.OPERATION, request: bytes = b"") -> Entry:
    is_operation = kind is Kind.OPERATION
    before = chain(seq - is_operation)
    value = digest(seq) if is_operation else bytes(32)
    method = Method.STEP if is_operation else Method.OPEN
    row = Record(kind, seq, before, method, epoch, request or digest(seq)[:16], value, seq, seq)
    return Entry(row, 100 * seq, 100 * seq + 100, chain(seq))


def ledger_at(seq: int, window: int = 4, replies: int = 64) -> Ledger:
    ledger = Ledger(window, replies, 0, START)
    for i in range(1, seq + 1):
        ledger.note(record(i))
    return ledger


def code_of(info: pytest.ExceptionInfo[Exception]) -> ErrorCode:
    return info.value.code  # type: ignore[attr-defined, no-any-return]


def test_the_next_operation_is_applied() -> None:
    assert ledger_at(3).admit(op(4)) is Turn.APPLY


def test_a_replay_finds_the_stored_reply() -> None:
    assert ledger_at(3).admit(op(2)) == Kept(digest(2), chain(1), chain(2), 200)


def test_another_digest_under_an_applied_number_is_a_conflict() -> None:
    with pytest.raises(StepConflict) as info:
        ledger_at(3).admit(op(2, digest=digest(2, "other")))
    assert code_of(info) is ErrorCode.STEP_CONFLICT
    assert info.value.facts["next_seq"] == 4


@pytest.mark.parametrize("seq", [2, 4])
def test_another_prev_is_another_history(seq: int) -> None:
    with pytest.raises(StepConflict) as info:
        ledger_at(3).admit(op(seq, prev=digest(9)))
    assert code_of(info) is ErrorCode.HISTORY_MISMATCH


def test_a_gap_inside_the_window_is_held_and_beyond_it_refused() -> None:
    ledger = ledger_at(3)
    assert [ledger.admit(op(seq)) for seq in (5, 6, 7)] == [Turn.HOLD] * 3
    with pytest.raises(StepGap) as info:
        ledger.admit(op(8))
    assert info.value.facts["next_seq"] == 4


def test_a_reply_that_is_no_longer_kept_is_too_old() -> None:
    ledger = ledger_at(70)
    assert isinstance(ledger.admit(op(7)), Kept)
    with pytest.raises(StepTooOld) as info:
        ledger.admit(op(6))
    assert info.value.facts["next_seq"] == 71


def test_an_older_epoch_is_fenced_before_anything_else() -> None:
    ledger = ledger_at(3)
    ledger.note(record(3, epoch=2, kind=Kind.OPEN))
    for seq in (2, 4, 9):
        with pytest.raises(Fenced) as info:
            ledger.admit(op(seq))
        assert info.value.facts["epoch"] == 2


def test_an_epoch_that_was_never_given_means_lost_steps() -> None:
    with pytest.raises(StepConflict) as info:
        ledger_at(3).admit(op(4, epoch=2))
    assert code_of(info) is ErrorCode.STEPS_LOST


def test_successors_of_a_failed_operation_fail_with_its_number() -> None:
    ledger = ledger_at(3)
    ledger.begin()
    ledger.fail(op(4))
    for seq in (5, 6):
        with pytest.raises(StepConflict) as info:
            ledger.admit(op(seq))
        assert code_of(info) is ErrorCode.PREDECESSOR_FAILED
        assert info.value.facts["failed_seq"] == 4


def test_a_failed_operation_consumes_no_number_and_may_be_tried_again() -> None:
    ledger = ledger_at(3)
    ledger.fail(op(4))
    assert ledger.admit(op(4)) is Turn.APPLY
    ledger.begin()
    assert ledger.admit(op(5)) is Turn.HOLD


def test_when_another_operation_takes_the_number_old_successors_have_another_history() -> None:
    ledger = ledger_at(3)
    other = digest(4, "other")
    row = replace(record(4).record, digest=other)
    ledger.note(Entry(row, 400, 500, next_chain(chain(3), other)))
    with pytest.raises(StepConflict) as info:
        ledger.admit(op(5))
    assert code_of(info) is ErrorCode.HISTORY_MISMATCH


def test_open_compares_the_epoch_and_zero_takes_over() -> None:
    ledger = ledger_at(3)
    assert ledger.check_open(b"a" * 16, 1, None)
    assert ledger.check_open(b"a" * 16, 0, None)
    with pytest.raises(Fenced):
        ledger.check_open(b"a" * 16, 2, None)


def test_open_again_with_one_request_raises_nothing_and_a_late_copy_is_fenced() -> None:
    ledger = ledger_at(3)
    ledger.note(record(3, epoch=2, kind=Kind.OPEN, request=b"a" * 16))
    assert not ledger.check_open(b"a" * 16, 1, None)
    ledger.note(record(3, epoch=3, kind=Kind.OPEN, request=b"b" * 16))
    with pytest.raises(Fenced):
        ledger.check_open(b"a" * 16, 0, None)


def test_open_tells_a_client_that_has_seen_more_where_to_go_on() -> None:
    ledger = ledger_at(3)
    ledger.cursor = b"where"
    with pytest.raises(StepConflict) as info:
        ledger.check_open(b"a" * 16, 0, LastSeen(5, chain(5)))
    assert code_of(info) is ErrorCode.STEPS_LOST
    assert info.value.facts["next_seq"] == 4
    assert info.value.facts["cursor"] == b"where"


def test_open_compares_what_the_client_has_seen() -> None:
    ledger = ledger_at(3)
    for seq in (2, 3):
        assert ledger.check_open(b"a" * 16, 0, LastSeen(seq, chain(seq)))
        with pytest.raises(StepConflict) as info:
            ledger.check_open(b"a" * 16, 0, LastSeen(seq, digest(9)))
        assert code_of(info) is ErrorCode.HISTORY_MISMATCH
