"""Turns are fair between tenants and end with deadline or cancellation."""

import threading
import time
from collections.abc import Callable

import pytest

from chainrule.errors import Cancelled, DeadlineExceeded, Overloaded
from chainrule_server.door.queue import FairQueue

FLOPS = 1e9


def later() -> float:
    return time.monotonic() + 60


def start(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def waiting(queue: FairQueue, n: int) -> None:
    """Until n calls wait: a condition of the queue itself, so no guess at its speed."""
    deadline = time.monotonic() + 10
    while queue.waiting != n:
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


def test_slots_are_held_by_so_many_at_once() -> None:
    queue = FairQueue(2)
    entered = threading.Event()

    def third() -> None:
        with queue.turn("a", FLOPS, later()):
            entered.set()

    with queue.turn("a", FLOPS, later()), queue.turn("a", FLOPS, later()):
        thread = start(third)
        waiting(queue, 1)
        assert not entered.is_set()
    assert entered.wait(10)
    thread.join()


def test_a_tenant_with_many_calls_delays_another_by_one() -> None:
    queue = FairQueue(1)
    order: list[str] = []
    threads = []

    def call(tenant: str) -> Callable[[], None]:
        def run() -> None:
            with queue.turn(tenant, FLOPS, later()):
                order.append(tenant)

        return run

    with queue.turn("greedy", FLOPS, later()):
        for n in range(5):
            threads.append(start(call("greedy")))
            waiting(queue, n + 1)
        threads.append(start(call("modest")))
        waiting(queue, 6)
    for thread in threads:
        thread.join()
    assert order.index("modest") <= 1


def test_a_wait_longer_than_the_deadline_is_refused_while_it_can_still_go_elsewhere() -> None:
    queue = FairQueue(1, flops_per_s=1.0)
    with (
        queue.turn("a", 1000.0, later()),
        pytest.raises(Overloaded) as refusal,
        queue.turn("b", 1.0, time.monotonic() + 5),
    ):
        pass
    assert refusal.value.facts["retry_after_s"] > 0
    assert queue.waiting == 0


def test_a_deadline_that_has_passed_is_no_overload() -> None:
    queue = FairQueue(1)
    with pytest.raises(DeadlineExceeded), queue.turn("a", 0, time.monotonic() - 1.0):
        raise AssertionError("it got a turn")


def test_a_full_queue_refuses() -> None:
    queue = FairQueue(1, length=0)
    with queue.turn("a", 0, later()), pytest.raises(Overloaded), queue.turn("a", 0, later()):
        pass


def test_cancellation_and_deadline_end_a_wait_and_give_the_place_back() -> None:
    queue = FairQueue(1)
    with queue.turn("a", 0, later()):
        with pytest.raises(Cancelled), queue.turn("a", 0, later(), lambda: True):
            pass
        with pytest.raises(DeadlineExceeded), queue.turn("a", 0, time.monotonic() + 0.01):
            pass
        assert queue.waiting == 0
    with queue.turn("b", 0, later()):
        assert queue.waiting == 0


def test_an_exception_inside_gives_the_slot_back() -> None:
    queue = FairQueue(1)
    with pytest.raises(KeyError), queue.turn("a", FLOPS, later()):
        raise KeyError
    with queue.turn("a", FLOPS, later()):
        pass
