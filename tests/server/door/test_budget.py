"""Bytes in flight never pass their bound, and nobody waits for ever."""

import threading
import time

import pytest

from chainrule.errors import Cancelled, DeadlineExceeded, ErrorCode, LimitExceeded, Overloaded
from chainrule_server.door.budget import ByteBudget


def later() -> float:
    return time.monotonic() + 60


def test_reservations_add_up_and_are_given_back() -> None:
    budget = ByteBudget(100)
    with budget.reserve(60, later()), budget.reserve(40, later()):
        assert budget.used == 100
    assert budget.used == 0


def test_more_than_everything_is_refused_at_once() -> None:
    budget = ByteBudget(100)
    with pytest.raises(LimitExceeded) as refusal, budget.reserve(101, later()):
        pass
    assert refusal.value.code is ErrorCode.COST_BYTES
    assert refusal.value.facts == {"limit": 100, "value": 101}
    assert budget.used == 0


def test_who_waits_gets_in_when_bytes_are_given_back() -> None:
    budget = ByteBudget(100)
    entered = threading.Event()

    def second() -> None:
        with budget.reserve(50, later()):
            entered.set()

    with budget.reserve(80, later()):
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.is_set()
    assert entered.wait(10)
    thread.join()
    assert budget.used == 0


def test_a_small_one_does_not_overtake_a_large_one_for_ever() -> None:
    budget = ByteBudget(100, patience_s=0.0)
    order: list[str] = []
    with budget.reserve(80, later()), pytest.raises(Overloaded), budget.reserve(50, later()):
        order.append("large")
    assert order == []
    with budget.reserve(20, later()):
        order.append("small")
    assert (order, budget.used) == (["small"], 0)


def test_patience_deadline_and_cancellation_end_a_wait() -> None:
    budget = ByteBudget(10, patience_s=0.0)
    with budget.reserve(10, later()):
        with pytest.raises(Overloaded) as refusal, budget.reserve(1, later()):
            pass
        assert refusal.value.facts["retry_after_s"] > 0
        with pytest.raises(DeadlineExceeded), budget.reserve(1, time.monotonic() - 1):
            pass
        with pytest.raises(Cancelled), budget.reserve(1, later(), lambda: True):
            pass
    assert budget.used == 0


def test_a_cancelled_wait_ends_when_it_is_woken() -> None:
    budget = ByteBudget(10)
    cancelled, refused = threading.Event(), threading.Event()

    def waits() -> None:
        try:
            with budget.reserve(10, later(), cancelled.is_set):
                pass
        except Cancelled:
            refused.set()

    with budget.reserve(10, later()):
        thread = threading.Thread(target=waits)
        thread.start()
        cancelled.set()
        while not refused.wait(0.01):
            budget.wake()
    thread.join()
