"""One SHA-256 of the parameters after 50 steps: any number of workers, workers killed, the server killed."""

import hashlib
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.network import loss
from support.processes import ServerProcess, workers_of

STEPS, KILLS = 50, 10
# Nine microshards, the last one ragged, and a step long enough to be hit.
MICROSHARD, ROWS = 256, 8 * 256 + 77
IN, HIDDEN, OUT = 64, 192, 8

pytestmark = pytest.mark.faults


def params() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        "W1": rng.normal(size=(IN, HIDDEN)) / 8,
        "b1": np.zeros(HIDDEN),
        "W2": rng.normal(size=(HIDDEN, OUT)) / 16,
        "b2": np.zeros(OUT),
    }


def batch(k: int) -> tuple[Any, Any]:
    rng = np.random.default_rng([2, k])
    return rng.normal(size=(ROWS, IN)), rng.normal(size=(ROWS, OUT))


def create(client: cr.Client) -> cr.Session:
    return client.create_session(
        loss, params(), optimizer=cr.optim.adam(0.01), microshard=MICROSHARD
    )


def sha256(session: cr.Session) -> str:
    found = hashlib.sha256()
    for name, value in sorted(session.params().items()):
        found.update(name.encode() + np.ascontiguousarray(value).tobytes())
    return found.hexdigest()


def cpu_ns(pid: int) -> int:
    """Time on a processor, which an idle process doesn't gather."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def is_busy(pid: int) -> bool:
    """Whether it runs or waits for a core, rather than for work."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"
    return False


@pytest.fixture(scope="module")
def expected() -> str:
    """By one worker, left alone."""
    with cr.connect("local", workers=1) as client:
        session = create(client)
        results = [session.step(*batch(k)) for k in range(STEPS)]
        assert results[0].numerics.microshard_rows == MICROSHARD
        assert [result.step for result in results] == list(range(1, STEPS + 1))
        return sha256(session)


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_any_number_of_workers_gives_one_hash_and_all_have_worked(
    expected: str, workers: int
) -> None:
    with cr.connect("local", workers=workers) as client:
        assert client.server_pid is not None
        session = create(client)
        pids = workers_of(client.server_pid)
        assert len(pids) == workers
        before = [cpu_ns(pid) for pid in pids]
        results = [session.step(*batch(k)) for k in range(STEPS)]
        worked_ns = [cpu_ns(pid) - ns for pid, ns in zip(pids, before, strict=True)]
        assert max(result.stats.workers_used for result in results) == workers
        # A share of a step's work at the least, far above what a look at a socket takes.
        step_ns = 1e9 * min(result.stats.cpu_seconds for result in results)
        assert min(worked_ns) > step_ns / 9
        assert sha256(session) == expected


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_killed_inside_steps_change_no_bit(expected: str, workers: int) -> None:
    """Blocks done again show that the step was running when its worker was killed."""
    rng = np.random.default_rng(3)
    hits = 0
    with cr.connect("local", workers=workers) as client:
        assert client.server_pid is not None
        session = create(client)
        took_s = session.step(*batch(0)).stats.wall_seconds
        for k in range(1, STEPS):
            running = session.submit(*batch(k))
            if hits < KILLS:
                client.pause(took_s * rng.uniform(0, 0.9))
                busy = [pid for pid in workers_of(client.server_pid) if is_busy(pid)]
                if busy:
                    os.kill(int(rng.choice(busy)), signal.SIGKILL)
            result = running.result(120)
            assert result.step == k + 1
            hits += result.stats.blocks_redone > 0
        assert hits >= KILLS
        assert sha256(session) == expected


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    started = ServerProcess(tmp_path)
    started.start()
    yield started
    if started.process is not None and started.process.poll() is None:
        started.stop()


def test_the_server_killed_at_random_moments_loses_and_doubles_no_step(
    expected: str, server: ServerProcess
) -> None:
    """The same session object goes on; the client reconnects by itself."""
    rng = np.random.default_rng(4)
    hit = set(rng.choice(np.arange(1, STEPS), KILLS, replace=False).tolist())
    with cr.connect(server.address) as client, ThreadPoolExecutor(1) as killer:
        session = create(client)
        took_s = session.step(*batch(0)).stats.wall_seconds

        def kill_and_start() -> None:
            client.pause(took_s * rng.uniform(0, 1.5))
            server.kill()
            server.start()

        kills: list[Future[None]] = []
        for k in range(1, STEPS):
            if k in hit:
                if kills:
                    kills[-1].result(120)
                kills.append(killer.submit(kill_and_start))
            assert session.step(*batch(k), timeout_s=120).step == k + 1
        kills[-1].result(120)
        assert len(kills) == KILLS
        assert session.next_step == STEPS + 1
        assert sha256(session) == expected
