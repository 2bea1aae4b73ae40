"""The pool with real processes that die, hang, stop and run out: same bits, nothing left behind."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule_server.workers.cancellation import Cancellation
from chainrule_server.workers.coordinator import Coordinator, RunResult
from chainrule_server.workers.nursery import Bounds
from chainrule_server.workers.pool import Pool
from chainrule_server.workers.staff import Limits
from support.toy_pool import (
    Gate,
    bits,
    deadline,
    run,
    spawner_pid,
    toy_pool,
    wait_gone,
    worker_pids,
)
from support.toy_program import ToyProgram

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with toy_pool(2) as pool:
        yield pool


@pytest.fixture
def coordinator(pool: Pool) -> Iterator[Coordinator]:
    coordinator = Coordinator(pool)
    yield coordinator
    coordinator.close()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path)
    yield gate
    gate.close()


class Running:
    """A run in a thread of its own."""

    def __init__(self, coordinator: Coordinator, program: ToyProgram, **options: Any) -> None:
        self.result: RunResult | None = None
        self.error: ChainruleError | None = None

        def work() -> None:
            try:
                self.result = run(coordinator, program, **options)
            except ChainruleError as error:
                self.error = error

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def finish(self) -> RunResult:
        self._thread.join()
        assert self.error is None
        assert self.result is not None
        return self.result

    def fail(self) -> ChainruleError:
        self._thread.join()
        assert self.error is not None
        return self.error


@pytest.fixture
def expected(coordinator: Coordinator) -> bytes:
    return bits(run(coordinator, ToyProgram()))


@pytest.mark.parametrize("shard", [0, 5, 11, 16])
def test_a_worker_killed_inside_a_task_is_replaced_and_the_bits_stay(
    pool: Pool, coordinator: Coordinator, gate: Gate, expected: bytes, shard: int
) -> None:
    running = Running(coordinator, ToyProgram(trap={**gate.trap, "at": shard}))
    victim = gate.wait_begun()
    at_work = {worker.pid: worker.running for worker in pool.stats().workers}
    assert at_work[victim] != 0  # the task was being run, and its page says so
    os.kill(victim, signal.SIGKILL)
    assert gate.wait_begun() != victim
    gate.open()
    result = running.finish()
    assert bits(result) == expected
    assert result.stats.redone == 1


def test_workers_killed_at_many_moments_change_no_bit(tmp_path: Path) -> None:
    with toy_pool(3) as pool:
        coordinator = Coordinator(pool)
        expected = bits(run(coordinator, ToyProgram()))
        for number in range(10):
            marker = tmp_path / str(number)
            trap = {"kind": "die", "marker": str(marker), "at": number}
            result = run(coordinator, ToyProgram(trap=trap))
            assert marker.exists()
            assert bits(result) == expected
            assert result.stats.redone == 1
        assert pool.stats().deaths == 10
        coordinator.close()


def test_a_request_that_kills_its_workers_is_poison_and_others_go_on(
    coordinator: Coordinator, expected: bytes
) -> None:
    with pytest.raises(ChainruleError, match="2 workers in a row") as caught:
        run(coordinator, ToyProgram(rows=100, trap={"kind": "die"}))
    assert caught.value.code is ErrorCode.POISON
    assert bits(run(coordinator, ToyProgram())) == expected


def test_a_deadline_ends_a_hanging_task_and_its_worker(
    pool: Pool, coordinator: Coordinator, gate: Gate, expected: bytes
) -> None:
    running = Running(coordinator, ToyProgram(trap=gate.trap), deadline=deadline(0.3))
    victim = gate.wait_begun()
    assert running.fail().code is ErrorCode.DEADLINE
    wait_gone(victim)
    assert bits(run(coordinator, ToyProgram())) == expected


def test_a_cancelled_run_ends_at_once(
    coordinator: Coordinator, gate: Gate, expected: bytes
) -> None:
    cancel = Cancellation()
    running = Running(coordinator, ToyProgram(trap=gate.trap), cancel=cancel)
    victim = gate.wait_begun()
    cancel.set()
    assert running.fail().code is ErrorCode.CANCELLED
    wait_gone(victim)
    with pytest.raises(ChainruleError, match="cancelled"):
        run(coordinator, ToyProgram(), cancel=cancel)
    assert bits(run(coordinator, ToyProgram())) == expected


def test_a_stopped_worker_is_a_hang_and_its_task_is_done_elsewhere(
    pool: Pool, gate: Gate, expected: bytes
) -> None:
    coordinator = Coordinator(pool, patience_s=0.5)
    running = Running(coordinator, ToyProgram(trap=gate.trap))
    victim = gate.wait_begun()
    os.kill(victim, signal.SIGSTOP)
    assert gate.wait_begun() != victim
    gate.open()
    result = running.finish()
    assert bits(result) == expected
    assert result.stats.redone == 1
    wait_gone(victim)
    coordinator.close()


def test_a_worker_killed_while_idle_is_nobodys_fault(
    pool: Pool, coordinator: Coordinator, expected: bytes
) -> None:
    for _ in range(5):
        for pid in worker_pids(pool):
            os.kill(pid, signal.SIGKILL)
        assert bits(run(coordinator, ToyProgram())) == expected


def test_a_lost_spawner_is_replaced_and_its_workers_with_it(gate: Gate, expected: bytes) -> None:
    with toy_pool(2) as pool:
        coordinator = Coordinator(pool)
        running = Running(coordinator, ToyProgram(trap=gate.trap))
        gate.wait_begun()
        before = [spawner_pid(pool), *worker_pids(pool)]
        os.kill(before[0], signal.SIGKILL)
        gate.wait_begun()
        gate.open()
        assert bits(running.finish()) == expected
        wait_gone(*before)
        assert spawner_pid(pool) != before[0]
        assert pool.stats().spawners == 2
        coordinator.close()


def test_a_stopped_spawner_is_replaced_when_a_worker_is_missing(
    gate: Gate, expected: bytes
) -> None:
    with toy_pool(1, limits=Limits(spawn_timeout_s=2)) as pool:
        coordinator = Coordinator(pool)
        running = Running(coordinator, ToyProgram(trap=gate.trap))
        victim = gate.wait_begun()
        spawner = spawner_pid(pool)
        os.kill(spawner, signal.SIGSTOP)
        os.kill(victim, signal.SIGKILL)
        gate.wait_begun()
        gate.open()
        assert bits(running.finish()) == expected
        wait_gone(spawner)
        coordinator.close()


def test_memory_beyond_the_grant_is_an_error_and_the_worker_lives() -> None:
    with toy_pool(1, bounds=Bounds(grant_bytes=64 << 20)) as pool:
        coordinator = Coordinator(pool)
        pids = worker_pids(pool)
        run(coordinator, ToyProgram(trap={"kind": "grab", "nbytes": 16 << 20}))
        with pytest.raises(ChainruleError, match="more memory than it was granted") as caught:
            run(coordinator, ToyProgram(trap={"kind": "grab", "nbytes": 256 << 20}))
        assert caught.value.code is ErrorCode.COST_BYTES_ACTUAL
        run(coordinator, ToyProgram())
        assert worker_pids(pool) == pids
        coordinator.close()


def test_closing_fails_what_runs_and_leaves_no_process(gate: Gate) -> None:
    pool = toy_pool(2).start()
    coordinator = Coordinator(pool)
    running = Running(coordinator, ToyProgram(trap=gate.trap))
    gate.wait_begun()
    pids = [spawner_pid(pool), *worker_pids(pool)]
    pool.close()
    assert running.fail().code is ErrorCode.DRAINING
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    coordinator.close()
