"""The life of spawner and workers without processes: hangs, deaths, waits, what is held."""

import pytest

from chainrule_server.workers import events
from chainrule_server.workers.events import (
    Died,
    Finish,
    Forgotten,
    Forked,
    ForkFailed,
    Round,
    Send,
    SpawnerDied,
    Started,
    StartSpawner,
    Submitted,
    Tick,
)
from support.pool_scene import LIMITS, Scene, blocks, task


def test_a_hang_is_killed_and_done_again_with_more_patience() -> None:
    scene = Scene(1)
    scene.submit(1, patience=5)
    (send,) = scene.take(Send)
    scene.tell(Tick({0: 1}), after=4)
    scene.tell(Tick({0: 2}), after=4)
    assert not scene.take(events.Kill)
    scene.tell(Tick({0: 2}), after=6)
    (kill,) = scene.take(events.Kill)
    assert "no progress" in kill.why
    scene.die(send)
    (again,) = scene.take(Send)
    scene.tell(Tick({0: 1}), after=1)
    scene.tell(Tick({0: 1}), after=9)
    assert not scene.take(events.Kill)
    scene.tell(Tick({0: 1}), after=2)
    assert len(scene.take(events.Kill)) == 1
    scene.reply(again)  # it was only slow: its word counts although it must die
    assert len(scene.take(Finish)) == 1


def test_a_dead_spawner_takes_its_workers_and_none_of_them_makes_poison() -> None:
    scene = Scene(2)
    scene.submit(2)
    sends = scene.take(Send)
    scene.tell(SpawnerDied())
    assert scene.take(StartSpawner) == [StartSpawner()]
    assert len(scene.take(events.Kill)) == 2
    for send in sends:
        scene.tell(Died(send.worker, send.generation, send.dispatch))
    assert not scene.take(events.Fork)  # nobody is there to fork
    scene.tell(Started())
    scene.hire()
    again = scene.take(Send)
    assert blocks(again) == [1, 0] or blocks(again) == [0, 1]
    for send in again:
        scene.reply(send)
    (end,) = scene.take(Finish)
    assert end.report.redone == 2


def test_a_spawner_that_does_not_fork_is_killed_once() -> None:
    scene = Scene(1)
    scene.submit(1)
    (send,) = scene.take(Send)
    scene.tell(Died(send.worker, send.generation, send.dispatch))
    (fork,) = scene.take(events.Fork)
    scene.tell(Tick(), after=11)
    scene.tell(Tick(), after=11)
    assert len(scene.take(events.KillSpawner)) == 1
    scene.tell(SpawnerDied())
    scene.tell(Tick(), after=1)
    scene.tell(Started())
    (another,) = scene.take(events.Fork)
    assert another.generation == fork.generation + 1
    scene.tell(Forked(fork.worker, fork.generation))  # of the stopped spawner: nobody waits for it
    assert not scene.take(Send)


def test_a_worker_that_never_gets_ready_is_killed() -> None:
    scene = Scene(1)
    scene.tell(Died(0, 1, 0))
    (fork,) = scene.take(events.Fork)
    scene.tell(Forked(fork.worker, fork.generation))
    scene.tell(Tick(), after=11)
    (kill,) = scene.take(events.Kill)
    assert kill.generation == fork.generation


def test_deaths_in_a_row_are_followed_by_longer_and_longer_waits() -> None:
    scene = Scene(1)
    waits = []
    for _ in range(12):
        generation = scene.machine.staff.workers[0].generation
        scene.tell(Died(0, generation, 0))
        timer = scene.machine.next_timer(scene.now)
        forks = scene.take(events.Fork)
        waits.append(0.0 if forks else (timer or 0.0) - scene.now)
        if not forks:
            scene.tell(Tick(), after=waits[-1])
            forks = scene.take(events.Fork)
        scene.tell(Forked(0, forks[0].generation))
    assert waits[0] == 0
    assert waits[1:4] == pytest.approx([0.05, 0.1, 0.2])
    assert waits[-1] == pytest.approx(LIMITS.max_backoff_s)


def test_a_failed_fork_is_tried_again() -> None:
    scene = Scene(1)
    scene.tell(Died(0, 1, 0))
    (fork,) = scene.take(events.Fork)
    scene.tell(ForkFailed(fork.worker, fork.generation))
    scene.tell(Tick(), after=1)
    (again,) = scene.take(events.Fork)
    assert again.generation == fork.generation + 1


def test_what_a_worker_holds_is_bounded_and_forgotten_on_request() -> None:
    scene = Scene(1)
    for number in range(1, 6):
        tasks = (task(0, program=number, board=100 + number),)
        scene.tell(Submitted(Round(number, tasks, 1e9, 5)))
        (send,) = scene.take(Send)
        scene.reply(send)
    dropped = [drop.resource_id for drop in scene.take(events.Drop)]
    assert dropped == [1, 2, 101, 3, 102]
    scene.tell(Forgotten(105))
    assert [drop.resource_id for drop in scene.take(events.Drop)] == [105]
    scene.tell(Forgotten(105))
    assert not scene.take(events.Drop)


def test_a_worker_that_has_the_program_is_preferred() -> None:
    scene = Scene(2)
    scene.submit(2)
    _, second = scene.take(Send)
    scene.reply(second)
    assert second.worker == 1
    scene.tell(Submitted(Round(2, (task(0),), 1e9, 5)))
    (send,) = scene.take(Send)
    assert send.worker == 1
    assert send.attach == frozenset()
