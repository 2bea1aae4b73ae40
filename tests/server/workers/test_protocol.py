"""Rounds without processes: lost, late, double, stale and reordered replies."""

import random
from collections.abc import Iterator

import pytest

from chainrule.errors import ErrorCode, NonFinite
from chainrule_server.workers import events
from chainrule_server.workers.events import (
    Cancelled,
    Closing,
    Died,
    Event,
    Fail,
    Finish,
    Forked,
    Ready,
    Replied,
    Round,
    Send,
    SpawnerDied,
    Started,
    StartSpawner,
    Submitted,
    Tick,
    Unsent,
)
from chainrule_server.workers.failures import Failure
from support.pool_scene import LIMITS, Scene, task


def test_the_same_reply_twice_counts_once() -> None:
    scene = Scene(1)
    scene.submit(2)
    (first,) = scene.take(Send)
    scene.reply(first)
    scene.reply(first)
    (second,) = scene.take(Send)
    assert not scene.take(Finish)
    scene.reply(first)
    scene.reply(second)
    (end,) = scene.take(Finish)
    assert end.report.cpu_ns == 14


def test_a_lost_task_is_done_again_and_its_late_reply_is_nothing() -> None:
    scene = Scene(2)
    scene.submit(2)
    first, second = scene.take(Send)
    scene.tell(Died(first.worker, first.generation, first.dispatch))
    scene.reply(first)  # of a process that is gone
    scene.reply(second)
    (again,) = scene.take(Send)
    assert again.task.lo == 0
    assert again.worker == second.worker
    scene.reply(again)
    (end,) = scene.take(Finish)
    assert end.report.redone == 1


def test_a_reply_read_just_before_the_death_counts() -> None:
    scene = Scene(1)
    scene.submit(1)
    (send,) = scene.take(Send)
    scene.reply(send)
    scene.die(send)
    (end,) = scene.take(Finish)
    assert end.report.redone == 0
    assert not scene.take(Fail)


def test_a_new_process_of_a_worker_has_nothing_of_the_old_one() -> None:
    scene = Scene(1)
    scene.submit(2)
    (first,) = scene.take(Send)
    assert first.attach == {1, 2}
    scene.reply(first)
    (second,) = scene.take(Send)
    assert second.attach == frozenset()
    scene.die(second)
    (again,) = scene.take(Send)
    assert again.generation == second.generation + 1
    assert again.attach == {1, 2}


def test_a_round_that_kills_two_workers_in_a_row_is_poison() -> None:
    scene = Scene(2)
    scene.submit(1)
    for _ in range(2):
        (send,) = scene.take(Send)
        scene.die(send)
    (end,) = scene.take(Fail)
    assert end.failure.error.code is ErrorCode.POISON
    assert not scene.take(Send)


def test_a_success_between_two_deaths_makes_them_accidents() -> None:
    scene = Scene(1)
    scene.submit(3)
    for _ in range(2):
        (send,) = scene.take(Send)
        scene.die(send)
        (again,) = scene.take(Send)
        scene.reply(again)
    (last,) = scene.take(Send)
    scene.reply(last)
    (end,) = scene.take(Finish)
    assert end.report.redone == 2


def test_deaths_that_the_task_did_not_see_are_no_poison() -> None:
    scene = Scene(1)
    scene.submit(1)
    for _ in range(LIMITS.max_attempts - 1):
        (send,) = scene.take(Send)
        scene.tell(Died(send.worker, send.generation, 0))
        scene.hire()
        scene.tell(Tick(), after=60)
        scene.hire()
    (send,) = scene.take(Send)
    scene.reply(send)
    assert len(scene.take(Finish)) == 1


def test_attempts_are_bounded() -> None:
    scene = Scene(1)
    scene.submit(1)
    for _ in range(LIMITS.max_attempts):
        (send,) = scene.take(Send)
        scene.tell(Died(send.worker, send.generation, 0))
        scene.tell(Tick(), after=60)
        scene.hire()
    (end,) = scene.take(Fail)
    assert end.failure.error.code is ErrorCode.UNAVAILABLE


def test_a_passed_deadline_kills_and_fails_only_when_nobody_touches_the_memory() -> None:
    scene = Scene(2)
    scene.submit(3, deadline=10)
    first, second = scene.take(Send)
    assert scene.machine.next_timer(0.0) == pytest.approx(LIMITS.sample_s)
    scene.tell(Tick({0: 1, 1: 1}), after=10)
    assert {kill.worker for kill in scene.take(events.Kill)} == {0, 1}
    scene.die(first)
    assert not scene.take(Fail)
    scene.reply(second)  # it had finished: from now on it is harmless too
    (end,) = scene.take(Fail)
    assert end.failure.error.code is ErrorCode.DEADLINE
    assert not scene.take(Send)


def test_a_deadline_that_has_passed_starts_nothing() -> None:
    scene = Scene(1)
    scene.tell(Tick(), after=5)
    scene.submit(1, deadline=5)
    (end,) = scene.take(Fail)
    assert end.failure.error.code is ErrorCode.DEADLINE


def test_a_cancelled_round_ends_and_others_go_on() -> None:
    scene = Scene(2)
    scene.submit(1, id=1)
    scene.submit(1, id=2)
    first, second = scene.take(Send)
    scene.tell(Cancelled(1))
    scene.tell(Cancelled(1))
    (kill,) = scene.take(events.Kill)
    assert kill.worker == first.worker
    scene.die(first)
    (end,) = scene.take(Fail)
    assert end.round_id == 1
    assert end.failure.error.code is ErrorCode.CANCELLED
    scene.reply(second)
    assert len(scene.take(Finish)) == 1
    scene.tell(Cancelled(2))
    assert not scene.taken()


def test_an_engine_error_of_the_first_task_is_told_and_the_others_are_let_end() -> None:
    scene = Scene(2)
    scene.submit(3)
    first, second = scene.take(Send)
    scene.reply(second, failure=Failure(NonFinite("of the second")))
    assert not scene.take(Fail)
    scene.reply(first, failure=Failure(NonFinite("of the first")))
    (end,) = scene.take(Fail)
    assert end.failure.error.fact == "of the first"
    assert not scene.take(events.Kill)
    assert not scene.take(Send)


def test_rounds_take_turns() -> None:
    scene = Scene(1)
    scene.submit(3, id=1)
    scene.submit(1, id=2)
    done = []
    while sends := scene.take(Send):
        scene.reply(sends[0])
        done += [end.round_id for end in scene.take(Finish)]
    assert done == [2, 1]


def test_the_queue_is_bounded() -> None:
    scene = Scene(1)
    scene.submit(LIMITS.max_tasks)
    scene.submit(1, id=2)
    (end,) = scene.take(Fail)
    assert (end.round_id, end.failure.error.code) == (2, ErrorCode.OVERLOADED)


def test_a_round_of_nothing_is_done() -> None:
    scene = Scene(1)
    scene.submit(0)
    assert len(scene.take(Finish)) == 1


def test_a_task_that_could_not_be_handed_over_is_no_death_of_it() -> None:
    scene = Scene(1)
    scene.submit(1)
    for _ in range(5):
        (send,) = scene.take(Send)
        scene.tell(Unsent(send.worker, send.generation, send.dispatch))
        assert len(scene.take(events.Kill)) == 1
        scene.die(send)
    (send,) = scene.take(Send)
    scene.reply(send)
    (end,) = scene.take(Finish)
    assert end.report.redone == 0


def test_closing_fails_all_and_starts_nothing() -> None:
    scene = Scene(2)
    scene.submit(3)
    first, second = scene.take(Send)
    scene.tell(Closing())
    assert len(scene.take(events.Kill)) == 2
    for send in (first, second):
        scene.tell(Died(send.worker, send.generation, send.dispatch))
    (end,) = scene.take(Fail)
    assert end.failure.error.code is ErrorCode.DRAINING
    scene.tell(Tick(), after=100)
    assert not scene.taken()
    assert scene.machine.staff.is_empty
    scene.submit(1, id=9)
    (end,) = scene.take(Fail)
    assert end.failure.error.code is ErrorCode.DRAINING


@pytest.mark.parametrize("seed", range(200))
def test_whatever_happens_each_round_ends_once_and_no_worker_works_on_it_then(seed: int) -> None:
    """A random life: deaths, hangs, doubles, cancels, deadlines, dead spawners, in any order."""
    rng = random.Random(seed)
    n_workers = rng.randint(1, 4)
    scene = Scene(n_workers)
    alive = dict.fromkeys(range(n_workers), 1)
    in_hand: dict[int, Send] = {}
    old: list[Send] = []
    ended: list[int] = []
    rounds = 12

    def listen() -> Iterator[Event]:
        for order in scene.taken():
            match order:
                case Send():
                    assert alive.get(order.worker) == order.generation
                    assert order.worker not in in_hand
                    in_hand[order.worker] = order
                    old.append(order)
                case Finish(round_id) | Fail(round_id):
                    assert round_id not in ended
                    ended.append(round_id)
                case events.Fork(worker, generation):
                    alive[worker] = generation
                    yield Forked(worker, generation)
                    yield Ready(worker, generation)
                case StartSpawner():
                    yield Started()

    def tell(event: Event, after: float = 0.0) -> None:
        scene.tell(event, after)
        for answer in listen():
            tell(answer)

    def die(worker: int) -> None:
        generation = alive.pop(worker, None)
        if generation is not None:
            send = in_hand.pop(worker, None)
            tell(Died(worker, generation, send.dispatch if send and rng.random() < 0.7 else 0))

    for id in range(1, rounds + 1):
        tasks = tuple(task(block) for block in range(rng.randint(1, 5)))
        tell(Submitted(Round(id, tasks, scene.now + rng.uniform(1, 50), 3)))
        for _ in range(rng.randint(0, 12)):
            match rng.randint(0, 8):
                case 0:
                    die(rng.randrange(n_workers))
                case 1 if old:
                    send = rng.choice(old)  # a late or double reply
                    if in_hand.get(send.worker) is not send:
                        tell(Replied(send.worker, send.generation, send.dispatch, 1))
                case 2:
                    tell(Cancelled(rng.randint(1, id)))
                case 3:
                    tell(Tick({k: rng.randint(0, 3) for k in alive}), after=rng.uniform(0, 4))
                case 4 if rng.random() < 0.2:
                    tell(SpawnerDied())
                case _ if in_hand:
                    worker = rng.choice(sorted(in_hand))
                    send = in_hand.pop(worker)
                    failure = Failure(NonFinite("nan")) if rng.random() < 0.1 else None
                    tell(Replied(worker, send.generation, send.dispatch, 1, failure))
    for _ in range(200):
        if len(ended) == rounds:
            break
        tell(Tick(), after=1)
        for worker in list(alive):
            die(worker)
    assert sorted(ended) == list(range(1, rounds + 1))
    assert scene.machine.n_tasks == 0
