"""Runs from the outside: feeds, state, failures before anything runs, memory that comes back."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule_server.workers.coordinator import Coordinator
from chainrule_server.workers.memory import Region
from chainrule_server.workers.pool import Pool
from support.toy_pool import bits, deadline, numbers, run, toy_pool
from support.toy_program import ToyProgram

PAGE = 4096


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with toy_pool(2) as pool:
        yield pool


@pytest.fixture
def coordinator(pool: Pool) -> Iterator[Coordinator]:
    coordinator = Coordinator(pool)
    yield coordinator
    coordinator.close()


@pytest.mark.parametrize(
    ("feeds", "code"),
    [
        ({}, ErrorCode.MISSING_FIELD),
        ({"x": numbers(50), "y": numbers(50)}, ErrorCode.BAD_NAME),
        ({"x": numbers(49)}, ErrorCode.SHAPE_MISMATCH),
        ({"x": numbers(50).astype(np.float64)}, ErrorCode.DTYPE_MISMATCH),
    ],
)
def test_feeds_that_do_not_fit_are_refused_before_a_worker_is_asked(
    pool: Pool,
    coordinator: Coordinator,
    feeds: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]],
    code: ErrorCode,
) -> None:
    before = sum(worker.tasks_done for worker in pool.stats().workers)
    with pytest.raises(ChainruleError) as caught:
        coordinator.run(ToyProgram(), 50, feeds, deadline=deadline())
    assert caught.value.code is code
    assert sum(worker.tasks_done for worker in pool.stats().workers) == before


def test_a_batch_of_no_rows_is_refused(coordinator: Coordinator) -> None:
    with pytest.raises(ChainruleError, match="0 rows"):
        run(coordinator, ToyProgram(), 0)


def test_strided_feeds_are_taken(coordinator: Coordinator) -> None:
    twice = np.repeat(numbers(50), 2)
    result = coordinator.run(ToyProgram(), 50, {"x": twice[::2]}, deadline=deadline())
    assert bits(result) == bits(run(coordinator, ToyProgram()))


def test_outputs_belong_to_the_caller(coordinator: Coordinator) -> None:
    program = ToyProgram()
    first = run(coordinator, program)
    kept = bits(first)
    coordinator.run(program, 50, {"x": np.zeros(50, np.float32)}, deadline=deadline())
    assert bits(first) == kept


def test_a_deadline_that_has_passed_runs_nothing(coordinator: Coordinator) -> None:
    with pytest.raises(ChainruleError) as caught:
        run(coordinator, ToyProgram(), deadline=0.0)
    assert caught.value.code is ErrorCode.DEADLINE


@dataclass(frozen=True)
class State:
    read_fd: int
    read_offset: int
    write_fd: int
    write_offset: int
    nbytes: int
    key: bytes


def test_both_buffers_of_a_state_file_are_shared_with_the_workers(coordinator: Coordinator) -> None:
    program = ToyProgram(rows=100, trap={"kind": "state"})
    with Region("state", 2 * PAGE) as file:
        state = State(file.fd, 0, file.fd, PAGE, PAGE, b"a")
        for step in range(1, 6):
            run(coordinator, program, state=state)
            assert set(bytes(file.view[state.write_offset : state.write_offset + PAGE])) == {step}
            state = replace(state, read_offset=state.write_offset, write_offset=state.read_offset)
        coordinator.forget(b"a")
        coordinator.forget(b"a")
    with Region("other", 2 * PAGE) as file:
        run(coordinator, program, state=State(file.fd, 0, file.fd, PAGE, PAGE, b"b"))
        assert file.view[PAGE] == 1


def test_the_buffer_that_is_read_cannot_be_written(coordinator: Coordinator) -> None:
    """The toy writes to region 2; given the read buffer there as read-only, it must fail."""
    with Region("state", 2 * PAGE) as file:
        state = State(file.fd, PAGE, file.fd, 0, PAGE, b"c")
        with pytest.raises(ChainruleError, match="ValueError"):
            run(coordinator, ToyProgram(rows=100, trap={"kind": "scribble"}), state=state)
        assert set(bytes(file.view)) == {0}


def test_programs_beyond_the_bound_are_sent_again(pool: Pool) -> None:
    coordinator = Coordinator(pool, max_programs=2)
    programs = [ToyProgram(rows=rows) for rows in (1, 2, 3, 4)]
    expected = [bits(run(coordinator, program)) for program in programs]
    assert [bits(run(coordinator, program)) for program in programs] == expected
    assert len(coordinator._programs._entries) == 2
    coordinator.close()


def test_a_full_board_pool_refuses_and_recovers(pool: Pool) -> None:
    coordinator = Coordinator(pool, board_bytes=1 << 20)
    with pytest.raises(ChainruleError) as caught:
        run(coordinator, ToyProgram(rows=10**6), 10**6)
    assert caught.value.code is ErrorCode.OVERLOADED
    run(coordinator, ToyProgram())
    coordinator.close()


def test_failpoints_name_the_stages(pool: Pool) -> None:
    seen: list[tuple[str, object]] = []

    class Recorder:
        def reached(self, name: str, **facts: object) -> None:
            seen.append((name, facts["stage"]))

    coordinator = Coordinator(pool, failpoints=Recorder())
    run(coordinator, ToyProgram())
    coordinator.close()
    assert seen == [("coordinator.stage", 0), ("coordinator.stage", 1)]
