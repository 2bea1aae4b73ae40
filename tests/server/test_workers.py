"""The engine on the pool: one hash for any number of workers, any death, any deal of blocks."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, apply, cast, reduce_sum
from chainrule.ir.graph import Graph
from chainrule_server.engine.compiler import compile_request
from chainrule_server.engine.program import Program
from chainrule_server.engine.requests import Kind, Request
from chainrule_server.engine.step import compile_step
from chainrule_server.workers.coordinator import Coordinator, RunResult
from chainrule_server.workers.memory import Region
from chainrule_server.workers.pool import Pool
from support.small_model import SEEN, VB, VW, B, W, loss_graph, update_graph
from support.toy_pool import deadline, worker_pids

# Nine microshards of eight rows, the last one ragged.
ROWS, N = 8, 70
HIDDEN = 16
SHAPES = {"W1": (3, HIDDEN), "b1": (HIDDEN,), "W2": (HIDDEN, 2), "b2": (2,)}


def network(hidden: int = HIDDEN) -> Graph:
    """The article's network: mean over rows of half the squared error."""
    b = Builder()

    def given(name: str, *shape: int | BatchDim) -> Expr:
        return Expr(b, b.input(name, Aval(DType.FLOAT64, shape)))

    w1, b1, w2, b2 = (
        given("W1", 3, hidden),
        given("b1", hidden),
        given("W2", hidden, 2),
        given("b2", 2),
    )
    x, y = given("x", BatchDim(), 3), given("y", BatchDim(), 2)
    z = x @ w1 + b1
    a = 1.0 / (apply("Exp", -z) + 1.0)
    error = a @ w2 + b2 - y
    n = cast(Expr(b, b.add("DimSize", k=1)), DType.FLOAT64)
    loss = reduce_sum(error * error, (0, 1)) * 0.5 / n
    return Graph((b.finish((loss.id, error.id), ("loss", "error"), "main"),), (b.debug(),))


def program(hidden: int = HIDDEN) -> Program:
    requests = (Request(Kind.VALUE), Request(Kind.GRAD, wrt=tuple(SHAPES)))
    return compile_request(network(hidden), requests, microshard=ROWS)


def feeds(n: int = N, hidden: int = HIDDEN) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(n)
    shapes = {"W1": (3, hidden), "b1": (hidden,), "W2": (hidden, 2), "b2": (2,)}
    found = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    return found | {"x": rng.standard_normal((n, 3)), "y": rng.standard_normal((n, 2))}


def digest(result: RunResult) -> str:
    found = hashlib.sha256()
    for name in sorted(result.outputs):
        found.update(name.encode() + result.outputs[name].tobytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool(2) as pool:
        yield pool


@pytest.fixture
def coordinator(pool: Pool) -> Iterator[Coordinator]:
    coordinator = Coordinator(pool)
    yield coordinator
    coordinator.close()


def test_gradients_equal_the_closed_form(coordinator: Coordinator) -> None:
    fed = feeds()
    result = coordinator.run(program(), N, fed, deadline=deadline())
    a = 1 / (1 + np.exp(-(fed["x"] @ fed["W1"] + fed["b1"])))
    error = a @ fed["W2"] + fed["b2"] - fed["y"]
    ct = error / N
    z_ct = ct @ fed["W2"].T * a * (1 - a)
    expected = {"W1": fed["x"].T @ z_ct, "b1": z_ct.sum(0), "W2": a.T @ ct, "b2": ct.sum(0)}
    outputs = result.outputs
    np.testing.assert_allclose(outputs["value/loss"], 0.5 * (error**2).sum() / N, rtol=1e-12)
    np.testing.assert_allclose(outputs["value/error"], error, rtol=1e-12)
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[f"grad/1/{name}"], value, rtol=1e-10, atol=1e-14)
    assert result.stats.flops > 0
    assert result.stats.peak_bytes > 0


@pytest.mark.parametrize("n", [1, 7, 8, 9, 64, N])
def test_any_batch_size_gives_one_hash_for_any_number_of_workers(n: int, pool: Pool) -> None:
    found = set()
    for n_workers in (1, 3):
        with Pool(n_workers) as other:
            coordinator = Coordinator(other)
            found.add(digest(coordinator.run(program(), n, feeds(n), deadline=deadline())))
            coordinator.close()
    coordinator = Coordinator(pool)
    found.add(digest(coordinator.run(program(), n, feeds(n), deadline=deadline())))
    coordinator.close()
    assert len(found) == 1


@dataclass(frozen=True, slots=True)
class State:
    """The two buffers of a session's file, as the sessions room describes them."""

    read_fd: int
    read_offset: int
    write_fd: int
    write_offset: int
    nbytes: int
    key: bytes


PLACES = {W: 0, B: 64, SEEN: 128, VW: 192, VB: 256}
BUFFER = 4096


def train(coordinator: Coordinator, steps: int, workers: set[int] | None = None) -> str:
    """A session's steps: buffer after buffer. Returns the hash of the last one."""
    step = compile_step(loss_graph(), update_graph(), places=PLACES, microshard_rows=ROWS)
    rng = np.random.default_rng(7)
    with Region("state", 2 * BUFFER) as file:
        for number in range(steps):
            read, write = (number % 2) * BUFFER, (1 - number % 2) * BUFFER
            state = State(file.fd, read, file.fd, write, BUFFER, b"session")
            batch = {"batch/0": rng.standard_normal((N, 3)), "batch/1": rng.standard_normal((N, 1))}
            board = {port.name for port in step.inputs if port.place.region == 0}
            extra: dict[str, NDArray[Any]] = {"step": np.array(number, np.int64)}
            fed = {name: value for name, value in (batch | extra).items() if name in board}
            result = coordinator.run(step, N, fed, state=state, deadline=deadline())
            if workers is not None:
                workers |= result.stats.workers
        coordinator.forget(b"session")
        last = (steps % 2) * BUFFER
        return hashlib.sha256(file.view[last : last + BUFFER]).hexdigest()


@pytest.mark.slow
def test_fifty_steps_of_a_session_give_one_hash_for_1_2_3_and_5_workers() -> None:
    found = set()
    for n_workers in (1, 2, 3, 5):
        with Pool(n_workers) as pool:
            coordinator = Coordinator(pool)
            workers: set[int] = set()
            found.add(train(coordinator, 50, workers))
            assert workers == set(range(n_workers))
            coordinator.close()
    assert len(found) == 1


@pytest.mark.faults
def test_workers_killed_inside_steps_change_no_bit(coordinator: Coordinator, pool: Pool) -> None:
    """A kill counts only when the run reports a task begun again: then the step was running."""
    wide = 512
    compiled, fed, n = program(wide), feeds(2000, wide), 2000
    expected = digest(coordinator.run(compiled, n, fed, deadline=deadline()))
    rng = np.random.default_rng(3)
    hits = 0
    end = deadline(120)

    class Killer:
        """Kills one worker that has begun a task of the stage just submitted."""

        def reached(self, name: str, **facts: object) -> None:
            if name != "pool.submitted" or not armed:
                return
            while not (busy := [w.pid for w in killing.stats().workers if w.running and w.pid]):
                if not killing.stats().tasks:
                    return
            armed.pop()
            os.kill(int(rng.choice(busy)), signal.SIGKILL)

    armed: list[bool] = []
    with Pool(2, failpoints=Killer()) as killing:
        other = Coordinator(killing)
        while hits < 10 and time.monotonic() < end:
            armed.append(True)
            result = other.run(compiled, n, fed, deadline=deadline())
            armed.clear()
            hits += result.stats.redone
            assert digest(result) == expected
        other.close()
    assert hits >= 10


def test_what_is_dropped_is_unmapped_though_programs_were_bound_to_it(
    coordinator: Coordinator, pool: Pool
) -> None:
    kept = program()

    def once() -> None:
        other = Coordinator(pool)
        for n in (N, 3000, 9000):
            other.run(kept, n, feeds(n), deadline=deadline())
        other.close()
        train(coordinator, 3)
        coordinator.run(kept, N, feeds(), deadline=deadline())

    def held() -> list[int]:
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in worker_pids(pool)]

    for _ in range(2):
        once()
    before = held()
    for _ in range(5):
        once()
    assert held() == before


def test_the_spawner_imports_nothing_that_a_worker_must_not_hold() -> None:
    source = "import chainrule_server.workers.spawner, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "numpy" in loaded
    assert not loaded & {"grpc", "google", "multiprocessing", "structlog"}
