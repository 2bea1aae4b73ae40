"""The pool with real processes, nothing broken."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule_server.workers.coordinator import Coordinator
from chainrule_server.workers.pool import Pool
from support.toy_pool import bits, run, spawner_pid, toy_pool, worker_pids
from support.toy_program import ToyProgram


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with toy_pool(2) as pool:
        yield pool


@pytest.fixture
def coordinator(pool: Pool) -> Iterator[Coordinator]:
    coordinator = Coordinator(pool)
    yield coordinator
    coordinator.close()


def test_a_run_gives_the_numbers(coordinator: Coordinator) -> None:
    x = np.arange(50, dtype=np.float32)
    result = coordinator.run(ToyProgram(), 50, {"x": x}, deadline=1e18)
    assert result.outputs["total"] == x.sum()
    assert result.outputs["peak"] == 49
    assert result.outputs["mean"] == x.mean()
    np.testing.assert_array_equal(result.outputs["twice"], 2 * x)
    assert result.stats.cpu_s > 0
    assert result.stats.redone == 0


def test_any_number_of_workers_gives_the_same_bits_and_each_does_work() -> None:
    seen = set()
    for n_workers in (1, 3):
        with toy_pool(n_workers) as pool:
            coordinator = Coordinator(pool)
            result = run(coordinator, ToyProgram())
            seen.add(bits(result))
            assert result.stats.workers == frozenset(range(n_workers))
            coordinator.close()
    assert len(seen) == 1


def test_workers_hold_no_grpc_and_no_main_of_the_server(
    coordinator: Coordinator, tmp_path: Path
) -> None:
    path = tmp_path / "modules"
    run(coordinator, ToyProgram(trap={"kind": "modules", "path": str(path)}))
    modules = json.loads(path.read_text())
    assert "numpy" in modules
    banned = ("grpc", "google", "multiprocessing", "pytest", "__mp_main__")
    assert [name for name in modules if name.split(".")[0] in banned] == []


def test_processes_show_their_titles_and_bounds(pool: Pool) -> None:
    for worker in pool.stats().workers:
        proc = Path(f"/proc/{worker.pid}")
        title = proc.joinpath("cmdline").read_bytes().rstrip(b"\0")
        assert title == f"chainrule: worker {worker.index}".encode()
        limits = proc.joinpath("limits").read_text()
        assert "Max core file size        0 " in limits
        assert "NoNewPrivs:\t1" in proc.joinpath("status").read_text()
        assert proc.joinpath("oom_score_adj").read_text().strip() == "500"
        assert len(list(proc.joinpath("task").iterdir())) == 1
    spawner = Path(f"/proc/{spawner_pid(pool)}")
    assert spawner.joinpath("cmdline").read_bytes().rstrip(b"\0") == b"chainrule: spawner"
    assert len(list(spawner.joinpath("task").iterdir())) == 1


def test_what_the_engine_refuses_comes_back_with_its_facts(coordinator: Coordinator) -> None:
    with pytest.raises(ChainruleError, match="the loss is nan") as caught:
        run(coordinator, ToyProgram(trap={"kind": "fail"}))
    assert caught.value.code is ErrorCode.NON_FINITE
    assert caught.value.node == 17
    assert caught.value.facts == {"step": 3}


def test_a_bug_of_the_engine_shows_its_kind_and_none_of_its_text(coordinator: Coordinator) -> None:
    with pytest.raises(ChainruleError, match="ZeroDivisionError") as caught:
        run(coordinator, ToyProgram(trap={"kind": "bug"}))
    assert caught.value.code is ErrorCode.INTERNAL
    assert "secret" not in str(caught.value)
    assert run(coordinator, ToyProgram()).stats.redone == 0


def test_many_threads_share_the_workers(coordinator: Coordinator) -> None:
    program = ToyProgram()
    expected = bits(run(coordinator, program))
    found: list[bytes] = []

    def work() -> None:
        found.extend(bits(run(coordinator, program)) for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 120
    assert set(found) == {expected}


def open_fds(pid: int | str = "self") -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def memfds(pid: int | str) -> int:
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return sum("memfd:" in line for line in lines)


def test_fds_and_mappings_are_back_at_the_start_after_many_runs(
    pool: Pool, coordinator: Coordinator
) -> None:
    program = ToyProgram()

    def once() -> None:
        other = Coordinator(pool)
        for n in (10, 50, 20_000):
            run(other, ToyProgram(), n)
        other.close()
        # The workers have unmapped it all when they answer the next task.
        run(coordinator, program)

    def held() -> list[int]:
        pids = worker_pids(pool)
        return [open_fds(), memfds("self"), *(memfds(pid) for pid in pids), *map(open_fds, pids)]

    once()
    before = held()
    for _ in range(10):
        once()
    assert held() == before


def test_a_thread_that_started_the_pool_may_end() -> None:
    pool = toy_pool(1)
    starter = threading.Thread(target=pool.start)
    starter.start()
    starter.join()
    coordinator = Coordinator(pool)
    try:
        pids = worker_pids(pool)
        for _ in range(3):
            run(coordinator, ToyProgram())
        assert worker_pids(pool) == pids
    finally:
        coordinator.close()
        pool.close()


def test_a_closed_pool_refuses_and_leaves_nothing() -> None:
    before = (open_fds(), threading.active_count())
    pool = toy_pool(2).start()
    pids = [spawner_pid(pool), *worker_pids(pool)]
    coordinator = Coordinator(pool)
    run(coordinator, ToyProgram())
    pool.close()
    pool.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with pytest.raises(ChainruleError, match="the pool is closed"):
        run(coordinator, ToyProgram())
    coordinator.close()
    assert (open_fds(), threading.active_count()) == before


def test_a_pool_that_never_started_closes() -> None:
    before = open_fds()
    toy_pool(1).close()
    assert open_fds() == before
    with pytest.raises(ValueError, match="at least 1"):
        Pool(0)


def test_a_spawner_that_does_not_start_is_reported_and_leaves_nothing() -> None:
    before = open_fds()
    with pytest.raises(ChainruleError, match="not ready within"):
        Pool(1, command=("/bin/false",)).start(timeout_s=0.2)
    assert open_fds() == before
